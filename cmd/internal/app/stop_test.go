package app_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// gate holds back requests that make a role, until it is opened.
type gate struct {
	http.Handler
	open    func()
	opened  chan struct{}
	waiting chan struct{} // closed when the first one waits
	once    sync.Once
}

func newGate(h http.Handler) *gate {
	g := &gate{Handler: h, opened: make(chan struct{}), waiting: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if bytes.Contains(body, []byte("Action=CreateRole")) {
		g.once.Do(func() { close(g.waiting) })
		<-g.opened
	}
	g.Handler.ServeHTTP(w, r)
}

func TestAStopFinishesACreationUnderWayAndEndsWatchesFirst(t *testing.T) {
	var g *gate
	a := startAskedWith(t, func(h http.Handler) http.Handler { g = newGate(h); return g }, 30*time.Second)
	t.Cleanup(func() { g.open() })
	one := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ready := func() int {
		got := httptest.NewRecorder()
		a.Probes().ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		return got.Code
	}
	polltest.Until(t, "the process is ready", func() bool { return ready() == http.StatusOK })

	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URLs()["api"]+"/rolebridge/v1/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.SetBasicAuth("ADMIN", a.secret)
	watch, err := one.Do(q)
	if err != nil || watch.StatusCode != http.StatusOK {
		t.Fatalf("the watch: %v, %v", watch, err)
	}
	defer func() { _ = watch.Body.Close() }()
	type end struct {
		told string
		err  error
	}
	watched := make(chan end, 1)
	go func() {
		told, err := io.ReadAll(watch.Body)
		watched <- end{string(told), err}
	}()

	c, err := client.New(client.Config{URL: a.URLs()["api"], Key: "ADMIN", Secret: secret.New(a.secret), HTTP: one, Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		made wire.IntegrationV2
		err  error
	}
	created := make(chan outcome, 1)
	go func() {
		made, err := c.Create(context.WithoutCancel(t.Context()), wire.IntegrationRequestV2{
			DisplayName: "under way", Provider: "aws", Environment: wire.ReferenceRequest{ID: "env-1"}, Config: &wire.ConfigRequest{CustomerIAMRoleARN: customerRole},
		})
		created <- outcome{made, err}
	}()
	select {
	case <-g.waiting: // decided, and its role is being made
	case got := <-created:
		t.Fatalf("it is created before its role is made: %+v", got)
	case <-time.After(polltest.Bound):
		t.Fatal("nobody makes the role")
	}
	a.begin()
	polltest.Until(t, "/readyz says no", func() bool { return ready() == http.StatusServiceUnavailable })

	// The watch ends in order while the creation goes on.
	select {
	case got := <-watched:
		if got.err != nil || !strings.Contains(got.told, "event: integration.created") {
			t.Errorf("the watch ends with %v, after %q", got.err, got.told)
		}
	case <-time.After(polltest.Bound):
		t.Fatal("the watch does not end")
	}
	select {
	case got := <-created:
		t.Fatalf("the creation has ended before its role was made: %+v", got)
	default:
	}
	g.open()
	got := <-created
	if got.err != nil || got.made.Config.Platform() == "" {
		t.Errorf("the creation under way: %+v, %v; want it answered, with its role", got.made, got.err)
	}
}

package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/listen"
)

func TestABodyOverTheLimitIsRefusedByEveryOperationThatHasOne(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	document, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	tried, before := 0, len(s.Sent())
	for path, item := range document.Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody == nil {
				continue
			}
			tried++
			path := strings.NewReplacer("{id}", "cspi-unknown1", "{connector}", "lcc-1").Replace(path)
			// One that would be refused for its form, and one that would be read: white space is JSON, too.
			for _, body := range []string{strings.Repeat("x", 200<<10), strings.Repeat(" ", 200<<10) + "{}"} {
				request(t, s, apitest.Admin, method, path, body).refused(t, http.StatusRequestEntityTooLarge, "request_too_large")
			}
		}
	}
	if tried < 12 {
		t.Errorf("the document has %d operations with a body", tried)
	}
	if sent := s.Sent()[before:]; len(sent) != 0 {
		t.Errorf("commands were sent: %+v", sent)
	}
}

// bound is for what hangs.
const bound = 2 * time.Minute

// listening is an api behind a listener whose patience is short.
func listening(t *testing.T, h http.Handler) (address string, stop func()) {
	t.Helper()
	settings := listen.Defaults()
	settings.Listen = "127.0.0.1:0"
	settings.Limits.ReadHeader, settings.Limits.Read, settings.Limits.Write = 100*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
	l, err := listen.Open(t.Context(), "api", settings, listen.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, h, bound) }()
	stop = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(bound):
			t.Error("the listener does not stop")
		}
	}
	return l.Addr(), stop
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	return c
}

// authorization is the administrator's.
func authorization(t *testing.T) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(apitest.Admin, apitest.Secret)
	return "Authorization: " + r.Header.Get("Authorization") + "\r\n"
}

func TestASlowClientOfTheAPIIsCut(t *testing.T) {
	t.Parallel()
	c := apitest.New(t)
	c.Found(t, apitest.OrgA, "u-admin-a")
	address, stop := listening(t, handler(t, c, c))
	defer stop()
	for what, text := range map[string]string{
		"says nothing":          "",
		"never ends its header": "GET " + one + inEnv + " HTTP/1.1\r\nHost: x\r\n" + authorization(t),
		"never ends its body":   "POST " + one + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n" + authorization(t) + "\r\n{",
	} {
		conn := dial(t, address)
		_, _ = io.WriteString(conn, text)
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client that %s is still connected after %s", what, bound)
		}
	}
	if n := len(c.Sent()); n != 1 { // the founding
		t.Errorf("%d commands were sent, want none of a request that was cut", n-1)
	}
}

// endless has always one more event.
type endless struct{}

func (endless) Read(_ context.Context, o integration.OrganizationID, from int64, most int, _ func(integration.Event) bool) (s events.Stretch, _ error) {
	for n := range most {
		s.Entries = append(s.Entries, events.Entry{Offset: from + int64(n), Event: integration.Event{
			Organization: o, Integration: "cspi-aaaaa", Version: 1, Fact: integration.Created{Name: strings.Repeat("n", 60)},
		}})
	}
	s.Next = from + int64(most)
	return s, nil
}
func (endless) Wait(context.Context, integration.OrganizationID, int64) error { return nil }
func (endless) End(integration.OrganizationID) (int64, error)                 { return 0, nil }
func (endless) Since(context.Context, integration.OrganizationID, time.Time) (int64, error) {
	return 0, nil
}

// openWatch begins a watch on a connection of its own.
func openWatch(t *testing.T, address string) *http.Response {
	t.Helper()
	conn := dial(t, address)
	if _, err := io.WriteString(conn, "GET "+watched+" HTTP/1.1\r\nHost: x\r\n"+authorization(t)+"\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("got %+v, %v", answer, err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func TestAWatchThatIsNotReadIsCut(t *testing.T) {
	t.Parallel()
	c := apitest.New(t)
	c.Found(t, apitest.OrgA, "u-admin-a")
	h := handler(t, c, c, api.WithEvents(endless{}))
	over := make(chan struct{})
	address, stop := listening(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		h.ServeHTTP(w, r)
	}))
	defer stop()
	openWatch(t, address) // and nothing is read of it but its beginning
	select {
	case <-over:
	case <-time.After(bound):
		t.Errorf("it is still written after %s", bound)
	}
}

func TestAWatchEndsInOrderWhenTheListenerStops(t *testing.T) {
	t.Parallel()
	c := apitest.New(t)
	c.Found(t, apitest.OrgA, "u-admin-a")
	address, stop := listening(t, handler(t, c, c, api.WithEvents(c.Events())))
	answer := openWatch(t, address)
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, answer.Body)
		ended <- err
	}()
	stop() // its grace is the bound: who is still there then is cut, which is no orderly end
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v, want an orderly end", err)
	}
}

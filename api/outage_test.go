package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// handler is an api without a socket, over a control plane that has the organization.
func handler(t testing.TB, c api.Replica, commands api.Commands, with ...api.Option) http.Handler {
	t.Helper()
	keys, err := api.NewKeys(api.Key{ID: apitest.Admin, Organization: apitest.OrgA, Principal: "u-admin-a", Hash: api.HashSecret(secret.New(apitest.Secret))})
	if err != nil {
		t.Fatal(err)
	}
	config := api.Defaults()
	config.Rate, config.Burst = 1e6, 1e6
	s, err := api.New(config, c, commands, keys, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), with...)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler()
}

// ask is one request to a handler, of the administrator.
func ask(ctx context.Context, h http.Handler, method, path, body string, headers ...string) reply {
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.SetBasicAuth(apitest.Admin, apitest.Secret)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for n := 0; n+1 < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	got := httptest.NewRecorder()
	h.ServeHTTP(got, r)
	return reply{got.Code, got.Header(), got.Body.Bytes()}
}

// virtualKafka is a Kafka in a bubble that can go away in several ways.
type virtualKafka struct {
	net kfake.VirtualNetwork

	mu     sync.Mutex
	gone   bool          // takes no connections
	frozen chan struct{} // not nil: answers nothing until it is closed
	open   []net.Conn
}

func (k *virtualKafka) dial(ctx context.Context, network, address string) (net.Conn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("refused")}
	}
	c, err := k.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c = &freezing{Conn: c, k: k, closed: make(chan struct{})}
	k.open = append(k.open, c)
	return c, nil
}

func (k *virtualKafka) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = true
	for _, c := range k.open {
		_ = c.Close()
	}
	k.open = nil
}

func (k *virtualKafka) freeze() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frozen = make(chan struct{})
}

func (k *virtualKafka) back() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = false
	if k.frozen != nil {
		close(k.frozen)
		k.frozen = nil
	}
}

// freezing is a connection whose other side may be frozen: what is sent is taken, and nothing comes back.
type freezing struct {
	net.Conn
	k      *virtualKafka
	once   sync.Once
	closed chan struct{}
}

func (f *freezing) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.k.mu.Lock()
	frozen := f.k.frozen
	f.k.mu.Unlock()
	if frozen != nil {
		select {
		case <-frozen:
		case <-f.closed:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

func (f *freezing) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.Conn.Close()
}

// unavailableWithin is the promise of the API: a client is told to come again before it gives up.
const unavailableWithin = 2 * time.Second

func TestWithoutKafkaAWriteIsAnsweredWithinTwoSecondsAndAReadAtOnce(t *testing.T) {
	for what, away := range map[string]func(*virtualKafka){
		"takes no connections": (*virtualKafka).kill,
		"is frozen":            (*virtualKafka).freeze,
	} {
		for _, connected := range []bool{true, false} {
			t.Run(fmt.Sprintf("a Kafka that %s, connected before: %t", what, connected), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { withoutKafka(t, away, connected) })
			})
		}
	}
}

func withoutKafka(t *testing.T, away func(*virtualKafka), connected bool) {
	topics := events.Topics{Prefix: "p.", Partitions: 1}
	k := &virtualKafka{}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(k.net.Listen), kfake.SeedTopics(1, topics.Commands()))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	codec, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(api.ProducerOptions(), kgo.SeedBrokers("localhost:9092"), kgo.Dialer(k.dial))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c := apitest.New(t)
	c.Found(t, apitest.OrgA, "u-admin-a")
	commands := &written{to: api.NewProducer(client, codec, slog.New(slog.DiscardHandler)), decide: c}
	h := handler(t, c, commands)
	create := func(n int) reply {
		return ask(t.Context(), h, http.MethodPost, one, creation(fmt.Sprint(roleARN, n)), "Idempotency-Key", fmt.Sprint("k", n))
	}
	if connected {
		if got := create(0); got.status != http.StatusCreated {
			t.Fatalf("with Kafka: %d %s", got.status, got.body)
		}
	}
	away(k)
	for n := 1; n <= 5; n++ { // the first may still find connections that look open
		start := time.Now()
		got := create(n)
		got.refused(t, http.StatusServiceUnavailable, integration.CodeUnavailable)
		if took := time.Since(start); took > unavailableWithin { // of the bubble: no machine is too slow for it
			t.Errorf("write %d is answered after %s, want %s at most", n, took, unavailableWithin)
		}
		if got.header.Get("Retry-After") == "" {
			t.Errorf("write %d: no Retry-After", n)
		}
		start = time.Now()
		if got := ask(t.Context(), h, http.MethodGet, one+inEnv, ""); got.status != http.StatusOK || time.Since(start) != 0 {
			t.Errorf("a read: %d after %s, want 200 at once", got.status, time.Since(start))
		}
	}
	// All at once, as they come when many clients wait: none waits for another.
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			start := time.Now()
			got := create(100 + n)
			if took := time.Since(start); got.status != http.StatusServiceUnavailable || took > unavailableWithin {
				t.Errorf("one of many: %d after %s, want 503 within %s", got.status, took, unavailableWithin)
			}
		})
	}
	all.Wait()
	k.back()
	var got reply
	for start := time.Now(); time.Since(start) < time.Minute; {
		if got = create(1); got.status == http.StatusCreated {
			return
		}
	}
	t.Errorf("a minute after Kafka is back: %d %s", got.status, got.body)
}

// written decides what Kafka has taken, as if it was read from there.
type written struct{ to, decide api.Commands }

func (w *written) Send(ctx context.Context, cmd integration.Command) error {
	if err := w.to.Send(ctx, cmd); err != nil {
		return err
	}
	return w.decide.Send(ctx, cmd)
}

// fate is what becomes of a command that the api sends.
type fate int

const (
	goesWell   fate = iota
	neverCame       // Kafka is away, and the api says so
	lostAnswer      // it is written, and the api does not learn of it
	comesLate       // it is written after the client was told that it was not
	comesTwice
	fates
)

// unreliable is a way to the decider on which commands meet their fates.
type unreliable struct {
	*apitest.ControlPlane
	draw func() fate
	late []integration.Command
	met  map[fate]int
}

func (u *unreliable) Send(ctx context.Context, cmd integration.Command) error {
	late := u.late
	u.late = nil
	f := u.draw()
	u.met[f]++
	var err error
	switch f {
	case neverCame:
		err = integration.Refuse(integration.CodeUnavailable, "away")
	case lostAnswer:
		_ = u.ControlPlane.Send(ctx, cmd)
		err = integration.Refuse(integration.CodeUnavailable, "away")
	case comesLate:
		u.late = append(u.late, cmd)
		err = integration.Refuse(integration.CodeUnavailable, "away")
	case comesTwice:
		_ = u.ControlPlane.Send(ctx, cmd)
		err = u.ControlPlane.Send(ctx, cmd)
	default:
		err = u.ControlPlane.Send(ctx, cmd)
	}
	for _, cmd := range late {
		_ = u.ControlPlane.Send(ctx, cmd)
	}
	return err
}

func TestWhateverHappensOnTheWayEachKeyIsOneIntegration(t *testing.T) {
	t.Parallel()
	u := &unreliable{met: map[fate]int{}}
	// Two of the fleet: what one was asked before it died, the other is asked again.
	fleet := []http.Handler{handler(t, u, u), handler(t, u, u)}
	rapid.Check(t, func(rt *rapid.T) {
		c := apitest.New(t)
		c.Found(t, apitest.OrgA, "u-admin-a")
		u.ControlPlane, u.late = c, nil
		u.draw = func() fate { return fate(rapid.IntRange(0, int(fates)-1).Draw(rt, "fate")) }
		const clients = 6
		keyed := rapid.SliceOfN(rapid.Bool(), clients, clients).Draw(rt, "with a key")
		ids := map[int]string{}
		for tries := 0; len(ids) < clients; tries++ {
			if tries == 500 {
				rt.Fatalf("only %d of %d clients have come to an end", len(ids), clients)
			}
			n := rapid.IntRange(0, clients-1).Draw(rt, "client")
			h := rapid.SampledFrom(fleet).Draw(rt, "api")
			headers := []string{}
			if keyed[n] {
				headers = []string{"Idempotency-Key", fmt.Sprint("client ", n)}
			}
			got := ask(t.Context(), h, http.MethodPost, one, creation(fmt.Sprint(roleARN, n)), headers...)
			var id string
			switch {
			case got.status == http.StatusServiceUnavailable:
				continue // and the client comes again
			case got.status == http.StatusCreated:
				var i wire.IntegrationV2
				if err := json.Unmarshal(got.body, &i); err != nil {
					rt.Fatal(err)
				}
				id = i.ID
			case got.status == http.StatusConflict && !keyed[n]:
				_, path, _ := strings.Cut(got.header.Get("Location"), "example.com")
				var i wire.IntegrationV2
				there := ask(t.Context(), h, http.MethodGet, path, "")
				if err := json.Unmarshal(there.body, &i); err != nil || there.status != http.StatusOK {
					rt.Fatalf("Location %q: %d %s", path, there.status, there.body)
				}
				id = i.ID
			default:
				rt.Fatalf("client %d: %d %s", n, got.status, got.body)
			}
			if before, ended := ids[n]; ended && before != id {
				rt.Fatalf("client %d has been given %s and %s", n, before, id)
			}
			ids[n] = id
		}
		all := slices.Collect(c.List(apitest.OrgA, apitest.Environment, ""))
		if len(all) != clients {
			rt.Fatalf("%d clients have made %d integrations", clients, len(all))
		}
		for _, i := range all {
			var n int
			if _, err := fmt.Sscanf(i.Config.Customer, roleARN+"%d", &n); err != nil || ids[n] != string(i.ID) {
				rt.Errorf("%s is the integration of %s, client %d was given %s", i.ID, i.Config.Customer, n, ids[n])
			}
		}
	})
	for f := range fates {
		if u.met[f] == 0 {
			t.Errorf("no command met fate %d: nothing is shown of it", f)
		}
	}
}

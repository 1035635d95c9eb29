package creds_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

// killed is the store of a replica that may be killed: from then on nothing reaches the store, as from a process that
// is gone.
type killed struct {
	creds.Store
	dead atomic.Bool
}

func (k *killed) Extend(ctx context.Context, l creds.Lease, ttl time.Duration) error {
	if k.dead.Load() {
		return nil
	}
	return k.Store.Extend(ctx, l, ttl)
}

func (k *killed) Put(ctx context.Context, l creds.Lease, s creds.Issued) error {
	if k.dead.Load() {
		return nil
	}
	return k.Store.Put(ctx, l, s)
}

func (k *killed) Release(ctx context.Context, l creds.Lease) error {
	if k.dead.Load() {
		return nil
	}
	return k.Store.Release(ctx, l)
}

func leaseHolderKilled(t *testing.T, f failure) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		healthy, shared := w.broker(t), w.store
		doomed := &killed{Store: shared}
		w.store = doomed
		victim := w.broker(t)
		warm := w.connectors(1)[0]
		asked(t, healthy, warm).want(t, "before", ok)

		gate := make(chan struct{})
		hang := w.cloud.Inject(credstest.Fault{Role: customerRole, Gate: gate})
		go func() { _, _ = victim.Session(t.Context(), w.token) }()
		synctest.Wait()
		if hang.Fired() != 1 {
			t.Fatalf("%d calls hang, want the victim's", hang.Fired())
		}
		hang.Remove()
		bubbletest.Pass(5 * time.Second) // while it lives, the lease is extended
		asked(t, healthy, w.token).want(t, "cold, under somebody's lease", f.cold)
		doomed.dead.Store(true)
		start := time.Now()
		for asked(t, healthy, w.token).status != f.then.status {
			asked(t, healthy, warm).want(t, "warm", f.warm)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("a killed replica held the others up for %s, want about the lease's 3 s", took)
		}
		asked(t, healthy, w.token).want(t, "cold, after the lease", f.then)
		close(gate)
	})
}

// leaseHolderKilledForReal is the same with a process that is killed and a real Redis.
func leaseHolderKilledForReal(t *testing.T, f failure) {
	w := newProcessWorld(t)
	survivor := w.replica(t)
	warm := w.connectors(1)[0]
	w.asSDK(t, survivor, warm).want(t, "before", ok)

	victim := w.start(t)
	hang := w.cloud.Inject(credstest.Fault{Role: customerRole, Gate: t.Context().Done()})
	go func() {
		if r, err := w.get(t, context.WithoutCancel(t.Context()), victim); err == nil { // the answer dies with it
			_ = r.Body.Close()
		}
	}()
	polltest.Until(t, "the victim asks the cloud", func() bool { return hang.Fired() == 1 })
	hang.Remove()
	asked(t, survivor, w.token).want(t, "cold, under somebody's lease", f.cold)
	must(t, victim.Kill())
	polltest.Until(t, "the lease is over", func() bool {
		asked(t, survivor, warm).want(t, "warm", f.warm)
		return asked(t, survivor, w.token).status == f.then.status
	})
	asked(t, survivor, w.token).want(t, "cold, after the lease", f.then)
}

// suspendedForReal stops processes with SIGSTOP, lets their session expire, and asks them while they stand still: what they
// say when they go on is never the expired session.
func suspendedForReal(t *testing.T, f failure) {
	t.Parallel() // it waits for a minute
	w := newProcessWorld(t)
	w.life.Store(int64(creds.HardLimit + 5*time.Second))
	one, two := w.start(t), w.start(t)
	first := w.ask(t, one)
	first.want(t, "before", lasting)
	w.ask(t, two).want(t, "before", lasting)
	over := time.Now().Add(first.left)

	must(t, one.Pause())
	must(t, two.Pause())
	w.life.Store(int64(time.Hour))
	outage := w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
	<-time.After(time.Until(over) + time.Second)
	waiting := w.askWhilePaused(t, one, 20)
	must(t, one.Resume())
	for range cap(waiting) {
		(<-waiting).want(t, "gone on without STS", unavailable)
	}
	if outage.Fired() == 0 {
		t.Error("it did not ask for a new session")
	}
	outage.Remove()
	waiting = w.askWhilePaused(t, two, 20)
	must(t, two.Resume())
	for range cap(waiting) {
		if got := <-waiting; got.status == http.StatusOK { // late on a busy machine, or
			got.want(t, "gone on with STS", f.warm)
		} else {
			got.want(t, "gone on with STS", unavailable)
		}
	}
	for _, p := range []*brokerAt{one, two} {
		polltest.Until(t, "there is a new session", func() bool {
			got := w.ask(t, p)
			if got.status == http.StatusOK {
				got.want(t, "in the end", f.cold)
			}
			return got.status == http.StatusOK
		})
	}
}

// processWorld is a world with brokers that are processes of their own. They share Redis and the keyset with brokers of
// the test, and their cloud is the test's.
type processWorld struct {
	*redisWorld
	of     brokerSettings
	life   atomic.Int64 // of sessions
	client *http.Client
}

// brokerSettings is what a broker's process is told.
type brokerSettings struct{ Redis, Keyset, Cloud, Token string }

const brokerVariable = "CREDS_TEST_BROKER"

// brokerAt is a broker's process.
type brokerAt struct {
	*process.Process
	url string
}

func newProcessWorld(t *testing.T) *processWorld {
	t.Helper()
	w := &processWorld{redisWorld: newRedisWorld(t), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	w.life.Store(int64(time.Hour))
	server := httptest.NewServer(http.HandlerFunc(w.assume))
	t.Cleanup(server.Close)
	w.of = brokerSettings{w.server.Address(), filepath.Join(t.TempDir(), "keyset"), server.URL, w.token.Reveal()}
	must(t, creds.WriteKeyset(t.Context(), w.of.Keyset))
	var err error
	w.sealer, err = creds.OpenSealer(w.of.Keyset)
	must(t, err)
	return w
}

// start runs this test binary as a broker.
func (w *processWorld) start(t *testing.T) *brokerAt {
	t.Helper()
	text, err := json.Marshal(w.of)
	must(t, err)
	p, err := process.Start(t.Context(), process.Spec{
		Path: os.Args[0], Env: append(os.Environ(), brokerVariable+"="+string(text)), Log: filepath.Join(t.TempDir(), "log"),
	})
	must(t, err)
	t.Cleanup(func() { must(t, p.Kill()) })
	b := &brokerAt{Process: p}
	polltest.Until(t, "the broker listens", func() bool {
		_, after, found := strings.Cut(p.Output(), "listening at ")
		b.url, _, _ = strings.Cut(after, "\n")
		return found && strings.Contains(after, "\n")
	})
	return b
}

func (w *processWorld) get(t *testing.T, ctx context.Context, b *brokerAt) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+creds.Path, nil)
	must(t, err)
	r.Header.Set("Authorization", w.token.Reveal())
	return w.client.Do(r)
}

func (w *processWorld) ask(t *testing.T, b *brokerAt) answer {
	t.Helper()
	r, err := w.get(t, t.Context(), b)
	must(t, err)
	defer func() { _ = r.Body.Close() }()
	return answered(t, r)
}

// askWhilePaused connects n times to a process that stands still; the kernel accepts for it.
func (w *processWorld) askWhilePaused(t *testing.T, b *brokerAt, n int) chan answer {
	t.Helper()
	answers, sent := make(chan answer, n), make(chan struct{}, n)
	for range n {
		go func() {
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent <- struct{}{} }})
			r, err := w.get(t, ctx, b)
			if err != nil {
				t.Errorf("asking a paused process: %v", err)
				answers <- answer{}
				return
			}
			answers <- answered(t, r)
			_ = r.Body.Close()
		}()
	}
	for range n {
		<-sent
	}
	return answers
}

// wireSession and wireAssume are how a broker's process asks the test's cloud.
type wireSession struct {
	ID, Secret, Token, Identity, Account string
	Expires                              time.Time
}

type wireAssume struct {
	As   *wireSession
	Role creds.Role
}

func toWire(s cloud.Session) wireSession {
	return wireSession{s.AccessKeyID, s.SecretAccessKey.Reveal(), s.Token.Reveal(), s.Identity, s.Account, s.Expires}
}

func (s wireSession) session() cloud.Session {
	return cloud.Session{
		AccessKeyID: s.ID, SecretAccessKey: secret.New(s.Secret), Token: secret.New(s.Token), Identity: s.Identity, Account: s.Account,
		Expires: s.Expires,
	}
}

// assume is the cloud's side. A customer's session lives as long as the test says.
func (w *processWorld) assume(to http.ResponseWriter, r *http.Request) {
	var asked wireAssume
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(to, err.Error(), http.StatusBadRequest)
		return
	}
	var as *cloud.Session
	if asked.As != nil {
		s := asked.As.session()
		as = &s
	}
	s, err := w.cloud.Assume(r.Context(), as, asked.Role)
	if err != nil {
		http.Error(to, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if as != nil {
		s.Expires = time.Now().Add(time.Duration(w.life.Load())).Truncate(time.Second)
	}
	_ = json.NewEncoder(to).Encode(toWire(s)) //nolint:gosec,errchkjson // to a broker of this test
}

// remoteCloud is the broker's side.
type remoteCloud struct{ url string }

func (c remoteCloud) Assume(ctx context.Context, as *cloud.Session, role creds.Role) (cloud.Session, error) {
	ask := wireAssume{Role: role}
	if as != nil {
		s := toWire(*as)
		ask.As = &s
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return cloud.Session{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return cloud.Session{}, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return cloud.Session{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return cloud.Session{}, &cloud.Error{Fault: cloud.FaultUnavailable, Message: string(text)}
	}
	var s wireSession
	err = json.NewDecoder(resp.Body).Decode(&s)
	return s.session(), err
}

// brokerProcess is a broker of production with the state of newWorld, until it is killed.
func brokerProcess() error {
	var of brokerSettings
	if err := json.Unmarshal([]byte(os.Getenv(brokerVariable)), &of); err != nil {
		return err
	}
	sealer, err := creds.OpenSealer(of.Keyset)
	if err != nil {
		return err
	}
	cfg := creds.RedisDefaults()
	cfg.Address, cfg.Timeout = of.Redis, 500*time.Millisecond
	store, err := creds.NewRedis(cfg, sealer, nil)
	if err != nil {
		return err
	}
	state := credstest.NewReplica()
	state.Trusted(org, orders, platformRole, customerRole, externalID, true)
	state.Bind(orders, sink, secret.New(of.Token))
	b, err := creds.New(creds.Defaults(), state, store, remoteCloud{of.Cloud})
	if err != nil {
		return err
	}
	on, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error { return b.Run(context.Background()) })
	g.Go(func() error { return http.Serve(on, b.Handler()) }) //nolint:gosec // a test's
	_, _ = fmt.Fprintf(os.Stdout, "listening at http://%s\n", on.Addr())
	return g.Wait()
}

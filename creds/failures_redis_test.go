package creds_test

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// harmed is a store whose server is slow, or fails.
type harmed struct {
	creds.Store
	harm atomic.Pointer[harm]
}

type harm struct {
	slow time.Duration
	err  error
	met  atomic.Int64
}

func (s *harmed) wait(ctx context.Context) error {
	h := s.harm.Load()
	if h == nil {
		return nil
	}
	h.met.Add(1)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(h.slow):
		return h.err
	}
}

func (s *harmed) Get(ctx context.Context, k creds.Key) (creds.Issued, error) {
	if err := s.wait(ctx); err != nil {
		return creds.Issued{}, err
	}
	return s.Store.Get(ctx, k)
}

func (s *harmed) Lease(ctx context.Context, k creds.Key, ttl time.Duration) (creds.Lease, error) {
	if err := s.wait(ctx); err != nil {
		return creds.Lease{}, err
	}
	return s.Store.Lease(ctx, k, ttl)
}

func (s *harmed) Extend(ctx context.Context, l creds.Lease, ttl time.Duration) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Store.Extend(ctx, l, ttl)
}

func (s *harmed) Put(ctx context.Context, l creds.Lease, of creds.Issued) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Store.Put(ctx, l, of)
}

func (s *harmed) Release(ctx context.Context, l creds.Lease) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Store.Release(ctx, l)
}

// slowRedis lets every operation take a while and then fail, if err says so. The cloud takes 100 ms a call meanwhile, as
// it does: both have to fit into one answer.
func slowRedis(slow time.Duration, err error) trouble {
	return func(_ *testing.T, w *world) (func(), func() int) {
		latency := w.cloud.Inject(credstest.Fault{Latency: 100 * time.Millisecond})
		of := w.store.(*harmed) //nolint:forcetypeassert // simulate made it
		h := &harm{slow: slow, err: err}
		of.harm.Store(h)
		return func() { of.harm.Store(nil); latency.Remove() }, func() int { return int(h.met.Load()) }
	}
}

// redisFault harms a real server, or the way to it, and returns what heals it.
type redisFault func(t *testing.T, w *redisWorld) (heal func())

// onRedis lets two replicas live through a fault of a real Redis. What a busy machine makes late, an SDK would ask for
// again; how fast answers are is measured in simulated time.
func onRedis(harm redisFault) func(*testing.T, failure) {
	return func(t *testing.T, f failure) {
		w := newRedisWorld(t)
		w.proxy = newProxy(t, w.server.Address())
		one, two := w.replica(t), w.replica(t)
		w.asSDK(t, one, w.token).want(t, "before", ok)
		w.asSDK(t, two, w.token).want(t, "before", ok)
		w.entries(t, 2)
		calls := w.cloud.Calls(customerRole)

		heal := harm(t, w)
		for range 50 {
			asked(t, one, w.token).want(t, "warm", f.warm)
			asked(t, two, w.token).want(t, "warm", f.warm)
		}
		if n := w.cloud.Calls(customerRole) - calls; n != 0 {
			t.Errorf("%d calls to the cloud for warm keys, want none", n)
		}
		for n, token := range w.connectors(6) {
			b := []*creds.Broker{one, two}[n%2]
			w.asSDK(t, b, token).want(t, "cold", f.cold)
		}
		heal()
		w.eventuallyShared(t, one, two)
	}
}

// asSDK asks up to four times, as SDKs do.
func (*redisWorld) asSDK(t *testing.T, b *creds.Broker, token secret.Text) (got answer) {
	t.Helper()
	for range 4 {
		if got = asked(t, b, token); got.status != 503 {
			break
		}
	}
	return got
}

func behindProxy(slow time.Duration) redisFault {
	return func(_ *testing.T, w *redisWorld) func() {
		w.proxy.slow.Store(int64(slow))
		return func() { w.proxy.slow.Store(0) }
	}
}

func suspended(t *testing.T, w *redisWorld) func() {
	must(t, w.server.Pause())
	return func() { must(t, w.server.Resume()) }
}

func gone(t *testing.T, w *redisWorld) func() {
	must(t, w.server.Kill())
	w.tells(t, "redis lost", "it does not answer")
	return func() {
		must(t, w.server.Start(t.Context()))
		w.tells(t, "redis back", "")
	}
}

func flushed(t *testing.T, w *redisWorld) func() {
	must(t, w.raw.FlushAll(t.Context()).Err())
	return func() {}
}

func full(t *testing.T, w *redisWorld) func() {
	must(t, w.raw.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	must(t, w.raw.ConfigSet(t.Context(), "maxmemory", "1").Err())
	w.tells(t, "redis lost", "it is full")
	return func() { must(t, w.raw.ConfigSet(t.Context(), "maxmemory", "0").Err()) }
}

func readOnly(t *testing.T, w *redisWorld) func() {
	must(t, w.raw.ReplicaOf(t.Context(), "127.0.0.1", "1").Err())
	w.tells(t, "redis lost", "it is read-only")
	return func() { must(t, w.raw.ReplicaOf(t.Context(), "NO", "ONE").Err()) }
}

// cannotSave makes a snapshot fail: the server then refuses writes by default.
func cannotSave(t *testing.T, w *redisWorld) func() {
	must(t, w.raw.ConfigSet(t.Context(), "save", "3600 1").Err())
	dir := t.TempDir()
	must(t, w.raw.ConfigSet(t.Context(), "dir", dir).Err())
	must(t, os.RemoveAll(dir))
	must(t, w.raw.BgSave(t.Context()).Err())
	w.tells(t, "redis lost", "it refuses writes because it cannot save")
	return func() { must(t, w.raw.ConfigSet(t.Context(), "save", "").Err()) }
}

// failingOver ends the server and promotes its replica, to which the address then leads.
func failingOver(t *testing.T, w *redisWorld) func() {
	replica := testenv.OwnRedis(t)
	raw := redis.NewClient(&redis.Options{Addr: replica.Address()})
	t.Cleanup(func() { _ = raw.Close() })
	host, port, err := net.SplitHostPort(w.server.Address())
	must(t, err)
	must(t, raw.ReplicaOf(t.Context(), host, port).Err())
	polltest.Until(t, "the replica has all sessions", func() bool { return len(scan(t, raw, "rolebridge:session:")) == 2 })
	must(t, w.server.Kill())
	w.proxy.to(replica.Address())
	w.tells(t, "redis lost", "it is read-only")
	return func() {
		must(t, raw.ReplicaOf(t.Context(), "NO", "ONE").Err())
		w.raw = raw
		w.tells(t, "redis back", "")
		calls := w.cloud.Calls("")
		w.asSDK(t, w.replica(t), w.token).want(t, "a replica that starts after it", ok)
		if n := w.cloud.Calls("") - calls; n != 0 {
			t.Errorf("%d calls to the cloud for what the promoted server has, want none", n)
		}
	}
}

func wrongPassword(t *testing.T, w *redisWorld) func() {
	must(t, w.raw.ConfigSet(t.Context(), "requirepass", "another").Err())
	w.proxy.to(w.server.Address()) // connections are made anew, and have to log in
	w.tells(t, "redis lost", "it refuses our user or password")
	other := redis.NewClient(&redis.Options{Addr: w.server.Address(), Password: "another"})
	t.Cleanup(func() { _ = other.Close() })
	return func() { must(t, other.ConfigSet(t.Context(), "requirepass", "").Err()) }
}

func garbled(t *testing.T, w *redisWorld) func() {
	w.proxy.garbage.Store(true)
	w.proxy.to(w.server.Address())
	w.tells(t, "redis lost", "it does not answer as Redis does")
	return func() {
		w.proxy.garbage.Store(false)
		w.proxy.to(w.server.Address())
	}
}

// tells waits until each replica has said something once, and then that it was once.
func (w *redisWorld) tells(t *testing.T, words, why string) {
	t.Helper()
	polltest.Until(t, "the log says "+words+": "+why, func() bool {
		return w.log.with(words, why) >= w.running
	})
	if n := w.log.with(words, why); n != w.running {
		t.Errorf("%q is said %d times by %d replicas, want once by each", words, n, w.running)
	}
}

// unreadable lets a broker find what does not open. Each is fetched anew and replaced, by one replica for all.
func unreadable(harms ...string) func(*testing.T, failure) {
	return func(t *testing.T, f failure) {
		for _, name := range harms {
			t.Run(name, func(t *testing.T) {
				w := newRedisWorld(t)
				b := w.replica(t)
				mine := mustSession(t, b, w.token)
				have := w.entries(t, 2)
				other := credstest.NewToken()
				w.world.replica.Bind(orders, "other", other)
				others := mustSession(t, b, other)
				// The platform role's session is in Redis too: harm both, whichever is whose.
				for _, theirs := range w.entries(t, 3) {
					for _, k := range have {
						if !slices.Contains(have, theirs) {
							w.spoil(t, name, k, theirs)
						}
					}
				}
				asked(t, b, w.token).want(t, "warm", f.warm)
				next := w.replica(t)
				s := mustSession(t, next, w.token)
				if s.AccessKeyID == others.AccessKeyID || s.AccessKeyID == mine.AccessKeyID || s.Identity != mine.Identity {
					t.Errorf("got %s of %s, want a new session of %s", s.AccessKeyID, s.Identity, mine.Identity)
				}
				asked(t, next, w.token).want(t, "cold", f.cold)
				if n := w.metric(t, "rolebridge_broker_store_errors_total", `op="open"`); n == 0 {
					t.Error("nothing was counted as unreadable")
				}
				w.entries(t, 3)
				if last := mustSession(t, w.replica(t), w.token); last.AccessKeyID != s.AccessKeyID {
					t.Error("what did not open was not replaced: another replica has another session")
				}
			})
		}
	}
}

// spoil harms one entry.
func (w *redisWorld) spoil(t *testing.T, how, entry, another string) {
	t.Helper()
	ctx := t.Context()
	switch how {
	case "an entry of another key":
		must(t, w.raw.Copy(ctx, another, entry, 0, true).Err())
	case "garbage":
		must(t, w.raw.Set(ctx, entry, "garbage", time.Hour).Err())
	case "nothing":
		must(t, w.raw.Set(ctx, entry, "", time.Hour).Err())
	case "a changed byte":
		must(t, w.raw.SetRange(ctx, entry, 40, "x").Err())
	case "a list":
		must(t, w.raw.Del(ctx, entry).Err())
		must(t, w.raw.LPush(ctx, entry, "x").Err())
	case "no expiry":
		must(t, w.raw.Persist(ctx, entry).Err())
	case "an unknown key":
		var err error
		w.sealer, err = creds.NewSealer()
		must(t, err)
	default:
		t.Fatalf("%s: how?", how)
	}
}

// proxy is the way to a server, with faults.
type proxy struct {
	on      net.Listener
	slow    atomic.Int64
	garbage atomic.Bool
	all     sync.WaitGroup

	mu     sync.Mutex
	target string
	open   map[net.Conn]struct{}
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	on, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{on: on, target: target, open: map[net.Conn]struct{}{}}
	p.all.Go(func() {
		for {
			from, err := on.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.carry(from) })
		}
	})
	t.Cleanup(func() {
		_ = on.Close()
		p.to("")
		p.all.Wait()
	})
	return p
}

// to lets the way lead elsewhere; connections end.
func (p *proxy) to(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	for c := range p.open {
		_ = c.Close()
	}
	clear(p.open)
}

func (p *proxy) carry(from net.Conn) {
	defer func() { _ = from.Close() }()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	to, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	p.mu.Lock()
	p.open[from], p.open[to] = struct{}{}, struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(to, from, false) })
	both.Go(func() { p.copy(from, to, true) })
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, from)
	delete(p.open, to)
}

// copy passes on what comes, late and garbled if it is an answer.
func (p *proxy) copy(to, from net.Conn, answer bool) {
	defer func() { _ = to.Close() }()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 && answer {
			<-time.After(time.Duration(p.slow.Load()))
			if p.garbage.Load() {
				n = copy(piece, "HTTP/1.1 400 Bad Request\r\n\r\n")
			}
		}
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

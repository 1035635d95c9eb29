package creds

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	redislog "github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"

	"github.com/rolebridge/rolebridge/internal/secret"
)

// RedisConfig says where Redis is. Start from [RedisDefaults].
type RedisConfig struct {
	// Address is host:port.
	Address  string      `koanf:"address"`
	Username string      `koanf:"username"`
	Password secret.Text `koanf:"-"`
	// TLS is used when it is not nil.
	TLS *tls.Config `koanf:"-"`
	// Prefix opens every key and the channel, so that several installations can share a server.
	Prefix string `koanf:"prefix"`
	// Timeout of each operation, dialling included.
	Timeout time.Duration `koanf:"timeout"`
	// BreakAfter failures in a row Redis is left alone for BreakFor.
	BreakAfter int           `koanf:"break_after"`
	BreakFor   time.Duration `koanf:"break_for"`
}

// RedisDefaults is a server on this machine.
func RedisDefaults() RedisConfig {
	return RedisConfig{
		Address: "127.0.0.1:6379", Prefix: "rolebridge:", Timeout: 100 * time.Millisecond, BreakAfter: 3, BreakFor: time.Second,
	}
}

// Validate returns all faults at once, each as `path: value: what is allowed`.
func (c RedisConfig) Validate() error {
	var faults []error
	within := func(path string, ok bool, value any, allowed string) {
		if !ok {
			faults = append(faults, fmt.Errorf("redis.%s: %v: want %s", path, value, allowed))
		}
	}
	within("address", c.Address != "", `""`, "host:port")
	within("prefix", len(c.Prefix) <= 64, c.Prefix, "at most 64 characters")
	within("timeout", c.Timeout >= 10*time.Millisecond && c.Timeout <= 2*time.Second, c.Timeout, "10ms to 2s")
	within("break_after", c.BreakAfter >= 1 && c.BreakAfter <= 1000, c.BreakAfter, "1 to 1000")
	within("break_for", c.BreakFor >= 100*time.Millisecond && c.BreakFor <= time.Minute, c.BreakFor, "100ms to 1m")
	return errors.Join(faults...)
}

// Redis is a [Store] on a Redis server: sessions sealed and with an expiry, leases with a random owner, and a channel
// that wakes other replicas. A server that fails is left alone for a while, so that it costs nothing.
type Redis struct {
	client   *redis.Client
	sealer   *Sealer
	prefix   string
	timeout  time.Duration
	breaker  *gobreaker.CircuitBreaker[any]
	watchers *watchers
	health   *health
	lookFor  time.Duration // between looks at a server that is lost
}

// NewRedis returns a store and does not connect yet. [Redis.Close] ends it, after [Redis.Run]; a nil log is
// [slog.Default].
func NewRedis(cfg RedisConfig, sealer *Sealer, log *slog.Logger) (*Redis, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("creds: redis: %w", err)
	}
	if log == nil {
		log = slog.Default()
	}
	redislog.Disable() // it writes to standard error, and what it says we return
	r := &Redis{
		client: redis.NewClient(cfg.options()),
		sealer: sealer, prefix: cfg.Prefix, timeout: cfg.Timeout, watchers: newWatchers(), lookFor: cfg.BreakFor,
	}
	r.health = &health{look: r.look, address: cfg.Address, log: log, bell: make(chan struct{}, 1)}
	r.breaker = gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Name: cfg.Address, Timeout: cfg.BreakFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return int64(c.ConsecutiveFailures) >= int64(cfg.BreakAfter) },
		IsSuccessful: answered,
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },
	})
	return r, nil
}

func (c RedisConfig) options() *redis.Options {
	return &redis.Options{
		Addr: c.Address, Username: c.Username, Password: c.Password.Reveal(), TLSConfig: c.TLS,
		DialTimeout: c.Timeout, ReadTimeout: c.Timeout, WriteTimeout: c.Timeout, PoolTimeout: c.Timeout,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, PipelinePoolSize: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// look asks for a write, as a lease does, that changes nothing: a server that can be read and not written is of little
// use. It goes past the breaker.
func (r *Redis) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := r.client.SetArgs(ctx, r.prefix+"look", "", redis.SetArgs{Mode: "XX"}).Err()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// answered reports whether the server said something, if only that it is full or read-only: it then costs no time.
func answered(err error) bool {
	var said redis.Error
	return err == nil || errors.As(err, &said)
}

// Scripts that act only for the lease's owner. KEYS: lease, session.
var (
	putScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1`)
	extendScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)
	releaseScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1`)
)

// The braces keep a session and its lease on one node of a cluster, as scripts demand.
func (r *Redis) session(k Key) string { return r.prefix + "session:{" + k.String() + "}" }
func (r *Redis) lease(k Key) string   { return r.prefix + "lease:{" + k.String() + "}" }
func (r *Redis) channel() string      { return r.prefix + "wake" }

// Get implements [Store].
func (r *Redis) Get(ctx context.Context, k Key) (Issued, error) {
	var sealed []byte
	var left time.Duration
	asked := time.Now()
	err := r.do(ctx, func(ctx context.Context) error {
		var got *redis.StringCmd
		var ttl *redis.DurationCmd
		// In one transaction: the life has to be the entry's own.
		_, err := r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			got, ttl = p.Get(ctx, r.session(k)), p.PTTL(ctx, r.session(k))
			return nil
		})
		if err == nil {
			sealed, err = got.Bytes()
			left = ttl.Val()
		}
		return err
	})
	switch {
	case errors.Is(err, redis.Nil):
		return Issued{}, ErrNotFound
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return Issued{}, ErrUnreadable
	case err != nil:
		return Issued{}, err
	}
	s, err := r.sealer.open(k, sealed)
	if err == nil && (left <= 0 || left > s.Life) {
		return Issued{}, ErrUnreadable // we put nothing without an expiry, and none for longer than its life
	}
	s.At = asked.Add(left - s.Life)
	return s, err
}

// Lease implements [Store].
func (r *Redis) Lease(ctx context.Context, k Key, ttl time.Duration) (Lease, error) {
	l := Lease{Key: k, Owner: rand.Text()}
	err := r.do(ctx, func(ctx context.Context) error {
		return r.client.SetArgs(ctx, r.lease(k), l.Owner, redis.SetArgs{Mode: "NX", TTL: ttl}).Err()
	})
	switch {
	case errors.Is(err, redis.Nil):
		return Lease{}, ErrHeld
	case err != nil:
		return Lease{}, err
	}
	return l, nil
}

// Extend implements [Store].
func (r *Redis) Extend(ctx context.Context, l Lease, ttl time.Duration) error {
	return r.owned(ctx, extendScript, l, ttl.Milliseconds())
}

// Put implements [Store].
func (r *Redis) Put(ctx context.Context, l Lease, s Issued) error {
	left := time.Until(s.At.Add(s.Life)).Milliseconds()
	if left <= 0 {
		return nil // Redis knows no expiry in the past
	}
	sealed, err := r.sealer.seal(l.Key, s)
	if err != nil {
		return err
	}
	return r.owned(ctx, putScript, l, sealed, left, r.channel(), l.Key.String())
}

// Release implements [Store].
func (r *Redis) Release(ctx context.Context, l Lease) error {
	return r.owned(ctx, releaseScript, l, r.channel(), l.Key.String())
}

// owned runs a script that returns 0 when the lease is another's.
func (r *Redis) owned(ctx context.Context, script *redis.Script, l Lease, args ...any) error {
	var done int
	err := r.do(ctx, func(ctx context.Context) (err error) {
		done, err = script.Run(ctx, r.client, []string{r.lease(l.Key), r.session(l.Key)}, append([]any{l.Owner}, args...)...).Int()
		return err
	})
	if err == nil && done == 0 {
		return ErrNotHeld
	}
	return err
}

// do makes one call within the timeout, unless Redis is being left alone.
func (r *Redis) do(ctx context.Context, call func(context.Context) error) error {
	_, err := r.breaker.Execute(func() (any, error) {
		bounded, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		return nil, call(bounded)
	})
	if err != nil {
		if troubleOf(err) != "" && !errors.Is(err, redis.Nil) {
			poke(r.health.bell)
		}
		return fmt.Errorf("creds: redis: %w", err)
	}
	return nil
}

// Watch implements [Store].
func (r *Redis) Watch(k Key) (wake <-chan struct{}, stop func()) { return r.watchers.watch(k.String()) }

// Run implements [Store], and logs that the server is lost or back.
func (r *Redis) Run(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { r.health.run(ctx, r.lookFor) })
	both.Go(func() { r.listen(ctx) })
	both.Wait()
	return nil
}

// listen has one subscription wake all who watch. The client connects again by itself; what was published meanwhile is
// lost, so everybody is woken then.
func (r *Redis) listen(ctx context.Context) {
	subscription := r.client.Subscribe(ctx, r.channel())
	defer func() { _ = subscription.Close() }()
	messages := subscription.ChannelWithSubscriptions()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-messages:
			if m, ok := m.(*redis.Message); ok {
				r.watchers.wake(m.Payload)
			} else {
				r.watchers.wakeAll()
			}
		}
	}
}

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }

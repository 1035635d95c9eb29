package identity

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/rolebridge/rolebridge/integration"
)

// Bounds of what issuers may cost.
const (
	// maxIssuers are remembered; of more the one that was used longest ago is forgotten.
	maxIssuers = 10_000
	// maxFetches are under way at once, maxOwn of them for one organization: a customer with many dead issuers waits for
	// itself.
	maxFetches = 256
	maxOwn     = 4
	// rollOver is the least time between two fetches of one issuer's keys for keys that are not known.
	rollOver = 10 * time.Second
	// A failed fetch is tried again after firstPause, and then after twice as long up to longestPause.
	firstPause   = time.Second
	longestPause = time.Minute
)

// issuer is what is known of an issuer.
type issuer struct {
	url  string
	keys atomic.Pointer[keySet] // nil before they were fetched once

	// Guarded by issuers.mu.
	fetch    *fetch
	notUntil time.Time // of the next fetch
	failures int       // in a row
}

// fetch is one under way, which any number of callers wait for.
type fetch struct{ done chan struct{} }

// issuers fetches the keys of issuers, each in a goroutine of its own.
type issuers struct {
	config  Config
	ask     func(ctx context.Context, issuer string) (*keySet, error)
	log     *slog.Logger
	metrics *metrics

	mu    sync.Mutex
	byURL *lru.Cache[string, *issuer]
	own   map[integration.OrganizationID]int // fetches under way
	all   int
	base  context.Context // nil while nobody runs
	group *sync.WaitGroup
}

func newIssuers(c Config, ask func(context.Context, string) (*keySet, error), log *slog.Logger, m *metrics) *issuers {
	byURL, err := lru.New[string, *issuer](maxIssuers)
	if err != nil {
		panic(err) // only of a size below one
	}
	return &issuers{config: c, ask: ask, log: log, metrics: m, byURL: byURL, own: map[integration.OrganizationID]int{}, group: &sync.WaitGroup{}}
}

func (s *issuers) run(ctx context.Context) error {
	s.mu.Lock()
	s.base = ctx
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.base = nil
	s.mu.Unlock()
	s.group.Wait()
	return nil
}

func (s *issuers) at(url string) *issuer {
	s.mu.Lock()
	defer s.mu.Unlock()
	is, ok := s.byURL.Get(url)
	if !ok {
		is = &issuer{url: url}
		s.byURL.Add(url, is)
	}
	return is
}

// key returns the issuer's key for a token's header; nil when the issuer has none.
func (s *issuers) key(
	ctx context.Context, o integration.OrganizationID, url string, header jose.Header, patience time.Duration,
) (*key, *issuer, error) {
	is := s.at(url)
	now := time.Now()
	keys := s.believed(is, now)
	if k := keys.find(header); k != nil {
		s.freshen(is, keys, o, now) //nolint:contextcheck // a fetch outlives who starts it
		return k, is, nil
	}
	f := s.begin(is, o, now) //nolint:contextcheck // likewise
	if f == nil {            // asked lately, or too much is asked
		if keys == nil {
			return nil, nil, ErrUnavailable
		}
		return nil, is, nil
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-f.done:
	case <-late.C:
		return nil, nil, ErrUnavailable
	case <-ctx.Done():
		return nil, nil, ErrUnavailable
	}
	if keys = s.believed(is, time.Now()); keys == nil {
		return nil, nil, ErrUnavailable
	}
	return keys.find(header), is, nil
}

// still reports whether a key has not been withdrawn. While the issuer cannot be asked it has not.
func (s *issuers) still(is *issuer, thumbprint string, o integration.OrganizationID, now time.Time) bool {
	keys := is.keys.Load()
	s.freshen(is, keys, o, now)
	_, ok := keys.prints[thumbprint]
	return ok
}

// believed are the keys that may be used: those fetched within [Config.Keep].
func (s *issuers) believed(is *issuer, now time.Time) *keySet {
	keys := is.keys.Load()
	if keys == nil || now.Sub(keys.at) > s.config.Keep {
		return nil
	}
	return keys
}

// freshen fetches keys that have come of age, and waits for nothing.
func (s *issuers) freshen(is *issuer, keys *keySet, o integration.OrganizationID, now time.Time) {
	if now.Sub(keys.at) > s.config.Refresh {
		s.begin(is, o, now)
	}
}

// begin returns the fetch that is under way, or starts one if one may be started; else nil.
func (s *issuers) begin(is *issuer, o integration.OrganizationID, now time.Time) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case is.fetch != nil:
		return is.fetch
	case s.base == nil, now.Before(is.notUntil), s.all >= maxFetches, s.own[o] >= maxOwn:
		return nil
	}
	f := &fetch{done: make(chan struct{})}
	is.fetch = f
	s.all++
	s.own[o]++
	ctx, cancel := context.WithTimeout(s.base, s.config.Timeout)
	s.group.Go(func() {
		defer cancel()
		keys, err := s.ask(ctx, is.url)
		s.end(is, o, keys, err)
	})
	return f
}

// end puts what was fetched in place. A failure never takes keys away.
func (s *issuers) end(is *issuer, o integration.OrganizationID, keys *keySet, err error) {
	s.metrics.fetched(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if err == nil {
		keys.at = now
		is.keys.Store(keys)
		is.failures, is.notUntil = 0, now.Add(rollOver)
	} else {
		pause := min(firstPause<<min(is.failures, 10), longestPause)
		pause = time.Duration(float64(pause) * (0.75 + rand.Float64()/2)) //nolint:gosec // jitter is no secret
		is.failures++
		is.notUntil = now.Add(pause)
		s.log.Warn("keys of an issuer not fetched", "issuer", is.url, "organization", o, "error", err, "again_in", pause.Round(time.Millisecond))
	}
	s.all--
	if s.own[o]--; s.own[o] == 0 {
		delete(s.own, o)
	}
	close(is.fetch.done)
	is.fetch = nil
}

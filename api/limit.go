package api

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/rolebridge/rolebridge/integration"
)

// trackedKeys bounds the memory of the limiter; the key that was idle longest is forgotten first, and then has its whole
// burst again.
const trackedKeys = 10_000

// limiter gives every key a rate of its own. Each replica of the api counts for itself.
type limiter struct {
	rate  rate.Limit
	burst int

	mu   sync.Mutex // a key's limiter must not be made twice
	keys *lru.Cache[string, *rate.Limiter]
}

func newLimiter(c Config) (*limiter, error) {
	keys, err := lru.New[string, *rate.Limiter](trackedKeys)
	return &limiter{rate: rate.Limit(c.Rate), burst: c.Burst, keys: keys}, err
}

// take takes one request of the key's allowance, and says in the header what is left: the size of the burst, what
// remains of it, and the seconds until it is whole again.
func (l *limiter) take(key string, header http.Header, now time.Time) *failure {
	l.mu.Lock()
	of, ok := l.keys.Get(key)
	if !ok {
		of = rate.NewLimiter(l.rate, l.burst)
		l.keys.Add(key, of)
	}
	l.mu.Unlock()

	allowed := of.AllowN(now, 1)
	left := max(0, of.TokensAt(now))
	whole := math.Ceil((float64(l.burst) - left) / float64(l.rate))
	header.Set("X-Ratelimit-Limit", strconv.Itoa(l.burst))
	header.Set("X-Ratelimit-Remaining", strconv.Itoa(int(left)))
	header.Set("X-Ratelimit-Reset", strconv.Itoa(int(whole)))
	if allowed {
		return nil
	}
	wait := max(1, int(math.Ceil((1-left)/float64(l.rate))))
	f := fail(integration.CodeThrottled, "this key may make %g requests a second", float64(l.rate))
	f.header = http.Header{"Retry-After": {strconv.Itoa(wait)}}
	return f
}

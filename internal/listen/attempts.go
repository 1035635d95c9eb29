package listen

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxSources bounds the memory of attempts, about 3 MB; the source that failed longest ago is forgotten first.
const maxSources = 10_000

// Attempts limits failed attempts by source: over the bound they are answered with 429, which tells clients to slow down,
// and the log names the source once a minute.
//
// It looks at nothing but attempts that have failed already: a token that is right is answered always, since a source may be
// the one address of many tenants. So it is no defence against guessing, which 256 random bits are. Safe for concurrent use.
type Attempts struct {
	rate    rate.Limit
	burst   int
	sources *lru.Cache[Source, *failing]
}

// failing is a source of failed attempts.
type failing struct {
	limit *rate.Limiter
	told  rate.Sometimes
}

// NewAttempts allows each source so many failed attempts a second in the long run, and burst at once; both are more than 0.
func NewAttempts(perSecond float64, burst int) *Attempts {
	sources, err := lru.New[Source, *failing](maxSources)
	if err != nil {
		panic(err) // only of a size below one
	}
	return &Attempts{rate: rate.Limit(perSecond), burst: burst, sources: sources}
}

// Failed counts a failed attempt, and reports whether there are too many; over is then called at most once a minute for
// each source.
func (a *Attempts) Failed(from Source, now time.Time, over func()) bool {
	source, ok := a.sources.Get(from)
	if !ok {
		source = &failing{limit: rate.NewLimiter(a.rate, a.burst), told: rate.Sometimes{First: 1, Interval: time.Minute}}
		if other, there, _ := a.sources.PeekOrAdd(from, source); there {
			source = other
		}
	}
	if source.limit.AllowN(now, 1) {
		return false
	}
	source.told.Do(over)
	return true
}

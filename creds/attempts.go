package creds

import (
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/rolebridge/rolebridge/internal/listen"
)

// maxSources bounds the memory of attempts, about 3 MB; the source that failed longest ago is forgotten first.
const maxSources = 10_000

// attempts limits failed attempts by source: over the bound they are answered with 429, which tells clients to slow down,
// and the log names the source once a minute.
//
// It looks at nothing but attempts that have failed already: a token that is right is answered always, since a source may be
// the one address of many tenants. So it is no defence against guessing, which 256 random bits are.
type attempts struct {
	rate    rate.Limit
	burst   int
	sources *lru.Cache[listen.Source, *failing]
}

// failing is a source of failed attempts.
type failing struct {
	limit *rate.Limiter
	told  rate.Sometimes
}

func newAttempts(c Config) *attempts {
	sources, err := lru.New[listen.Source, *failing](maxSources)
	if err != nil {
		panic(err) // only of a size below one
	}
	return &attempts{rate: rate.Limit(c.FailedAttempts), burst: c.FailedBurst, sources: sources}
}

// failed counts a failed attempt, and reports whether there are too many; over is then called at most once a minute for
// each source.
func (a *attempts) failed(from listen.Source, now time.Time, over func()) bool {
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

// Sources says where requests come from; [listen.Sources] does.
type Sources interface {
	Of(r *http.Request) listen.Source
}

// WithSources says where requests come from; the default is the peer.
func WithSources(s Sources) Option { return func(o *options) { o.sources = s } }

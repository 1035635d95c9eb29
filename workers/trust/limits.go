package trust

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// errLimited means that a call's turn would have come too late.
var errLimited = errors.New("too many calls into this account")

// limits bounds the calls into each customer account. Of the accounts that were not called for longest it forgets the
// rest: those have rested, and start anew with a full burst, as they would have anyway.
type limits struct {
	config  ProverConfig
	metrics *metrics

	mu       sync.Mutex
	accounts *simplelru.LRU[string, *rate.Limiter]
}

func newLimits(c ProverConfig, m *metrics) (*limits, error) {
	accounts, err := simplelru.NewLRU[string, *rate.Limiter](c.Accounts, nil)
	if err != nil {
		return nil, err
	}
	return &limits{config: c, metrics: m, accounts: accounts}, nil
}

func (l *limits) of(account string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.accounts.Get(account)
	if !ok {
		limiter = rate.NewLimiter(rate.Limit(l.config.CallsPerSecond), l.config.CallsBurst)
		l.accounts.Add(account, limiter)
	}
	return limiter
}

// turn waits until a call into account is due. errLimited: not within CallWait.
func (l *limits) turn(ctx context.Context, account string) error {
	turn := l.of(account).Reserve()
	wait := turn.Delay()
	if wait == 0 {
		return ctx.Err()
	}
	if wait > l.config.CallWait {
		turn.Cancel()
		l.metrics.limited.WithLabelValues(limitRefused).Inc()
		return errLimited
	}
	l.metrics.limited.WithLabelValues(limitWaited).Inc()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		turn.Cancel()
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

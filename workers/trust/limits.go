package trust

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/rolebridge/rolebridge/integration"
)

// errLimited means that a call's turn would have come too late.
var errLimited = errors.New("too many calls into this account")

// limits bounds the calls into each customer account, for each organization apart: anybody may name any account, and must
// not delay the proofs of those whose account it is. Dry runs have a part of their own, so that they delay no proof.
//
// Of the parties that called nobody for longest it forgets the rest: those have rested, and start anew with a full burst,
// as they would have anyway.
type limits struct {
	config  ProverConfig
	metrics *metrics

	mu      sync.Mutex
	parties *simplelru.LRU[party, *rate.Limiter]
}

// party is who calls into which account.
type party struct {
	organization integration.OrganizationID
	account      string
	dryRun       bool
}

// dryRunPart is the part of an organization's calls that dry runs have on top.
const dryRunPart = 0.25

func newLimits(c ProverConfig, m *metrics) (*limits, error) {
	parties, err := simplelru.NewLRU[party, *rate.Limiter](c.Accounts, nil)
	if err != nil {
		return nil, err
	}
	return &limits{config: c, metrics: m, parties: parties}, nil
}

func (l *limits) of(p party) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.parties.Get(p)
	if !ok {
		perSecond, burst := l.config.CallsPerSecond, l.config.CallsBurst
		if p.dryRun {
			perSecond, burst = perSecond*dryRunPart, max(1, int(float64(burst)*dryRunPart))
		}
		limiter = rate.NewLimiter(rate.Limit(perSecond), burst)
		l.parties.Add(p, limiter)
	}
	return limiter
}

// turn waits until a call of p is due. errLimited: not within CallWait.
func (l *limits) turn(ctx context.Context, p party) error {
	turn := l.of(p).Reserve()
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

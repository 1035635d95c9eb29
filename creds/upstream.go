package creds

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// Cloud is what the broker needs of a cloud. Errors are classified by [cloud.FaultOf]. Safe for concurrent use.
type Cloud interface {
	// Assume makes a session of a role. A nil as means the platform's own credentials, otherwise those of as.
	Assume(ctx context.Context, as *cloud.Session, role Role) (cloud.Session, error)
}

// Role is one step of a chain as a [Cloud] is asked for it. An empty text is left out of the request.
type Role struct {
	ARN         string
	SessionName string
	ExternalID  string
	Tags        map[string]string
	Policy      string
	// SourceIdentity stays with the session whatever role it assumes next.
	SourceIdentity string
	Region         string
	Duration       time.Duration
}

// role is the last step of the recipe's chain.
func (r Recipe) role() Role {
	return Role{
		ARN: r.Chain[len(r.Chain)-1], SessionName: r.SessionName, ExternalID: r.ExternalID, Tags: r.Tags, Policy: r.Policy, SourceIdentity: r.SourceIdentity,
		Region: r.Region, Duration: r.Duration,
	}
}

// hop is which step of a chain is asked for; the label of metrics.
type hop string

const (
	hopPlatform hop = "platform-role"
	hopCustomer hop = "customer-role"
)

func (r Recipe) hop() hop {
	if len(r.Chain) == 1 {
		return hopPlatform
	}
	return hopCustomer
}

// upstream protects a cloud's endpoint from us, and us from it: bounded concurrency, a pace that yields to throttling,
// and a breaker. A refusal is an answer and touches neither pace nor breaker.
type upstream struct {
	cloud   Cloud
	timeout time.Duration
	calls   *semaphore.Weighted
	pace    *pace
	breaker *gobreaker.CircuitBreaker[Issued]
	metrics *metrics
	tracer  *telemetry.Tracer
}

func newUpstream(cfg Config, c Cloud, log *slog.Logger, m *metrics) *upstream {
	return &upstream{
		cloud: c, timeout: cfg.Timeout, calls: semaphore.NewWeighted(int64(cfg.Calls)), pace: newPace(cfg.Rate), metrics: m,
		breaker: gobreaker.NewCircuitBreaker[Issued](gobreaker.Settings{
			Name: cfg.Region, Timeout: cfg.BreakFor,
			ReadyToTrip:  func(c gobreaker.Counts) bool { return int64(c.ConsecutiveFailures) >= int64(cfg.BreakAfter) },
			IsSuccessful: func(err error) bool { return err == nil || cloud.FaultOf(err) != cloud.FaultUnavailable },
			IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) },
			OnStateChange: func(region string, from, to gobreaker.State) {
				switch {
				case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
					log.Warn("cloud lost", "region", region)
				case to == gobreaker.StateClosed:
					log.Info("cloud back", "region", region)
				}
			},
		}),
	}
}

// errLeftAlone is a call that was not made because the ones before it failed.
var errLeftAlone = &cloud.Error{Fault: cloud.FaultUnavailable, Code: "LeftAlone", Op: "assume", Message: "the cloud failed several times in a row"}

// assume asks the cloud for the recipe's session. It may wait for its turn as long as ctx lets it.
func (u *upstream) assume(ctx context.Context, as *cloud.Session, r Recipe) (Issued, error) {
	ctx, end := u.tracer.Start(ctx, "assume "+string(r.hop()))
	s, err := u.try(ctx, as, r)
	end(failure(err))
	u.metrics.called(r.hop(), err)
	return s, err
}

// facts are what a span says of the session that is fetched.
func (r Recipe) facts() []telemetry.Fact {
	return []telemetry.Fact{
		{Name: "organization", Value: string(r.Organization)},
		{Name: "integration", Value: string(r.Integration)},
		{Name: "connector", Value: string(r.Connector)},
		{Name: "session", Value: r.SessionName},
	}
}

// failure is what a span says of an error.
func failure(err error) string {
	if err == nil {
		return ""
	}
	return string(cloud.FaultOf(err))
}

func (u *upstream) try(ctx context.Context, as *cloud.Session, r Recipe) (Issued, error) {
	if u.breaker.State() == gobreaker.StateOpen {
		return Issued{}, errLeftAlone
	}
	if err := u.pace.limit.Wait(ctx); err != nil {
		return Issued{}, err
	}
	if err := u.calls.Acquire(ctx, 1); err != nil {
		return Issued{}, err
	}
	defer u.calls.Release(1)
	s, err := u.breaker.Execute(func() (Issued, error) {
		ctx, cancel := context.WithTimeout(ctx, u.timeout)
		defer cancel()
		// The life counts from before the call: the answer may have waited for us, in a process that was suspended.
		at := time.Now()
		s, err := u.cloud.Assume(ctx, as, r.role())
		return newIssued(s, at, r.Duration), err
	})
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return s, errLeftAlone
	case err == nil:
		u.pace.answered(time.Now())
	case cloud.FaultOf(err) == cloud.FaultThrottled:
		u.pace.throttled(time.Now())
	}
	return s, err
}

// pace is a rate that halves when the cloud throttles and grows back in twenty seconds of answers.
type pace struct {
	limit *rate.Limiter

	mu      sync.Mutex
	ceiling rate.Limit
	changed time.Time
}

const (
	paceStep  = time.Second // calls under way are throttled together: they count as one
	paceSteps = 20
	paceFloor = rate.Limit(1)
)

func newPace(perSecond float64) *pace {
	return &pace{limit: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond))), ceiling: rate.Limit(perSecond)}
}

func (p *pace) throttled(now time.Time) { p.change(now, p.limit.Limit()/2) }

func (p *pace) answered(now time.Time) {
	if p.limit.Limit() < p.ceiling {
		p.change(now, p.limit.Limit()+p.ceiling/paceSteps)
	}
}

// change sets the limit, and a burst of a second's worth: a burst of the old limit would be throttled again.
func (p *pace) change(now time.Time, to rate.Limit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.changed) < paceStep {
		return
	}
	p.changed = now
	to = min(max(to, paceFloor), p.ceiling)
	p.limit.SetLimitAt(now, to)
	p.limit.SetBurstAt(now, max(1, int(to)))
}

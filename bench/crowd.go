package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Load of [coldCrowd]: keys that nobody has read yet, of one organization with nearly all of them and of one with few.
const (
	greedyKeys = 9_900
	modestKeys = 100
	coldAnswer = 20 * time.Millisecond // of the cloud
)

// coldCrowd measures how long an organization with few cold keys waits for the last of them while another one has thousands,
// against the same without the other. Every caller comes again after a second, as Retry-After says.
func coldCrowd(ctx context.Context) (Result, error) {
	alone, _, err := crowded(ctx, 0)
	if err != nil {
		return Result{}, err
	}
	beside, all, err := crowded(ctx, greedyKeys)
	if err != nil {
		return Result{}, err
	}
	if calls := greedyKeys + modestKeys; all.calls != int64(2*calls) {
		return Result{}, fmt.Errorf("%d calls to the cloud for %d cold keys, want two for each", all.calls, calls)
	}
	cfg := crowdConfig()
	return Result{
		Value: beside.Seconds() * 1000, Unit: "ms to the last of 100 keys", Baseline: alone.Seconds() * 1000,
		Details: map[string]any{
			"baseline_is":      "the same 100 keys without the other organization",
			"other_keys":       greedyKeys,
			"other_seconds":    rounded(all.slowest.Seconds()),
			"other_throttled":  all.throttled.Load(),
			"longest_answer":   rounded(float64(all.longest.Load()) / 1e6),
			"calls_at_once":    cfg.Calls,
			"most_at_once":     all.most,
			"calls_per_second": cfg.Rate,
			"cloud_ms":         coldAnswer.Milliseconds(),
		},
	}, nil
}

func crowdConfig() creds.Config {
	cfg := creds.Defaults()
	cfg.Rate = 1000
	return cfg
}

// stampede is what became of those who came at once.
type stampede struct {
	slowest   time.Duration
	throttled atomic.Int64
	longest   atomic.Int64 // answer, in nanoseconds
	calls     int64
	most      int64
}

// crowded lets the modest organization's callers come a second after the greedy one's.
func crowded(ctx context.Context, others int) (modest time.Duration, all *stampede, err error) {
	replica := credstest.NewReplica()
	bind := func(o string, n int) secret.Text {
		id := integration.ID(fmt.Sprintf("cspi-%s-%d", o, n))
		replica.Trusted(integration.OrganizationID(o), id, "arn:aws:iam::123456789012:role/"+string(id), customerRole(n), "external-id", true)
		token := credstest.NewToken()
		replica.Bind(id, "lcc-1", token)
		return token
	}
	var greedy, few []secret.Text
	for n := range others {
		greedy = append(greedy, bind("greedy", n))
	}
	for n := range modestKeys {
		few = append(few, bind("modest", n))
	}
	sts := &slowCloud{answers: coldAnswer}
	broker, err := creds.New(crowdConfig(), replica, noStore{}, sts, creds.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	running := make(chan error, 1)
	go func() { running <- broker.Run(ctx) }()
	all = &stampede{}
	g, gctx := errgroup.WithContext(ctx)
	if others > 0 {
		g.Go(func() (err error) {
			all.slowest, err = all.come(gctx, broker, greedy)
			return err
		})
		_ = pause(ctx, time.Second) // all who come after its end are told
	}
	g.Go(func() (err error) {
		modest, err = all.come(gctx, broker, few)
		return err
	})
	err = g.Wait()
	cancel()
	all.calls, all.most = sts.calls.Load(), sts.most.Load()
	return modest, all, errors.Join(err, <-running)
}

// come returns how long the last one waited.
func (s *stampede) come(ctx context.Context, broker *creds.Broker, tokens []secret.Text) (time.Duration, error) {
	var g errgroup.Group
	start := time.Now()
	for _, token := range tokens {
		g.Go(func() error {
			for {
				asked := time.Now()
				_, err := broker.Session(ctx, token)
				for took := int64(time.Since(asked)); took > s.longest.Load(); {
					s.longest.Store(took) // a lost race costs a measurement that is nearly the same
				}
				var refusal *integration.Refusal
				switch {
				case err == nil:
					return nil
				case !errors.As(err, &refusal):
					return err
				case refusal.Code == integration.CodeThrottled:
					s.throttled.Add(1)
				case refusal.Code != integration.CodeUnavailable:
					return err
				}
				if err := pause(ctx, time.Second); err != nil {
					return err
				}
			}
		})
	}
	err := g.Wait()
	return time.Since(start), err
}

// slowCloud answers after a while and counts.
type slowCloud struct {
	tokens
	answers             time.Duration
	calls, active, most atomic.Int64
}

// Assume implements [creds.Cloud].
func (c *slowCloud) Assume(ctx context.Context, as *cloud.Session, r creds.Role) (cloud.Session, error) {
	c.calls.Add(1)
	if now := c.active.Add(1); now > c.most.Load() {
		c.most.Store(now)
	}
	defer c.active.Add(-1)
	if err := pause(ctx, c.answers); err != nil {
		return cloud.Session{}, err
	}
	return c.tokens.Assume(ctx, as, r)
}

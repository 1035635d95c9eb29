package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/integration"
)

// Load of [proofSchedule].
const (
	scheduled  = 100_000
	lookedAt   = 365 * 24 * time.Hour
	createdIn  = time.Minute
	outageAt   = 100 * 24 * time.Hour // nobody decides from then on
	outageFor  = time.Hour
	proofTakes = time.Second
)

// proofSchedule counts the proofs of valid integrations over a year, by the rules of package integration: all of them
// are made in one minute, and for an hour nobody decides. Value is the most in any 60 minutes, the first included, and the
// baseline the mean of an hour.
func proofSchedule(context.Context) (Result, error) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	all := make([]planned, scheduled)
	for n := range all {
		id := fmt.Sprintf("cspi-%010x", rand.Uint64N(1<<40)) //nolint:gosec // no secret
		at := begin.Add(createdIn * time.Duration(n) / scheduled)
		all[n].is = integration.Integration{ID: integration.ID(id), Trust: integration.Trust{Status: integration.TrustValid}, Due: at, UpdatedAt: at}
	}
	minutes := make([]int, lookedAt/time.Minute)
	down := begin.Add(outageAt)
	proveUntil(all, begin, down, minutes)

	// What a decider does that restores its state.
	up := down.Add(outageFor)
	slices.SortFunc(all, func(a, b planned) int { return cmp.Or(a.is.Due.Compare(b.is.Due), cmp.Compare(a.is.ID, b.is.ID)) })
	late := 0
	for n := range all {
		if all[n].is.Due.Before(up) {
			all[n].lookAt = all[n].is.CatchUp(up, late, scheduled)
			late++
		}
	}
	proveUntil(all, begin, begin.Add(lookedAt), minutes)

	sum := 0
	for _, n := range minutes {
		sum += n
	}
	mean := float64(sum) / (float64(len(minutes)) / 60)
	settled := int((outageAt + outageFor) / time.Minute)
	return Result{
		Value: float64(worstHour(minutes)), Unit: "proofs in the worst 60 minutes", Baseline: mean,
		Details: map[string]any{
			"baseline_is":                "the mean of an hour",
			"integrations":               scheduled,
			"days":                       int(lookedAt.Hours() / 24),
			"made_within_seconds":        createdIn.Seconds(),
			"outage_seconds":             outageFor.Seconds(),
			"due_in_the_outage":          late,
			"ratio_after_the_first_hour": rounded(float64(worstHour(minutes[60:])) / mean),
			"ratio_after_the_outage":     rounded(float64(worstHour(minutes[settled:])) / mean),
			"most_in_a_minute_after_it":  slices.Max(minutes[settled:]),
			"proofs":                     sum,
			"proof_takes_seconds":        proofTakes.Seconds(),
		},
		Targets: []Target{
			atMost("the worst hour to the mean one", float64(worstHour(minutes))/mean, 1.3),
			atMost("the worst hour after the outage to the mean one", float64(worstHour(minutes[settled:]))/mean, 1.3),
		},
	}, nil
}

// planned is an integration and when its timer is looked at, if that is not its due time.
type planned struct {
	is     integration.Integration
	lookAt time.Time
}

// proveUntil proves each integration whenever it is due and counts that by the minute. They do not depend on one another.
func proveUntil(all []planned, begin, end time.Time, minutes []int) {
	parts := runtime.GOMAXPROCS(0)
	counts := make([][]int, parts)
	var g errgroup.Group
	for p := range parts {
		counts[p] = make([]int, len(minutes))
		g.Go(func() error {
			for n := p; n < len(all); n += parts {
				i := &all[n]
				for {
					at := i.is.Due
					if i.lookAt.After(at) {
						at = i.lookAt
					}
					if !at.Before(end) {
						break
					}
					counts[p][at.Sub(begin)/time.Minute]++
					now := at.Add(proofTakes)
					i.is.Due, i.is.UpdatedAt = i.is.NextProof(now, rand.Float64()), now //nolint:gosec // spreads timers
				}
			}
			return nil
		})
	}
	_ = g.Wait() // nothing fails
	for _, part := range counts {
		for n, count := range part {
			minutes[n] += count
		}
	}
}

// worstHour is the most in 60 minutes in a row, whenever they begin.
func worstHour(minutes []int) (worst int) {
	sum := 0
	for n, count := range minutes {
		sum += count
		if out := n - 60; out >= 0 {
			sum -= minutes[out] //nolint:gosec // not below 0
		}
		worst = max(worst, sum)
	}
	return worst
}

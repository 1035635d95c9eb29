package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Load of [paced]: so many connections take what is due next.
const (
	pacedConnections = 32
	pacedRounds      = 3
	pacedFor         = 2 * time.Second
)

// pacedRates are reads per second.
var pacedRates = []int{500, 5000}

// paced reads at a rate that does not depend on the answers (an open loop), and counts each read's time from the moment
// in which it was due. A server that stands still for a while thus shows in all the reads that were due meanwhile, and
// not in one of each connection. What the timers of this machine are late is in it, for ours and for the baseline.
func paced(ctx context.Context, address string, perSecond int, d time.Duration) ([]time.Duration, error) {
	var callers []*caller
	defer func() {
		for _, c := range callers {
			c.conn.Close()
		}
	}()
	for n := range pacedConnections {
		c, err := dial(ctx, address, n)
		if err != nil {
			return nil, err
		}
		callers = append(callers, c)
	}
	var (
		next atomic.Int64
		mu   sync.Mutex
		took []time.Duration
		g    errgroup.Group
	)
	start, every, count := time.Now().Add(10*time.Millisecond), time.Second/time.Duration(perSecond), int64(d.Seconds()*float64(perSecond))
	for _, c := range callers {
		g.Go(func() error {
			var mine []time.Duration
			for n := next.Add(1) - 1; n < count; n = next.Add(1) - 1 {
				due := start.Add(time.Duration(n) * every)
				if err := pause(ctx, time.Until(due)); err != nil {
					return err
				}
				if err := c.once(int(n)); err != nil {
					return err
				}
				mine = append(mine, time.Since(due))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			return nil
		})
	}
	return took, g.Wait()
}

// latencies measures ours and the baseline at each rate, in turns, and returns their quantiles in microseconds.
func latencies(ctx context.Context, ours, base string) (map[string]any, error) {
	all := map[string]any{}
	for _, rate := range pacedRates {
		var of [2][]time.Duration
		for round := range pacedRounds {
			for turn := range 2 {
				who := (round + turn) % 2
				took, err := paced(ctx, []string{ours, base}[who], rate, pacedFor)
				if err != nil {
					return nil, err
				}
				of[who] = append(of[who], took...)
			}
		}
		mine, bare := quantiles(of[0]), quantiles(of[1])
		all[fmt.Sprint(rate, "/s")] = map[string]any{"latency_us": mine, "baseline_latency_us": bare, "p99_ratio": rounded(mine["p99"] / bare["p99"])}
	}
	return all, nil
}

// quantiles in microseconds.
func quantiles(took []time.Duration) map[string]float64 {
	slices.Sort(took)
	of := map[string]float64{"p50": .5, "p99": .99, "p99.9": .999, "max": 1}
	for name, q := range of {
		at := min(int(q*float64(len(took))), len(took)-1)
		of[name] = rounded(float64(took[at].Nanoseconds()) / 1000)
	}
	return of
}

package process

import (
	"context"
	"time"
)

// poll is how often a condition outside of our process is looked at. Servers take 10 ms to 3 s to start.
const poll = 5 * time.Millisecond

// Wait looks at ok until it answers true or ctx ends.
func Wait(ctx context.Context, ok func() bool) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

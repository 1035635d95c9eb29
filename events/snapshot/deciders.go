package snapshot

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/rolebridge/rolebridge/events"
)

// A group that rebalances is looked at again so often, and for so long: what its members read is known only when it has
// settled, and a member that is gone is waited for by Kafka for 45 s by default.
const (
	lookEvery    = 250 * time.Millisecond
	settleWithin = 90 * time.Second
)

// nobodyDecides looks whether anybody reads the commands, in the named group or in any other: the deciders' settings may
// name theirs otherwise. A new Kafka has no coordinator of groups before one is asked for; it comes within seconds.
func nobodyDecides(ctx context.Context, admin *kadm.Client, t events.Topics, group string) error {
	settled := time.NewTimer(settleWithin)
	defer settled.Stop()
	for {
		reading, moving, err := events.Readers(ctx, admin, t.Commands(), group)
		switch {
		case len(reading) > 0:
			return fmt.Errorf("%w: group %s has %d members", ErrDeciders, reading[0].Group, len(reading[0].Members))
		case err == nil && len(moving) == 0 || err != nil && !kerr.IsRetriable(err):
			return err
		}
		select {
		case <-time.After(lookEvery):
		case <-settled.C:
			if err != nil {
				return err
			}
			return fmt.Errorf("%w: group %s rebalances, so nobody can tell whether it reads %s; try again", ErrDeciders, moving[0].Group, t.Commands())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

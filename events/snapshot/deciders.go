package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
		moving, err := readers(ctx, admin, t, group)
		if err == nil && moving == "" || err != nil && !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-time.After(lookEvery):
		case <-settled.C:
			if err != nil {
				return err
			}
			return fmt.Errorf("%w: group %s rebalances, so nobody can tell whether it reads %s; try again", ErrDeciders, moving, t.Commands())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readers returns [ErrDeciders] if there are any, else a group that rebalances, of which that cannot be told.
func readers(ctx context.Context, admin *kadm.Client, t events.Topics, group string) (moving string, err error) {
	all, err := admin.ListGroups(ctx)
	if err != nil {
		return "", fmt.Errorf("list groups: %w", err)
	}
	described, err := admin.DescribeGroups(ctx, slices.Compact(slices.Sorted(slices.Values(append(all.Groups(), group))))...)
	if err != nil {
		return "", fmt.Errorf("describe groups: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(described)) {
		g := described[name]
		_, assigned := g.AssignedPartitions()[t.Commands()]
		switch {
		case errors.Is(g.Err, kerr.GroupIDNotFound): // it has never been, or is gone by now
		case g.Err != nil:
			return "", fmt.Errorf("describe group %s: %w", name, g.Err)
		case len(g.Members) == 0:
		case name == group || assigned || slices.Contains(g.JoinTopics(), t.Commands()):
			return "", fmt.Errorf("%w: group %s has %d members", ErrDeciders, name, len(g.Members))
		case g.State != "Stable" && (g.ProtocolType == "consumer" || g.ProtocolType == ""):
			moving = name
		}
	}
	return moving, nil
}

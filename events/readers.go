package events

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Readers returns the groups that read a topic, and those that rebalance, of which that cannot be told before they have
// settled; both are sorted by name and have members. It looks at the groups that the principal may see and at those that
// are named; one that is named counts as a reader as soon as it has a member. If one of all these cannot be described it is
// an error, for want of a right [kerr.GroupAuthorizationFailed], beside what was found of the others.
func Readers(ctx context.Context, admin *kadm.Client, topic string, named ...string) (reading, moving []kadm.DescribedGroup, err error) {
	all, err := admin.ListGroups(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list groups: %w", err)
	}
	names := slices.Compact(slices.Sorted(slices.Values(append(all.Groups(), named...))))
	if len(names) == 0 {
		return nil, nil, nil // else all would be described
	}
	described, err := admin.DescribeGroups(ctx, names...)
	if err != nil {
		return nil, nil, fmt.Errorf("describe groups: %w", err)
	}
	for _, g := range described.Sorted() {
		_, assigned := g.AssignedPartitions()[topic]
		switch {
		case errors.Is(g.Err, kerr.GroupIDNotFound): // it has never been, or is gone by now
		case g.Err != nil:
			err = errors.Join(err, fmt.Errorf("describe group %s: %w", g.Group, g.Err))
		case len(g.Members) == 0:
		case assigned || slices.Contains(named, g.Group) || slices.Contains(g.JoinTopics(), topic):
			reading = append(reading, g)
		case g.State != "Stable" && (g.ProtocolType == "consumer" || g.ProtocolType == ""):
			moving = append(moving, g)
		}
	}
	return reading, moving, err
}

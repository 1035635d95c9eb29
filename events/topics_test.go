package events_test

import (
	"testing"

	"github.com/rolebridge/rolebridge/events"
)

// Two installations with one group would take partitions from each other.
func TestNoTwoInstallationsShareAGroup(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, prefix := range []string{events.DefaultPrefix, "", ".", "..", "-", "a", "a.", "a-", "a..", "a-.", "a.-", "a.b", "a.b.", "a-b."} {
		for _, worker := range []string{"lifecycle", "mapping", "trust"} {
			group := events.Topics{Prefix: prefix}.Group(worker)
			if other, taken := seen[group]; taken {
				t.Errorf("%s is the group of prefix %q and of %q", group, prefix, other)
			}
			seen[group] = prefix
		}
	}
	// Deciders of two groups at once decide everything twice, so the group of an installation must not change by itself.
	for _, worker := range []string{"lifecycle", "mapping", "trust"} {
		if got, want := (events.Topics{Prefix: events.DefaultPrefix}).Group(worker), "rolebridge-"+worker; got != want {
			t.Errorf("the group of %s is %s, want %s as it has always been", worker, got, want)
		}
	}
}

package events_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

func TestAListIsInOrderBeginsBehindAnIDAndStaysAsItWasWhenItBegan(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		const count = 200 // more than a node of the tree holds
		var records []*kgo.Record
		for n := range count {
			records = append(records, l.integration(2*(n*37%count), 1, "")) // even ones are of org-0
		}
		l.write(kgo.TryCommit, records...)
		table := l.table()
		ids := func(after integration.ID) (all []integration.ID) {
			for i := range table.List("org-0", "env-1", after) {
				all = append(all, i.ID)
			}
			return all
		}
		if all := ids(""); len(all) != count || !slices.IsSorted(all) || table.Listed("org-0", "env-1") != count {
			t.Errorf("got %d integrations, in order: %t, of %d; want %d", len(all), slices.IsSorted(all), table.Listed("org-0", "env-1"), count)
		}
		for after, want := range map[integration.ID]int{"cspi-00000": count - 1, "cspi-00001": count - 1, "cspi-00200": count/2 - 1, "cspi-00398": 0, "cspi-1": 0} {
			if got := ids(after); len(got) != want || slices.Contains(got, after) {
				t.Errorf("behind %s: got %d, want %d", after, len(got), want)
			}
		}

		// Others come and go while a loop runs, which may also ask the table.
		seen := 0
		for i := range table.List("org-0", "env-1", "") {
			if seen++; seen == 10 {
				deleting := integration.Integration{ID: "cspi-00300", Organization: "org-0", Environment: "env-1", Version: 2, Mapping: integration.Mapping{Status: integration.MappingRemoving}}
				l.write(kgo.TryCommit,
					l.integration(500, 1, ""), l.must(l.topics.IntegrationRecord("org-0", deleting.ID, &deleting)),
					l.must(l.topics.IntegrationRecord("org-0", "cspi-00302", nil)))
				if err := table.WaitUntil(t.Context(), "cspi-00302", func(i *integration.Integration) bool { return i == nil }); err != nil {
					t.Fatal(err)
				}
			}
			if i.Version != 1 {
				t.Errorf("%s is as it came to be while the loop ran", i.ID)
			}
		}
		if seen != count {
			t.Errorf("the loop saw %d, want the %d of its beginning", seen, count)
		}
		now := ids("")
		for _, gone := range []int{300, 302} {
			if slices.Contains(now, integration.ID(fmt.Sprintf("cspi-%05d", gone))) {
				t.Errorf("%d is listed after it went", gone)
			}
		}
		if len(now) != count-1 || now[len(now)-1] != "cspi-00500" || table.Listed("org-0", "env-1") != count-1 {
			t.Errorf("got %d up to %s, counted %d; want %d", len(now), now[len(now)-1], table.Listed("org-0", "env-1"), count-1)
		}
	})
}

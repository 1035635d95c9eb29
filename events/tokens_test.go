package events_test

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/polltest"
)

// soon fails the test when done is not closed within a bound that no healthy run comes near.
func soon(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("after 20 s: %s", what)
	}
}

func TestATokenIsFoundWhileTheTableIsBusy(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		o := integration.Organization{ID: "org-1"}
		l.write(kgo.TryCommit, l.must(l.topics.OrganizationRecord(o)), l.integration(1, 1, "aa"))
		table := l.table()
		walk, walking, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
		goOn := sync.OnceFunc(func() { close(walk) })
		t.Cleanup(goOn) // before the table's end, which the walk would hold up
		go func() {
			defer close(over)
			table.All(func(*integration.Integration) bool {
				close(walking)
				<-walk
				return true
			})
		}()
		<-walking
		l.write(kgo.TryCommit, l.integration(1, 2, "aa")) // has to wait for the walk to end
		waitsForWriter := func() bool {
			counted := make(chan struct{})
			go func() { table.Count(); close(counted) }()
			select {
			case <-counted:
				return false
			case <-time.After(100 * time.Millisecond):
				return true
			}
		}
		polltest.Until(t, "a record waits for the walk to end", waitsForWriter)
		found := make(chan struct{})
		go func() {
			defer close(found)
			look := func() bool {
				holders := table.Holders("aa")
				if len(holders) != 1 {
					return false
				}
				found, ok := holders[0].Binding()
				named, bound := table.Binding("cspi-00001", "lcc-1")
				return ok && bound && found == named
			}
			if !look() {
				t.Error("the token is not found while the table is busy")
			}
			if n := testing.AllocsPerRun(10_000, func() { look() }); n != 0 {
				t.Errorf("a look-up allocates %v times, want none", n)
			}
		}()
		soon(t, "who looks for a token still waits for others", found)
		goOn()
		soon(t, "the walk is not over", over)
		if err := table.WaitFor(t.Context(), "cspi-00001", 2); err != nil {
			t.Error(err)
		}
	})
}

func TestABindingShowsItsOrganizationAsItIsNow(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		l.write(kgo.TryCommit, l.integration(1, 1, "aa"))
		table := l.table()
		for _, h := range table.Holders("aa") {
			if b, ok := h.Binding(); ok {
				t.Errorf("a binding without its organization was found: %+v", b)
			}
		}
		if b, ok := table.Binding("cspi-00001", "lcc-1"); ok {
			t.Errorf("a binding without its organization was found: %+v", b)
		}
		for v := range int64(2) {
			l.write(kgo.TryCommit, l.must(l.topics.OrganizationRecord(integration.Organization{ID: "org-1", Version: v + 1})))
			polltest.Until(t, "the binding shows the organization's new version", func() bool {
				b, ok := table.Binding("cspi-00001", "lcc-1")
				return ok && b.Organization.Version == v+1
			})
		}
	})
}

package orders

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/integration"
)

func ask(id integration.ID, attempt int64) *task[integration.TrustAsked] {
	return &task[integration.TrustAsked]{
		order: Order[integration.TrustAsked]{Integration: id, Attempt: attempt}, entry: &entry{}, part: &progress{},
	}
}

func TestOneRunsAndTheLatestWaits(t *testing.T) {
	t.Parallel()
	l := newLanes[integration.TrustAsked]()
	first, second, third := ask("a", 1), ask("a", 2), ask("a", 3)
	other := ask("b", 1)
	for i, c := range []struct {
		add, superseded *task[integration.TrustAsked]
	}{{first, nil}, {other, nil}} {
		if got := l.add(c.add); got != c.superseded {
			t.Errorf("add %d: superseded %v, want %v", i, got, c.superseded)
		}
	}
	if got := l.start(); got != first {
		t.Fatalf("started %v, want the first of a", got)
	}
	if got := l.add(second); got != nil {
		t.Errorf("the second of a superseded %v, although the first runs", got)
	}
	if got := l.add(third); got != second {
		t.Errorf("the third of a superseded %v, want the second", got)
	}
	if got := l.add(second); got != second {
		t.Errorf("the second again superseded %v, want itself: the third waits", got)
	}
	if got := l.start(); got != other {
		t.Errorf("started %v, want b's, while a's first runs", got)
	}
	if got := l.start(); got != nil {
		t.Errorf("started %v, want none", got)
	}
	l.end("a")
	if got := l.start(); got != third {
		t.Errorf("started %v, want the third of a", got)
	}
}

func TestOrdersOfALostPartitionAreForgotten(t *testing.T) {
	t.Parallel()
	l := newLanes[integration.TrustAsked]()
	gone, stays, runs := ask("a", 1), ask("b", 1), ask("c", 1)
	l.add(runs)
	l.start()
	l.add(gone)
	l.add(stays)
	gone.part.lost, runs.part.lost = true, true
	if n := l.forget(); n != 1 {
		t.Errorf("%d orders were forgotten, want 1", n)
	}
	if got := l.start(); got != stays {
		t.Errorf("started %v, want that of b", got)
	}
	l.end("c")
	if got := l.start(); got != nil {
		t.Errorf("started %v, want none", got)
	}
}

// Whatever the order in which records are done: nothing is committed past a record that is not, and in the end all is.
func TestNothingIsCommittedPastWhatIsNotDone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := &progress{}
		left := map[int64]*entry{}
		committed, read, orders := int64(-1), int64(0), 0
		check := func(r *kgo.Record) {
			if r != nil {
				committed = r.Offset
			}
			for offset := range left {
				if committed >= offset {
					t.Fatalf("committed up to %d, but %d is not done", committed, offset)
				}
			}
		}
		finishAny := func() {
			offset := rapid.SampledFrom(sorted(left)).Draw(t, "offset")
			e := left[offset]
			delete(left, offset)
			check(p.finish(e))
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				left[read] = p.add(&kgo.Record{Offset: read}, false)
				read++
				orders++
			case 1:
				check(p.finish(p.add(&kgo.Record{Offset: read}, true)))
				read++
			case 2:
				if len(left) > 0 {
					finishAny()
				}
			}
			if n := len(p.pending); n > 2*orders {
				t.Fatalf("%d entries are kept for %d orders: what needs nothing piles up", n, orders)
			}
		}
		for len(left) > 0 {
			finishAny()
		}
		if committed != read-1 {
			t.Fatalf("all is done up to %d, but committed is %d", read-1, committed)
		}
	})
}

func sorted(m map[int64]*entry) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

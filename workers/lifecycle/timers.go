package lifecycle

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// loaded sets the timers once all records are applied: an integration has many records, but one due time. What became
// due while nobody ran is taken up at the pace at which it comes anyway; an hour's worth of proofs at one moment would
// only wait in line at the workers, and be together again an hour later.
func (p *partition) loaded(now time.Time) {
	var late []timer
	all := 0
	for o, s := range p.orgs {
		if s.Empty() { // only tombstones were left of it
			delete(p.orgs, o)
		}
		for _, i := range s.Integrations() {
			all++
			due := i.NextDue()
			if due.IsZero() || due.After(now) {
				p.due.set(o, *i)
				continue
			}
			late = append(late, timer{due: due, organization: o, integration: i.ID})
		}
	}
	slices.SortFunc(late, func(a, b timer) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.integration, b.integration)) })
	for behind, t := range late {
		i, _ := p.org(t.organization).Integration(t.integration)
		t.at = i.CatchUp(now, behind, all)
		heap.Push(&p.due, t)
	}
}

// timers is a heap of due times. An entry whose integration has another due time by now is skipped when it comes up.
type timers []timer

type timer struct {
	at           time.Time // when to look
	due          time.Time // the integration's due time when this entry was made
	organization integration.OrganizationID
	integration  integration.ID
}

// set adds the due time of i, if it has one.
func (t *timers) set(o integration.OrganizationID, i integration.Integration) {
	if due := i.NextDue(); !due.IsZero() {
		heap.Push(t, timer{at: due, due: due, organization: o, integration: i.ID})
	}
}

// next returns when the first timer is due.
func (t timers) next() (at time.Time, ok bool) {
	if len(t) == 0 {
		return time.Time{}, false
	}
	return t[0].at, true
}

func (t timers) Len() int           { return len(t) }
func (t timers) Less(a, b int) bool { return t[a].at.Before(t[b].at) }
func (t timers) Swap(a, b int)      { t[a], t[b] = t[b], t[a] }

// Push and Pop are for package heap.
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop removes the last entry, for package heap.
func (t *timers) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	*t = (*t)[:last]
	return x
}

// reminders takes the timers that are due and returns the records that say so, at most limit of them. They are decided
// when they are read, by whoever owns the partition then. Should they get lost with this process, the next owner's
// restored timers write them again.
func (p *partition) reminders(codec *events.Codec, now time.Time, limit int) ([]*kgo.Record, error) {
	var out []*kgo.Record
	for len(out) < limit {
		at, ok := p.due.next()
		if !ok || at.After(now) {
			break
		}
		t := heap.Pop(&p.due).(timer)
		i, ok := p.org(t.organization).Integration(t.integration)
		if !ok || !i.NextDue().Equal(t.due) {
			continue // moved or gone
		}
		r, err := codec.ResultRecord(events.SourceLifecycle, integration.Result{
			Organization: t.organization, Integration: t.integration, Attempt: t.due.UnixMilli(), Finding: integration.TimerIsDue{},
		})
		if err != nil {
			return out, err
		}
		r.Partition = p.id
		out = append(out, r)
		// Should this reminder get lost, another follows.
		t.at = now.Add(remindAgain)
		heap.Push(&p.due, t)
	}
	return out, nil
}

// remindAgain is the wait before a reminder that led to no decision is repeated.
const remindAgain = time.Minute

package lifecycle

import (
	"container/heap"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// partition is the state of one partition: the organizations that live on it and how far its inputs are decided.
// Owned by the worker's loop; between batches it is exactly what is committed.
type partition struct {
	id     int32
	orgs   map[integration.OrganizationID]*integration.State
	cursor events.Cursor
	due    timers
	// answered holds receipts in the order in which they expire, or nearly so.
	answered []expiring
}

type expiring struct {
	at           time.Time
	organization integration.OrganizationID
	asker        integration.Asker
}

func newPartition(id int32) *partition {
	return &partition{id: id, orgs: map[integration.OrganizationID]*integration.State{}, cursor: events.Cursor{}}
}

// org returns the state of an organization, empty when it is new.
func (p *partition) org(o integration.OrganizationID) *integration.State {
	s, ok := p.orgs[o]
	if !ok {
		s = integration.NewState()
		p.orgs[o] = s
	}
	return s
}

// load applies one record of the state topic.
func (p *partition) load(r *kgo.Record) error {
	s, err := events.ReadStored(r)
	if err != nil {
		return err
	}
	switch {
	case s.Cursor != nil:
		p.cursor = maps.Clone(s.Cursor)
	case s.OrganizationID == "":
	case s.Asker != (integration.Asker{}):
		if s.Receipt == nil {
			p.org(s.OrganizationID).DropReceipt(s.Asker)
			return nil
		}
		// The key is what was asked; a value could only repeat it.
		s.Receipt.Source, s.Receipt.ID = s.Asker.Source, s.Asker.ID
		p.org(s.OrganizationID).SetReceipt(*s.Receipt)
		p.remember(s.OrganizationID, *s.Receipt)
	case s.IntegrationID != "":
		if s.Integration == nil {
			p.org(s.OrganizationID).RemoveIntegration(s.IntegrationID)
			return nil
		}
		p.org(s.OrganizationID).SetIntegration(*s.Integration)
	case s.Organization == nil:
		delete(p.orgs, s.OrganizationID)
	default:
		p.org(s.OrganizationID).SetOrganization(*s.Organization)
	}
	return nil
}

// loaded sets the timers once all records are applied: an integration has many records, but one due time.
func (p *partition) loaded() {
	for o, s := range p.orgs {
		for _, i := range s.Integrations() {
			p.due.set(o, *i)
		}
	}
}

func (p *partition) remember(o integration.OrganizationID, r integration.Receipt) {
	p.answered = append(p.answered, expiring{
		at: r.At.Add(integration.ReceiptLife), organization: o, asker: integration.Asker{Source: r.Source, ID: r.ID},
	})
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

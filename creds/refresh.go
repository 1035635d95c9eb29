package creds

import (
	"container/heap"
	"context"
	"time"

	"github.com/rolebridge/rolebridge/events"
)

// sweepEvery is how often plans of tokens that are gone are forgotten.
const sweepEvery = 10 * time.Minute

// due is the way into the scheduler: whoever changes a slot says when it has to be looked at again. Guarded by book.mu.
type due struct {
	inbox []appointment
	bell  chan struct{}
}

type appointment struct {
	at   time.Time
	slot *slot
}

// at replaces the slot's appointment.
func (d *due) at(s *slot, t time.Time) {
	s.wakeAt = t
	d.inbox = append(d.inbox, appointment{t, s})
	poke(d.bell)
}

// schedule looks at slots when their time has come. It alone owns the heap; an appointment that was replaced stays in
// it and is passed over.
func (b *Broker) schedule(ctx context.Context) error {
	var calendar calendar
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		b.book.mu.Lock()
		for _, a := range b.book.due.inbox {
			heap.Push(&calendar, a)
		}
		b.book.due.inbox = nil
		var ready []*slot
		for now := time.Now(); len(calendar) > 0 && !calendar[0].at.After(now); {
			if a := heap.Pop(&calendar).(appointment); a.slot.wakeAt.Equal(a.at) && !a.slot.gone.Load() { //nolint:forcetypeassert // nothing else is pushed
				ready = append(ready, a.slot)
			}
		}
		b.book.mu.Unlock()
		for _, s := range ready {
			b.attend(s) //nolint:contextcheck // a flight outlives who starts it
		}
		if len(calendar) > 0 {
			timer.Reset(time.Until(calendar[0].at))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.book.due.bell:
		case <-timer.C:
		case <-sweep.C:
			b.plans.sweep(func(p *plan) bool {
				_, ok := b.opens(p)
				return ok
			})
		}
	}
}

// attend renews a session that was read since it was issued and is still wanted, and lets others end.
func (b *Broker) attend(s *slot) {
	now := time.Now()
	have, reader := s.session.Load(), s.reader.Load()
	switch {
	case !have.valid(now):
		b.book.expire(s)
	case !have.due(now):
		b.at(s, have.refreshAt) // replaced since the appointment was made
	case reader == nil:
		if s.recipe.hop() == hopCustomer { // the first hop is renewed when a second hop needs it
			b.metrics.refreshed(refreshIdle)
		}
		b.at(s, now.Add(have.left(now)))
	case !b.wanted(reader, s):
		if !b.handOver(reader, s) {
			b.metrics.refreshed(refreshGone)
		}
		b.book.drop(s)
	default:
		if at := b.book.join(s, b.fly); at.flight == nil {
			b.at(s, later(now.Add(time.Second), at.retryAt))
		}
	}
}

func (b *Broker) at(s *slot, t time.Time) {
	b.book.mu.Lock()
	defer b.book.mu.Unlock()
	b.book.due.at(s, t)
}

// wanted reports whether the token that read the session would still be given this one.
func (b *Broker) wanted(reader *plan, s *slot) bool {
	binding, ok := b.opens(reader)
	if !ok || gate(binding) != nil {
		return false
	}
	r, err := b.recipe(binding)
	return err == nil && r.Key() == s.key
}

// opens returns the binding that the token of p still opens, if it does; a workload's plan is open to any workload.
func (b *Broker) opens(p *plan) (events.Binding, bool) {
	binding, ok := b.bindings.Binding(p.binding.Integration.ID, p.binding.Connector)
	if !ok {
		return events.Binding{}, false
	}
	if p.token.Hash == "" {
		return binding, len(binding.Grant().Workloads) > 0
	}
	token, ok := binding.Grant().Token(p.token.Hash)
	return binding, ok && token.Alive(time.Now())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// calendar is a heap of appointments, the next one first.
type calendar []appointment

func (c calendar) Len() int           { return len(c) }
func (c calendar) Less(i, j int) bool { return c[i].at.Before(c[j].at) }
func (c calendar) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *calendar) Push(x any)        { *c = append(*c, x.(appointment)) } //nolint:forcetypeassert // nothing else is pushed

func (c *calendar) Pop() any {
	last := len(*c) - 1
	a := (*c)[last]
	(*c)[last] = appointment{}
	*c = (*c)[:last]
	return a
}

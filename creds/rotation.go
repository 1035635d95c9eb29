package creds

import (
	"context"
	"errors"
	"time"

	"github.com/rolebridge/rolebridge/events"
)

// An exchange of the external ID gives every session of an integration another key, while what was issued under the
// former ID is as good as before. So that no read has to wait for the cloud just then, or fails with it:
//
//   - what memory holds is taken over by the new key, and renewed when it would have been (plan, attend);
//   - a replica that holds nothing looks under the other ID of the rotation before it asks the cloud (inherited);
//   - a place of the cloud that has not heard of the customer's edit, and refuses the current ID, is asked with the other
//     one, as long as the rotation lets it stand in (standIn).
//
// What came under another ID stays in memory: the store holds under each key only what was made with all of its inputs.
// An epoch that has moved is another matter: nothing is taken over.

// with is the recipe with another external ID.
func (r Recipe) with(externalID string) Recipe {
	r.ExternalID = externalID
	return r
}

// succeeds reports whether r takes the place of old by an exchange of the external ID alone.
func (r Recipe) succeeds(old *slot) bool {
	return r.ExternalID != old.recipe.ExternalID && r.with(old.recipe.ExternalID).Key() == old.key
}

// standInOf is the recipe with the external ID that stands in, nil when none does.
func standInOf(of events.Binding, r Recipe) *Recipe {
	id := of.Integration.StandIn()
	if id == "" {
		return nil
	}
	r = r.with(id)
	return &r
}

// link tells the slot who stands in for it. A refusal from before there was a stand-in says nothing any more.
func (b *book) link(s *slot, standIn *Recipe) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if standIn != nil {
		if s.standIn == nil || s.standIn.ExternalID != standIn.ExternalID {
			s.refusal, s.refusedUntil = nil, time.Time{}
		}
		if other := b.slots[standIn.Key()]; other != nil {
			other.standIn = nil // two flights must not wait for each other
		}
	}
	s.standIn = standIn
}

// succeed lets a slot without a session take over that of another.
func (b *book) succeed(s, old *slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if p := old.session.Load(); p.valid(now) && !s.session.Load().valid(now) {
		s.session.Store(p)
		s.reader.Store(nil)
		b.due.at(s, p.refreshAt)
	}
}

func (b *book) standIn(s *slot) *Recipe {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.standIn
}

// inherited is a good session under the other external ID that some replica has stored. One that is valid only is
// something to live on.
func (b *Broker) inherited(ctx context.Context, s *slot, f *flight) *prepared {
	r := b.book.standIn(s)
	if r == nil || f.refresh {
		return nil
	}
	k := r.Key()
	issued, err := b.store.Get(ctx, k)
	if err != nil {
		return nil
	}
	p, err := prepare(k, *r, issued)
	now := time.Now()
	if err != nil || !p.valid(now) || b.book.isOver(s, p) {
		return nil
	}
	b.book.offer(s, p)
	if !p.good(now) {
		return nil
	}
	return p
}

// standIn ends a flight that was refused with a session under the other external ID, if one can be had. A refresh needs
// none: there is a session to live on.
func (b *Broker) standIn(ctx context.Context, s *slot, f *flight) {
	r := b.book.standIn(s)
	var refused *refusedError
	if r == nil || f.refresh || !errors.As(f.err, &refused) {
		return
	}
	if p, level, err := b.wait(ctx, b.book.slotOf(r.Key(), *r), nil); err == nil {
		f.session, f.level, f.err = p, level, nil
	}
}

// handOver moves a session that is still wanted, but under another external ID, to its new slot, to be renewed there.
func (b *Broker) handOver(reader *plan, s *slot) bool {
	binding, ok := b.opens(reader)
	if !ok || gate(binding) != nil {
		return false
	}
	if r, err := b.recipe(binding); err != nil || !r.succeeds(s) {
		return false
	}
	token, _ := binding.Grant().Token(reader.token.Hash) // none for a workload's plan
	p, err := b.plan(asker{binding: binding, hash: reader.hash, token: token, plan: reader})
	if err == nil && p.slot.session.Load() == s.session.Load() {
		p.slot.reader.Store(p) // it was read since it was issued
	}
	return err == nil
}

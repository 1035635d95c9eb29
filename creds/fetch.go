package creds

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/integration"
)

// Level says where an answer came from; the label of metrics.
type Level string

// The levels, the nearest first.
const (
	LevelMemory Level = "memory"
	LevelStore  Level = "store"
	LevelCloud  Level = "cloud"
	levelNone   Level = "none"
)

var errLate = integration.Refuse(integration.CodeUnavailable, "no session could be had in time; try again")

// wait returns the slot's session once it is good enough, or the best there is when patience ends, ctx ends, or nobody
// can help now. A nil patience waits as long as ctx, but for one flight only.
func (b *Broker) wait(ctx context.Context, s *slot, patience <-chan time.Time) (*prepared, Level, error) {
	for {
		now := time.Now()
		have := s.session.Load()
		if have.good(now) {
			return have, LevelMemory, nil
		}
		fed := have.valid(now)
		at := b.book.join(s, b.fly) //nolint:contextcheck // a flight outlives who starts it
		s = at.slot
		switch {
		case at.flight == nil && at.err == nil && at.retryAt.IsZero():
			continue // it has just come
		case fed && (at.flight == nil || at.failing):
			return have, LevelMemory, nil // no use in waiting: the last attempt failed
		case at.err != nil:
			return nil, levelNone, at.err
		}
		var landed <-chan struct{}
		var again <-chan time.Time
		if at.flight != nil {
			landed = at.flight.done
		} else {
			again = time.After(time.Until(at.retryAt))
		}
		select {
		case <-landed:
			if f := at.flight; f.err == nil {
				return f.session, f.level, nil
			}
			if patience == nil && !s.session.Load().valid(time.Now()) {
				return nil, levelNone, at.flight.err
			}
		case <-again:
		case <-patience:
			return b.best(s, errLate)
		case <-ctx.Done():
			return b.best(s, ctx.Err())
		}
	}
}

func (b *Broker) best(s *slot, err error) (*prepared, Level, error) {
	if have := s.session.Load(); have.valid(time.Now()) {
		return have, LevelMemory, nil
	}
	return nil, levelNone, err
}

// fly is one flight: it fetches the slot's session and lands.
func (b *Broker) fly(base context.Context, s *slot, f *flight) {
	ctx, cancel := context.WithTimeout(base, b.cfg.Fetch)
	defer cancel()
	ctx, end := b.tracer.Start(ctx, "fetch "+string(s.recipe.hop()), s.recipe.facts()...)
	defer func() { end(failure(f.err)) }()
	var share func()
	f.session, f.level, share, f.err = b.obtain(ctx, s, f)
	if f.err != nil {
		f.err = b.classify(ctx, s, f.err)
		b.standIn(ctx, s, f)
	}
	if f.refresh && s.recipe.hop() == hopCustomer {
		b.metrics.refreshed(refreshOutcome(f))
	}
	b.book.land(s, f)
	share() // after the landing: our callers do not wait for the store
}

// obtain looks whether another replica has what is needed, and otherwise fetches it under a lease. While another
// replica holds the lease it waits for the answer of that one. share lets the others have what was fetched.
func (b *Broker) obtain(ctx context.Context, s *slot, f *flight) (p *prepared, from Level, share func(), err error) {
	// Watching begins before the first look, so that nothing is missed between look and wait.
	wake, stop := b.store.Watch(s.key)
	defer stop()
	poll := time.NewTicker(b.cfg.Poll)
	defer poll.Stop()
	for {
		p, err := b.stored(ctx, s, f)
		if p != nil {
			return p, LevelStore, nothing, nil
		}
		if err != nil {
			p, from, err := b.alone(ctx, s)
			return p, from, nothing, err
		}
		if p := b.inherited(ctx, s, f); p != nil {
			return p, LevelStore, nothing, nil
		}
		lease, err := b.store.Lease(ctx, s.key, b.cfg.Lease)
		switch {
		case err == nil:
			return b.leased(ctx, s, f, lease)
		case !errors.Is(err, ErrHeld):
			b.metrics.storeFailed("lease")
			p, from, err := b.alone(ctx, s)
			return p, from, nothing, err
		}
		select {
		case <-wake:
		case <-poll.C:
		case <-ctx.Done():
			return nil, levelNone, nothing, ctx.Err()
		}
	}
}

func nothing() {}

// stored returns the stored session if it is what the flight is for: good enough to hand out, or, for a refresh, one
// whose own refresh is not due. An error means that the store cannot be used.
func (b *Broker) stored(ctx context.Context, s *slot, f *flight) (*prepared, error) {
	issued, err := b.store.Get(ctx, s.key)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case errors.Is(err, ErrUnreadable):
		b.metrics.storeFailed("open") // as good as none, and the next Put replaces it
		return nil, nil
	case err != nil:
		b.metrics.storeFailed("get")
		return nil, err
	}
	p, err := prepare(s.key, s.recipe, issued)
	now := time.Now()
	if err != nil || !p.valid(now) || b.book.isOver(s, p) {
		return nil, nil //nolint:nilerr // as good as none
	}
	have := s.session.Load()
	fresher := !p.due(now) && (have == nil || p.Expires.After(have.Expires))
	b.book.offer(s, p) // something to live on, should the cloud be away
	if p.good(now) && (!f.refresh || fresher) {
		return p, nil
	}
	return nil, nil
}

// leased fetches for the whole fleet.
func (b *Broker) leased(ctx context.Context, s *slot, f *flight, lease Lease) (p *prepared, from Level, share func(), err error) {
	release := b.keep(ctx, lease)
	// The holder before us may have ended between our look and our lease.
	if p, err := b.stored(ctx, s, f); p != nil && err == nil {
		return p, LevelStore, release, nil
	}
	p, err = b.chain(ctx, s, nil)
	if err != nil {
		release() // before the landing: who tries again needs it
		return nil, levelNone, nothing, err
	}
	return p, LevelCloud, func() {
		if err := b.store.Put(ctx, lease, p.Issued); err != nil {
			b.metrics.storeFailed("put") // what was fetched is valid all the same
		}
		release()
	}, nil
}

// keep extends the lease until the returned function is called, which releases it.
func (b *Broker) keep(ctx context.Context, lease Lease) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() {
		beat := time.NewTicker(b.cfg.Lease / 3)
		defer beat.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
			}
			if err := b.store.Extend(ctx, lease, b.cfg.Lease); err != nil && ctx.Err() == nil {
				b.metrics.storeFailed("extend")
				if errors.Is(err, ErrNotHeld) {
					return
				}
			}
		}
	})
	return func() {
		cancel()
		keeper.Wait()
		// A lease that is not released ends by itself.
		if err := b.store.Release(context.WithoutCancel(ctx), lease); err != nil && !errors.Is(err, ErrNotHeld) {
			b.metrics.storeFailed("release")
		}
	}
}

// alone fetches for this replica only, at a bounded rate: without the store every replica does so.
func (b *Broker) alone(ctx context.Context, s *slot) (*prepared, Level, error) {
	p, err := b.chain(ctx, s, b.lone)
	return p, LevelCloud, err
}

// chain asks the cloud: for a customer's role in its organization's turn, at a pace if there is one, and with the session
// of the platform's role, which has a slot of its own and needs no turn of its own.
func (b *Broker) chain(ctx context.Context, s *slot, pace *rate.Limiter) (*prepared, error) {
	if s.recipe.hop() == hopCustomer {
		if err := b.turns.take(ctx, s.recipe.Organization); err != nil {
			return nil, err
		}
		defer b.turns.give()
		if pace != nil {
			if err := pace.Wait(ctx); err != nil {
				return nil, err
			}
		}
	}
	p, via, err := b.step(ctx, s)
	if via != nil && outlived(via, err) {
		p, _, err = b.step(ctx, s)
	}
	return p, err
}

// oldEnough is the age from which a platform session is doubted when the customer's role refuses it.
const oldEnough = 5 * time.Minute

// outlived reports whether the platform session may be what err is about: the cloud's clock and ours differ, or the
// platform role was made anew, which ends the sessions of the old one.
func outlived(via *prepared, err error) bool {
	switch cloud.FaultOf(err) {
	case cloud.FaultExpired:
		return true
	case cloud.FaultDenied:
		return time.Since(via.At) >= oldEnough
	}
	return false
}

// step asks once. It returns the session that it asked with, which is dropped when the cloud may have ended it.
func (b *Broker) step(ctx context.Context, s *slot) (p, via *prepared, err error) {
	var as *cloud.Session
	if s.recipe.hop() == hopCustomer {
		r := s.recipe.platform()
		first := b.book.slotOf(r.Key(), r)
		if via, _, err = b.wait(ctx, first, nil); err != nil {
			return nil, nil, err
		}
		as = &via.Session
		defer func() {
			if err != nil && outlived(via, err) {
				b.book.dropSession(first, via)
			}
		}()
	}
	issued, err := b.upstream.assume(ctx, as, s.recipe)
	if err != nil {
		return nil, via, err
	}
	p, err = prepare(s.key, s.recipe, issued)
	if err == nil && !p.valid(time.Now()) {
		return nil, via, errOver
	}
	return p, via, err
}

// errOver is a session that may not be handed out, although it has just been issued.
var errOver = &cloud.Error{Fault: cloud.FaultUnavailable, Code: "AlreadyOver", Op: "assume", Message: "the session that came is over: do clocks differ?"}

// classify tells an answer that stays as it is from a failure that may pass. Callers see no text of the cloud.
func (b *Broker) classify(ctx context.Context, s *slot, err error) error {
	if _, ok := errors.AsType[*refusedError](err); ok {
		return err // the first hop's, which was classified there
	}
	var answer *cloud.Error
	if !errors.As(err, &answer) || answer.Temporary() {
		return err
	}
	reason := integration.Refuse(integration.CodeDenied, "the customer's role refuses the platform's role: %s", answer.Code)
	if s.recipe.hop() == hopPlatform {
		reason = integration.Refuse(integration.CodeDenied, "the platform's role of this integration cannot be assumed: %s", answer.Code)
	}
	switch {
	case answer.Fault == cloud.FaultTooLarge:
		// Nothing that a proof of trust could find: the same request is refused until the binding is another one.
		reason = integration.Refuse(integration.CodeDenied,
			"the connector's resources and tags are more than AWS packs into a session (%s): bind it to fewer resources, or shorter ones", answer.Code)
	case answer.Unproven:
		reason = integration.Refuse(integration.CodeDenied, "the cloud does not accept the platform's own credentials: %s", answer.Code)
	case s.recipe.SourceIdentity != "" && answer.Fault == cloud.FaultDenied:
		reason.Message += "; this connector's sessions have a source identity, which the trust policy must allow with sts:SetSourceIdentity"
	}
	b.log.WarnContext(ctx, "cloud refused credentials", "integration", s.recipe.Integration, "connector", s.recipe.Connector,
		"hop", s.recipe.hop(), "fault", answer.Fault, "code", answer.Code)
	if s.recipe.hop() == hopCustomer && answer.Fault == cloud.FaultDenied && !answer.Unproven {
		b.onRefused(s.recipe.Organization, s.recipe.Integration)
	}
	return &refusedError{cause: answer, answer: reason}
}

func refreshOutcome(f *flight) refresh {
	var refused *refusedError
	switch {
	case errors.As(f.err, &refused):
		return refreshRefused
	case f.err != nil:
		return refreshFailed
	case f.level == LevelStore:
		return refreshAdopted
	default:
		return refreshIssued
	}
}

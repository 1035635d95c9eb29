package creds

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/integration"
)

// slot holds the session of one key in memory, and what is known about fetching it. Readers load the session and touch
// nothing else; the rest belongs to the [book].
type slot struct {
	key    Key
	recipe Recipe

	session atomic.Pointer[prepared]
	// reader is the plan that read the session first since it was issued; nil when nobody did.
	reader atomic.Pointer[plan]
	// gone is true when the book has dropped the slot.
	gone atomic.Bool

	// Guarded by book.mu.
	flight       *flight
	failures     int       // in a row
	retryAt      time.Time // after a failure
	refusal      *refusedError
	refusals     int // in a row
	refusedUntil time.Time
	ended        string    // access key id of a session that the cloud says is over; the store may still have it
	wakeAt       time.Time // when the scheduler looks at it
	standIn      *Recipe   // with the other external ID of a rotation; nil: none
}

// flight is one fetch under way, which any number of callers wait for. Fields are set before done is closed.
type flight struct {
	done    chan struct{}
	refresh bool // there was a session to live on
	session *prepared
	level   Level
	err     error
}

// Bounds of what is remembered about a key that could not be fetched.
const (
	firstRetry     = 200 * time.Millisecond
	slowestRetry   = 30 * time.Second // while a session is there to live on
	hungryRetry    = 2 * time.Second  // while there is none: callers wait
	firstRefusal   = 30 * time.Second
	longestRefusal = 120 * time.Second
	forgetAfter    = 10 * time.Minute
	startWait      = 10 * time.Millisecond
)

// book knows all slots. Its lock is held for moments and never while something is waited for; warm reads do without.
type book struct {
	fetches int // bound of flights
	due     due

	mu     sync.Mutex
	slots  map[Key]*slot
	group  *errgroup.Group // nil while the broker does not run
	base   context.Context // of flights: outlives the callers' contexts
	closed bool            // the broker has stopped
	flying map[integration.OrganizationID]int
	flown  int // sum of flying
}

var (
	errBusy    = integration.Refuse(integration.CodeThrottled, "too many sessions are being fetched; try again")
	errStopped = integration.Refuse(integration.CodeUnavailable, "the broker is stopping; try again")
)

// slotOf returns the slot of a recipe.
func (b *book) slotOf(k Key, r Recipe) *slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.slots[k]
	if !ok {
		s = &slot{key: k, recipe: r}
		b.slots[k] = s
		b.due.at(s, time.Now().Add(forgetAfter))
	}
	return s
}

// boarding is the answer of join: a flight to wait for, or the reason why there is none. Without flight, error and time to
// come again, the session is there.
type boarding struct {
	slot    *slot
	flight  *flight
	failing bool      // the flight before this one failed
	retryAt time.Time // without a flight and error: when to come again
	err     error     // refused lately, or no flight can start
}

// join returns the flight of a slot, and lets fly start one if there is none.
func (b *book) join(s *slot, fly func(context.Context, *slot, *flight)) boarding {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.gone.Load() {
		// Dropped between look-up and here: its key may have a new slot, otherwise it comes back.
		if other, ok := b.slots[s.key]; ok {
			s = other
		} else {
			s.gone.Store(false)
			b.slots[s.key] = s
		}
	}
	now := time.Now()
	have := s.session.Load()
	at := boarding{slot: s, flight: s.flight, failing: s.failures > 0}
	switch {
	case s.flight != nil:
	case have.good(now) && !have.due(now):
		// A flight landed after the caller had looked; another one would ask for a refresh that is not due.
	case s.refusal != nil && now.Before(s.refusedUntil):
		at.err = s.refusal
	case now.Before(s.retryAt):
		at.retryAt = s.retryAt
	case b.closed:
		at.err = errStopped
	case b.group == nil:
		at.retryAt = now.Add(startWait) // it is about to run
	case b.full(s):
		at.err = errBusy
	default:
		f := &flight{done: make(chan struct{}), refresh: have.good(now)}
		s.flight, at.flight = f, f
		b.count(s, 1)
		base := b.base
		b.group.Go(func() error {
			fly(base, s, f)
			return nil
		})
	}
	return at
}

// full bounds the flights of customers' roles; a platform role's belongs to one that was let in. An organization may have
// as many as are left for all others: half of the bound while it is alone, a third beside another that takes what it can.
// There is always room for one that comes later.
func (b *book) full(s *slot) bool {
	return s.recipe.hop() == hopCustomer && b.flying[s.recipe.Organization] >= b.fetches-b.flown
}

func (b *book) count(s *slot, n int) {
	if s.recipe.hop() != hopCustomer {
		return
	}
	o := s.recipe.Organization
	b.flown += n
	if b.flying[o] += n; b.flying[o] == 0 {
		delete(b.flying, o)
	}
}

// offer puts a session in the slot's place if it lives longer than what is there.
func (b *book) offer(s *slot, p *prepared) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replace(s, p)
}

func (b *book) replace(s *slot, p *prepared) {
	have := s.session.Load()
	if have != nil && !p.Expires.After(have.Expires) {
		return
	}
	s.session.Store(p)
	s.reader.Store(nil)
}

// land ends a flight with its session or its error, and remembers what to do next. A failure never touches a session
// that is there.
func (b *book) land(s *slot, f *flight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	s.flight = nil
	b.count(s, -1)
	var refused *refusedError
	switch {
	case f.err == nil:
		b.replace(s, f.session)
		s.failures, s.refusals, s.refusal = 0, 0, nil
		b.due.at(s, later(s.session.Load().refreshAt, now.Add(time.Second)))
	case errors.As(f.err, &refused):
		s.failures = 0
		s.refusedUntil = now.Add(refusalLife(s.refusals))
		s.refusals++
		s.refusal = refused
		b.later(s, now, s.refusedUntil)
	default:
		s.retryAt = now.Add(retryWait(s.failures, s.session.Load().valid(now)))
		s.failures++
		b.later(s, now, s.retryAt)
	}
	close(f.done)
}

// later makes the appointment after a failure. Without a session to renew there is none: the next reader asks again, and
// the slot waits to be forgotten.
func (b *book) later(s *slot, now, next time.Time) {
	if s.session.Load().valid(now) {
		b.due.at(s, next)
	} else if !s.wakeAt.After(now) {
		b.due.at(s, now.Add(forgetAfter))
	}
}

// expire forgets a slot whose session is over, unless somebody asked for it lately.
func (b *book) expire(s *slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if s.flight != nil || now.Sub(later(s.retryAt, s.refusedUntil)) < forgetAfter {
		b.due.at(s, now.Add(forgetAfter))
		return
	}
	b.remove(s)
}

// drop forgets a slot that nobody may read any more.
func (b *book) drop(s *slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(s)
}

func (b *book) remove(s *slot) {
	if b.slots[s.key] == s {
		delete(b.slots, s.key)
	}
	s.gone.Store(true)
	s.session.Store(nil)
}

// dropKey is drop for a key that may have no slot.
func (b *book) dropKey(k Key) {
	b.mu.Lock()
	s := b.slots[k]
	b.mu.Unlock()
	if s != nil {
		b.drop(s)
	}
}

// dropSession forgets a session that the cloud no longer accepts.
func (b *book) dropSession(s *slot, p *prepared) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.ended = p.AccessKeyID
	s.session.CompareAndSwap(p, nil)
}

// isOver reports whether the cloud has said that the session is over.
func (b *book) isOver(s *slot, p *prepared) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.ended == p.AccessKeyID
}

// retryWait grows with the failures before this one, with ± 25 % of jitter.
func retryWait(failures int, fed bool) time.Duration {
	longest := hungryRetry
	if fed {
		longest = slowestRetry
	}
	wait := min(firstRetry<<min(failures, 10), longest)
	return time.Duration(float64(wait) * (0.75 + rand.Float64()/2)) //nolint:gosec // jitter is no secret
}

// refusalLife grows from 30 to at most 120 s with the refusals before this one.
func refusalLife(refusals int) time.Duration {
	life := min(firstRefusal<<min(refusals, 4), longestRefusal*10/11)
	return time.Duration(float64(life) * (1 + rand.Float64()/10)) //nolint:gosec // jitter is no secret
}

// refusedError is an answer of the cloud that asking again does not change.
type refusedError struct {
	cause  *cloud.Error
	answer *integration.Refusal
}

func (e *refusedError) Error() string { return e.cause.Error() }
func (e *refusedError) Unwrap() error { return e.cause }

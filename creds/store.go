package creds

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Errors of a [Store]. Any other error means that the store cannot be used now.
var (
	ErrNotFound = errors.New("creds: no such session in the store")
	ErrHeld     = errors.New("creds: another holds the lease")
	ErrNotHeld  = errors.New("creds: the lease is not held any more")
	// ErrUnreadable is an entry that cannot be opened: damaged, moved from another key, or sealed with an unknown key.
	ErrUnreadable = errors.New("creds: the entry cannot be opened")
)

// Store shares sessions and leases between replicas. It is a cache: losing it loses nothing. Every method returns within
// a bound of its own. Safe for concurrent use.
type Store interface {
	// Get returns the session of k, [ErrNotFound] or [ErrUnreadable].
	Get(ctx context.Context, k Key) (Issued, error)
	// Lease gives the right to fetch k to one holder for ttl, or returns [ErrHeld].
	Lease(ctx context.Context, k Key, ttl time.Duration) (Lease, error)
	// Extend lets the lease end ttl from now, or returns [ErrNotHeld].
	Extend(ctx context.Context, l Lease, ttl time.Duration) error
	// Put stores s until its expiry in place of what is there, if the lease is still held, and wakes those who watch;
	// else it changes nothing and returns [ErrNotHeld].
	Put(ctx context.Context, l Lease, s Issued) error
	// Release ends the lease and wakes those who watch, or returns [ErrNotHeld].
	Release(ctx context.Context, l Lease) error
	// Watch wakes its caller after Put and Release of k, by any replica, until stop is called. A wake-up may be lost
	// and may come without cause: look again at times.
	Watch(k Key) (wake <-chan struct{}, stop func())
	// Run delivers wake-ups until ctx ends (nil).
	Run(ctx context.Context) error
}

// Lease is the right to fetch one key. Owner is random, so that a late holder cannot end the lease of the next.
type Lease struct {
	Key   Key
	Owner string
}

// watchers wakes those who wait for keys in this process.
type watchers struct {
	mu    sync.Mutex
	byKey map[string]map[chan struct{}]struct{}
}

func newWatchers() *watchers { return &watchers{byKey: map[string]map[chan struct{}]struct{}{}} }

// watch registers for a name until stop.
func (w *watchers) watch(name string) (wake <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1) // one wake-up is as good as many
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKey[name] == nil {
		w.byKey[name] = map[chan struct{}]struct{}{}
	}
	w.byKey[name][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.byKey[name], c); len(w.byKey[name]) == 0 {
			delete(w.byKey, name)
		}
	}
}

func (w *watchers) wake(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.byKey[name] {
		poke(c)
	}
}

// wakeAll is for when messages may have been lost.
func (w *watchers) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.byKey {
		for c := range all {
			poke(c)
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package creds

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// Memory is a [Store] within one process: for a single replica without Redis, and for tests. Nothing is sealed, because
// nothing leaves the process.
type Memory struct {
	now      func() time.Time
	watchers *watchers

	mu       sync.Mutex
	sessions map[Key]Issued
	leases   map[Key]held
	swept    time.Time
}

type held struct {
	owner string
	until time.Time
}

// NewMemory returns an empty store; a nil now is [time.Now].
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{now: now, watchers: newWatchers(), sessions: map[Key]Issued{}, leases: map[Key]held{}}
}

// Get implements [Store].
func (m *Memory) Get(_ context.Context, k Key) (Issued, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[k]
	if !ok {
		return Issued{}, ErrNotFound
	}
	if !m.now().Before(s.Expires) {
		delete(m.sessions, k)
		return Issued{}, ErrNotFound
	}
	return s, nil
}

// Lease implements [Store].
func (m *Memory) Lease(_ context.Context, k Key, ttl time.Duration) (Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h, ok := m.leases[k]; ok && m.now().Before(h.until) {
		return Lease{}, ErrHeld
	}
	l := Lease{Key: k, Owner: rand.Text()}
	m.leases[k] = held{l.Owner, m.now().Add(ttl)}
	return l, nil
}

// Extend implements [Store].
func (m *Memory) Extend(_ context.Context, l Lease, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.holds(l) {
		return ErrNotHeld
	}
	m.leases[l.Key] = held{l.Owner, m.now().Add(ttl)}
	return nil
}

// Put implements [Store].
func (m *Memory) Put(_ context.Context, l Lease, s Issued) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.holds(l) {
		return ErrNotHeld
	}
	m.dropExpired()
	m.sessions[l.Key] = s
	m.watchers.wake(l.Key.String())
	return nil
}

// Release implements [Store].
func (m *Memory) Release(_ context.Context, l Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.holds(l) {
		return ErrNotHeld
	}
	delete(m.leases, l.Key)
	m.watchers.wake(l.Key.String())
	return nil
}

// Watch implements [Store].
func (m *Memory) Watch(k Key) (wake <-chan struct{}, stop func()) {
	return m.watchers.watch(k.String())
}

// Run implements [Store]; wake-ups within one process need no help.
func (m *Memory) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (m *Memory) holds(l Lease) bool {
	h, ok := m.leases[l.Key]
	return ok && h.owner == l.Owner && m.now().Before(h.until)
}

// dropExpired keeps the maps about as small as what is alive.
func (m *Memory) dropExpired() {
	now := m.now()
	if now.Sub(m.swept) < time.Minute {
		return
	}
	m.swept = now
	for k, s := range m.sessions {
		if !now.Before(s.Expires) {
			delete(m.sessions, k)
		}
	}
	for k, h := range m.leases {
		if !now.Before(h.until) {
			delete(m.leases, k)
		}
	}
}

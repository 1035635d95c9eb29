package creds

import (
	"container/list"
	"context"
	"sync"

	"github.com/rolebridge/rolebridge/integration"
)

// turns lets so many fetches at a time ask the cloud, and is fair to organizations: those with somebody waiting are
// served one after the other, whoever came first within each. An organization with thousands of cold keys costs another
// one a single place in the rota, not thousands.
type turns struct {
	mu     sync.Mutex
	free   int        // more than none only while nobody waits
	rota   *list.List // of *queue, the next one first; none is empty
	queues map[integration.OrganizationID]*queue
}

// queue is those of one organization who wait.
type queue struct {
	organization integration.OrganizationID
	callers      *list.List // of chan struct{}, closed when it is their turn
	place        *list.Element
}

func newTurns(atOnce int) *turns {
	return &turns{free: atOnce, rota: list.New(), queues: map[integration.OrganizationID]*queue{}}
}

// take waits for a turn, which has to be given back, or returns the error of ctx.
func (t *turns) take(ctx context.Context, o integration.OrganizationID) error {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	q, ok := t.queues[o]
	if !ok {
		q = &queue{organization: o, callers: list.New()}
		t.queues[o], q.place = q, t.rota.PushBack(q)
	}
	called := make(chan struct{})
	at := q.callers.PushBack(called)
	t.mu.Unlock()
	select {
	case <-called:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-called: // in the same moment
		t.next()
	default:
		t.remove(q, at)
	}
	return ctx.Err()
}

// give ends a turn.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// next calls the first of the organization whose turn it is, which goes to the end of the rota.
func (t *turns) next() {
	first := t.rota.Front()
	if first == nil {
		t.free++
		return
	}
	t.rota.MoveToBack(first)
	q := first.Value.(*queue) //nolint:forcetypeassert // nothing else is in it
	close(t.remove(q, q.callers.Front()))
}

// remove takes a caller out of its queue, and an empty queue off the rota.
func (t *turns) remove(q *queue, at *list.Element) (called chan struct{}) {
	called = q.callers.Remove(at).(chan struct{}) //nolint:forcetypeassert // as above
	if q.callers.Len() == 0 {
		t.rota.Remove(q.place)
		delete(t.queues, q.organization)
	}
	return called
}

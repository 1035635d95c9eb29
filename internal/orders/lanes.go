package orders

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

// task is an order and the record that it came in.
type task[A Ask] struct {
	order Order[A]
	from  *kgo.Record // with nothing but its headers, of which one may name a trace
	entry *entry
	part  *progress
}

// lanes keeps the orders of each integration one behind the other: at most one runs, and at most one waits. It is not
// safe for concurrent use.
type lanes[A Ask] struct {
	waiting map[integration.ID]*task[A]
	running map[integration.ID]bool
	turn    []integration.ID // those that wait and do not run, first come first
}

func newLanes[A Ask]() *lanes[A] {
	return &lanes[A]{waiting: map[integration.ID]*task[A]{}, running: map[integration.ID]bool{}}
}

// add puts t into its lane and returns the task that it takes the place of, if any. That may be t itself, when the one
// that waits is of a later attempt.
func (l *lanes[A]) add(t *task[A]) (superseded *task[A]) {
	id := t.order.Integration
	old, waits := l.waiting[id]
	switch {
	case waits && old.order.Attempt > t.order.Attempt:
		return t
	case waits:
		l.waiting[id] = t
		return old
	}
	l.waiting[id] = t
	if !l.running[id] {
		l.turn = append(l.turn, id)
	}
	return nil
}

// start returns the task whose turn it is, which runs from now on; nil when none may.
func (l *lanes[A]) start() *task[A] {
	if len(l.turn) == 0 {
		return nil
	}
	id := l.turn[0]
	l.turn = l.turn[1:]
	t := l.waiting[id]
	delete(l.waiting, id)
	l.running[id] = true
	return t
}

// end says that the task of id has run.
func (l *lanes[A]) end(id integration.ID) {
	delete(l.running, id)
	if _, ok := l.waiting[id]; ok {
		l.turn = append(l.turn, id)
	}
}

// forget drops what waits of partitions that were lost and returns how many tasks that were.
func (l *lanes[A]) forget() int {
	n := 0
	for id, t := range l.waiting {
		if t.part.lost {
			delete(l.waiting, id)
			n++
		}
	}
	l.turn = slices.DeleteFunc(l.turn, func(id integration.ID) bool { return l.waiting[id] == nil })
	return n
}

package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// watch sees from a transactional client's hooks when it has read so many records and committed what followed: the same
// clock for whatever loop runs on the client. Joining a group and restoring state come before the first record, so they
// do not count.
type watch struct {
	want  int64
	first atomic.Int64 // when the first record was fetched, in nanoseconds
	read  atomic.Int64
	ends  atomic.Int64 // transactions
	done  chan struct{}
	once  sync.Once
	last  time.Time

	before, cpu time.Duration // of the process: until the first record, and from there to the end
}

func newWatch(want int) *watch { return &watch{want: int64(want), done: make(chan struct{})} }

// OnFetchRecordBuffered notes when the first record has come.
func (w *watch) OnFetchRecordBuffered(*kgo.Record) {
	if w.first.Load() == 0 {
		if w.first.CompareAndSwap(0, time.Now().UnixNano()) {
			w.before = cpuTime()
		}
	}
}

// OnFetchRecordUnbuffered counts what the loop was given.
func (w *watch) OnFetchRecordUnbuffered(_ *kgo.Record, polled bool) {
	if polled {
		w.read.Add(1)
	}
}

// OnBrokerE2E sees the ends of transactions; the first behind the last record ends the watch.
func (w *watch) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key != kmsg.EndTxn.Int16() || e2e.Err() != nil {
		return
	}
	w.ends.Add(1)
	if w.read.Load() >= w.want {
		w.once.Do(func() {
			w.last, w.cpu = time.Now(), cpuTime()-w.before
			close(w.done)
		})
	}
}

// wait waits for the end of the pass, for an error of the loop, or for ctx.
func (w *watch) wait(ctx context.Context, failed <-chan error) (pass, error) {
	select {
	case <-w.done:
		return pass{took: w.last.Sub(time.Unix(0, w.first.Load())), cpu: w.cpu, transactions: w.ends.Load()}, nil
	case err := <-failed:
		return pass{}, err
	case <-ctx.Done():
		return pass{}, ctx.Err()
	}
}

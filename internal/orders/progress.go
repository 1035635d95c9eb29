package orders

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// progress is how far one partition has come. It is not safe for concurrent use.
type progress struct {
	pending []*entry // by offset; the first is not done
	next    int64    // the offset after the last record that was read
	high    int64    // the high watermark, as of the last read
	lost    bool     // the partition went to another worker: nothing may be committed any more
}

// entry is one record, or several in a row that are done.
type entry struct {
	record *kgo.Record // without its content; the last one of several
	done   bool
}

// add notes a record that was read. done is true for one that needs nothing.
func (p *progress) add(r *kgo.Record, done bool) *entry {
	p.next = r.Offset + 1
	slim := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, LeaderEpoch: r.LeaderEpoch, Timestamp: r.Timestamp}
	if n := len(p.pending); done && n > 0 && p.pending[n-1].done {
		// One order that takes long must not make the partition's other records pile up.
		p.pending[n-1].record = slim
		return p.pending[n-1]
	}
	e := &entry{record: slim, done: done}
	p.pending = append(p.pending, e)
	return e
}

// finish marks e as done and returns the last record below which nothing is left to do; nil when that has not moved.
func (p *progress) finish(e *entry) *kgo.Record {
	e.done = true
	var last *kgo.Record
	n := 0
	for n < len(p.pending) && p.pending[n].done {
		last = p.pending[n].record
		n++
	}
	p.pending = p.pending[n:]
	if p.lost {
		return nil
	}
	return last
}

// lag is how many records are not done, and the age of the oldest of them that was read.
func (p *progress) lag(now time.Time) (records int64, age time.Duration) {
	from := p.next
	if len(p.pending) > 0 {
		from = p.pending[0].record.Offset
		age = max(0, now.Sub(p.pending[0].record.Timestamp))
	}
	return max(0, p.high-from), age
}

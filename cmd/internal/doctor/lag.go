package doctor

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cmd/internal/plural"
)

// Bounds of the look at what groups have not read: more is not read again just to be counted. The time is for all groups
// together, and far below that of the look: who cannot be counted is told as "at most".
const (
	readAgain   = 10_000
	countWithin = 5 * time.Second
)

// span is what a group has not read of a partition: from an offset up to another.
type span struct{ from, end int64 }

// spans are those of each partition of each topic of which there is something left.
type spans map[string]map[int32]span

// unread returns what a group has not read and retention has not removed, and how many offsets that is.
func unread(lag kadm.GroupLag) (left spans, offsets int64) {
	left = spans{}
	for _, l := range lag.Sorted() {
		from := max(l.Commit.At, l.Start.Offset)
		if l.Lag <= 0 || from >= l.End.Offset {
			continue
		}
		if left[l.Topic] == nil {
			left[l.Topic] = map[int32]span{}
		}
		left[l.Topic][l.Partition] = span{from, l.End.Offset}
		offsets += l.End.Offset - from
	}
	return left, offsets
}

// waiting says how many records a group has not read. Offsets count the markers of transactions, too, and whoever reads
// commits the offset behind a record and not the one behind its marker: by offsets alone every partition is one behind for
// ever. So what is left is read and counted; if that cannot be, it is at most so many.
func (k *kafkaPart) waiting(ctx context.Context, lag kadm.GroupLag) string {
	left, most := unread(lag)
	if most <= readAgain {
		if n, counted := k.count(ctx, left); counted {
			return plural.Of(n, "record")
		}
	}
	return "at most " + plural.Of(most, "record")
}

// count reads the committed records of spans, as far as they can be read yet.
func (k *kafkaPart) count(ctx context.Context, left spans) (n int64, counted bool) {
	if cut := k.cut(ctx, left); !cut || len(left) == 0 {
		return 0, cut
	}
	from := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range left {
		from[topic] = map[int32]kgo.Offset{}
		for p, s := range partitions {
			from[topic][p] = kgo.NewOffset().At(s.from)
		}
	}
	options, err := k.patient.Kafka.Options()
	if err != nil {
		return 0, false
	}
	cl, err := kgo.NewClient(append(options, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return 0, false
	}
	defer cl.Close()
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if fetches.Err() != nil {
			return 0, false
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range p.Records {
				s, is := left[p.Topic][p.Partition]
				if is && r.Offset < s.end && !r.Attrs.IsControl() {
					n++
				}
				if is && r.Offset+1 >= s.end {
					left.done(p.Topic, p.Partition)
				}
			}
		})
	}
	return n, true
}

// cut ends spans where an open transaction begins: behind that nobody can read yet, and of a span that begins there no
// record would ever come.
func (k *kafkaPart) cut(ctx context.Context, left spans) bool {
	if len(left) == 0 {
		return true // else all topics would be listed
	}
	stable, err := k.admin.ListCommittedOffsets(ctx, slices.Collect(maps.Keys(left))...)
	if err != nil {
		return false
	}
	for topic, partitions := range left {
		for p, s := range partitions {
			at, has := stable.Lookup(topic, p)
			if !has || at.Err != nil {
				return false
			}
			s.end = min(s.end, at.Offset)
			partitions[p] = s
			if s.from >= s.end {
				left.done(topic, p)
			}
		}
	}
	return true
}

func (s spans) done(topic string, partition int32) {
	delete(s[topic], partition)
	if len(s[topic]) == 0 {
		delete(s, topic)
	}
}

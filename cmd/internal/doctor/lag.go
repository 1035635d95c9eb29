package doctor

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cmd/internal/plural"
)

// Bounds of the look at what a group has not read: more is not read again just to be counted.
const (
	readAgain   = 10_000
	countWithin = 5 * time.Second
)

// waiting says how many records a group has not read. Offsets count the markers of transactions, too, and whoever reads
// commits the offset behind a record and not the one behind its marker: by offsets alone every partition is one behind for
// ever. So what is left is read and counted; if that cannot be, it is at most so many.
func (k *kafkaPart) waiting(ctx context.Context, lag kadm.GroupLag) string {
	most := max(0, lag.Total())
	if most == 0 {
		return plural.Of(most, "record")
	}
	if most <= readAgain {
		if n, counted := k.count(ctx, lag); counted {
			return plural.Of(n, "record")
		}
	}
	return "at most " + plural.Of(most, "record")
}

// count reads the committed records that a group has not read, up to where each partition ended.
func (k *kafkaPart) count(ctx context.Context, lag kadm.GroupLag) (n int64, counted bool) {
	type place struct {
		topic     string
		partition int32
	}
	from, left := map[string]map[int32]kgo.Offset{}, map[place]int64{}
	for _, l := range lag.Sorted() {
		if l.Lag <= 0 {
			continue
		}
		if from[l.Topic] == nil {
			from[l.Topic] = map[int32]kgo.Offset{}
		}
		from[l.Topic][l.Partition] = kgo.NewOffset().At(max(l.Commit.At, l.Start.Offset))
		left[place{l.Topic, l.Partition}] = l.End.Offset
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
	ctx, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if fetches.Err() != nil {
			return 0, false
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			at := place{p.Topic, p.Partition}
			for _, r := range p.Records {
				end, is := left[at]
				if is && r.Offset < end && !r.Attrs.IsControl() {
					n++
				}
				if r.Offset+1 >= min(end, p.LastStableOffset) { // behind that nobody can read yet
					delete(left, at)
				}
			}
		})
	}
	return n, true
}

package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

// Feed reads the events of organizations: those that come, for whoever watches, from memory; those of before from Kafka.
// An organization's events are on one partition, so an offset is a place in them.
//
// Safe for concurrent use. One goroutine runs it: [Feed.Run].
type Feed struct {
	topics  Topics
	codec   *Codec
	options []kgo.Opt
	client  *kgo.Client // of scans; it consumes nothing
	log     *slog.Logger
	scans   chan struct{} // one for each that may be under way

	mu      sync.RWMutex
	tails   map[int32]*tail // nil before Run knows the ends
	changed chan struct{}   // closed and replaced at each change
}

// Entry is one event in its place.
type Entry struct {
	Offset int64
	Event  integration.Event
}

// Stretch is some events of an organization, in order.
type Stretch struct {
	Entries []Entry
	// Next is where to go on.
	Next int64
	// Gap says that events between where the stretch was to begin and its first are gone: the topic keeps them for a time.
	Gap bool
	// End says that there were no more events when it was read.
	End bool
}

// tail is the last events of a partition: all that are committed from start on, up to next.
type tail struct {
	start, next int64
	entries     []Entry
}

// Bounds of a feed.
const (
	tailKept  = 1000   // events of each partition in memory
	scansOnce = 4      // scans at once
	maxScan   = 20_000 // records of one scan: a fraction of a second
)

// NewFeed returns a feed; options of the client say how to reach Kafka. Nothing is read before [Feed.Run]. [Feed.Close]
// frees it.
func NewFeed(topics Topics, codec *Codec, options []kgo.Opt, log *slog.Logger) (*Feed, error) {
	cl, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	return &Feed{
		topics: topics, codec: codec, options: options, client: cl, log: log, scans: make(chan struct{}, scansOnce), changed: make(chan struct{}),
	}, nil
}

// Close frees the feed, once [Feed.Run] has ended.
func (f *Feed) Close() { f.client.Close() }

// Run follows the events from now on until ctx ends (nil). Any other error means that one may have been missed: a new feed
// must be made.
func (f *Feed) Run(ctx context.Context) error {
	ends, err := retried(ctx, func(ctx context.Context) (kadm.ListedOffsets, error) {
		// Not the very end: what is not committed yet comes later, and must not be behind us.
		ends, err := kadm.NewClient(f.client).ListCommittedOffsets(ctx, f.topics.Events())
		return ends, errors.Join(err, ends.Error())
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("feed: %w", err)
	}
	tails, from := map[int32]*tail{}, map[int32]kgo.Offset{}
	for p := range f.topics.Partitions {
		end, ok := ends.Lookup(f.topics.Events(), p)
		if !ok {
			return fmt.Errorf("feed: %s/%d: %w", f.topics.Events(), p, kerr.UnknownTopicOrPartition)
		}
		tails[p], from[p] = &tail{start: end.Offset, next: end.Offset}, kgo.NewOffset().At(end.Offset)
	}
	cl, err := kgo.NewClient(append(slices.Clone(f.options),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.topics.Events(): from}),
	)...)
	if err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	defer cl.Close()
	f.mu.Lock()
	f.tails = tails
	f.wake()
	f.mu.Unlock()
	for {
		fetches := cl.PollFetches(ctx)
		switch err := fetches.Err(); {
		case errors.Is(err, context.Canceled) && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("feed: %w", err)
		}
		f.add(fetches.Records())
	}
}

func (f *Feed) add(records []*kgo.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		t := f.tails[r.Partition]
		t.next = r.Offset + 1
		if e, ok := f.entry(r); ok {
			t.entries = append(t.entries, e)
		}
		if drop := len(t.entries) - tailKept; drop > 0 {
			t.start = t.entries[drop-1].Offset + 1
			t.entries = slices.Clone(t.entries[drop:])
		}
	}
	f.wake()
}

// wake wakes those who wait; f.mu is held.
func (f *Feed) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// entry reads a record; one that cannot be read is of a newer version of the program, and passed over.
func (f *Feed) entry(r *kgo.Record) (Entry, bool) {
	e, err := f.codec.Event(r)
	if err != nil {
		f.log.Warn("an event that is not known here", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
	}
	return Entry{r.Offset, e}, err == nil
}

// ErrNotFollowing means that the feed does not know yet where the events end.
var ErrNotFollowing = errors.New("events: the feed is not following yet")

// Read returns up to most events of an organization from an offset on, of those that are wanted. It looks at a bounded
// number, so it may return none although there are more: Next says where to go on, and End when there is nothing. Errors:
// [ErrNotFollowing], those of Kafka, and of ctx.
func (f *Feed) Read(ctx context.Context, o integration.OrganizationID, from int64, most int, wanted func(integration.Event) bool) (Stretch, error) {
	home := f.topics.Home(o)
	of := func(e Entry) bool { return e.Event.Organization == o && wanted(e.Event) }
	f.mu.RLock()
	t, ok := f.tails[home]
	if !ok {
		f.mu.RUnlock()
		return Stretch{}, ErrNotFollowing
	}
	if from > t.next {
		known := t.next
		f.mu.RUnlock()
		return f.beyond(ctx, home, from, known)
	}
	start, s := t.start, Stretch{Next: t.next, End: true}
	if from >= start {
		for _, e := range t.entries {
			switch {
			case e.Offset < from || !of(e):
			case len(s.Entries) == most:
				s.Next, s.End = s.Entries[most-1].Offset+1, false
			default:
				s.Entries = append(s.Entries, e)
			}
		}
	}
	f.mu.RUnlock()
	if from >= start {
		return s, nil
	}
	return f.scan(ctx, home, from, start, most, of)
}

// beyond is what there is from an offset on that is behind all that is known: nothing yet, when Kafka has that offset, since a
// marker of a transaction may be before it or another replica may be ahead of this one; else the topic was made anew.
func (f *Feed) beyond(ctx context.Context, partition int32, from, known int64) (Stretch, error) {
	ends, err := kadm.NewClient(f.client).ListEndOffsets(ctx, f.topics.Events())
	if err != nil {
		return Stretch{}, err
	}
	end, ok := ends.Lookup(f.topics.Events(), partition)
	switch {
	case !ok:
		return Stretch{}, kerr.UnknownTopicOrPartition
	case end.Err != nil:
		return Stretch{}, end.Err
	case from > end.Offset:
		return Stretch{Next: known, End: true, Gap: true}, nil
	}
	return Stretch{Next: from, End: true}, nil
}

// scan reads from Kafka, at most up to the offset that is in memory.
func (f *Feed) scan(ctx context.Context, partition int32, from, to int64, most int, wanted func(Entry) bool) (Stretch, error) {
	select {
	case f.scans <- struct{}{}:
		defer func() { <-f.scans }()
	case <-ctx.Done():
		return Stretch{}, ctx.Err()
	}
	r := replay{cl: f.client, admin: kadm.NewClient(f.client), topic: f.topics.Events(), partition: partition, bytes: replayBytes}
	if _, err := retried(ctx, r.bounds); err != nil {
		return Stretch{}, err
	}
	s := Stretch{Gap: r.position > from}
	r.position = max(r.position, from)
	for seen := 0; r.position < to && seen < maxScan; {
		records, err := retried(ctx, r.fetch)
		if err != nil {
			return Stretch{}, err
		}
		for _, record := range records {
			if record.Offset >= to {
				break
			}
			e, ok := f.entry(record)
			if !ok || !wanted(e) {
				continue
			}
			if s.Entries = append(s.Entries, e); len(s.Entries) == most {
				s.Next = e.Offset + 1
				return s, nil
			}
		}
		seen += len(records)
	}
	s.Next = min(r.position, to)
	return s, nil
}

// Wait waits until there is something from an offset on. It returns the error of ctx when that ends first.
func (f *Feed) Wait(ctx context.Context, o integration.OrganizationID, from int64) error {
	home := f.topics.Home(o)
	for {
		f.mu.RLock()
		t, ok := f.tails[home]
		there, changed := ok && t.next > from, f.changed
		f.mu.RUnlock()
		if there {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// End is the offset behind the last event of an organization that is known.
func (f *Feed) End(o integration.OrganizationID) (int64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	t, ok := f.tails[f.topics.Home(o)]
	if !ok {
		return 0, ErrNotFollowing
	}
	return t.next, nil
}

// Since is the offset of the first event of an organization's partition at a time or later.
func (f *Feed) Since(ctx context.Context, o integration.OrganizationID, at time.Time) (int64, error) {
	found, err := kadm.NewClient(f.client).ListOffsetsAfterMilli(ctx, at.UnixMilli(), f.topics.Events())
	if err != nil {
		return 0, err
	}
	first, ok := found.Lookup(f.topics.Events(), f.topics.Home(o))
	if !ok {
		return 0, kerr.UnknownTopicOrPartition
	}
	return first.Offset, first.Err
}

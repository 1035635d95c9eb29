// Package dlq reads dead letters, and writes what they were again to where it came from.
//
// It decides nothing and repairs nothing: what is written again is the record as it was, and is read like any other.
//
// The life of a dead letter: a role that cannot read a record sets it aside (events.Topics.DeadLetter). An operator lists
// the letters ([Box.List]), looks at one ([Box.Show]), mends the reason, and has it written again ([Box.Replay]): in one
// transaction with a mark behind the letter, so that whoever reads the topic knows what was replayed, and nothing is
// replayed twice unless somebody asks for just that. Should the record die again, its new letter names the one before.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
)

// ID is where a dead letter is.
type ID struct {
	Partition int32
	Offset    int64
}

// String is partition@offset.
func (id ID) String() string { return fmt.Sprintf("%d@%d", id.Partition, id.Offset) }

// ParseID reads partition@offset.
func ParseID(s string) (ID, error) {
	p, o, _ := strings.Cut(s, "@")
	partition, err1 := strconv.ParseInt(p, 10, 32)
	offset, err2 := strconv.ParseInt(o, 10, 64)
	if err1 != nil || err2 != nil || partition < 0 || offset < 0 {
		return ID{}, fmt.Errorf("%q: want partition@offset, e.g. 3@17", s)
	}
	return ID{int32(partition), offset}, nil
}

// Letter is what a dead letter says of the record that it was, without its value.
type Letter struct {
	ID
	At       time.Time // when it was set aside
	Reason   string    // may quote what was read, so it is as hostile as that
	Topic    string    // where the record was; so are the next two
	From     int32
	Position int64
	Key      []byte
	Size     int    // bytes of the value as it is kept
	Cut      string // what was too large to be kept whole; empty is nothing
	Earlier  string // the letter that the record was replayed from before it died again; empty is none
	// Replayed is when it was written again; zero is never.
	Replayed time.Time
}

// ErrNoLetter means that a record of the topic is no dead letter.
var ErrNoLetter = errors.New("not a dead letter")

// read reads the headers of a dead letter.
func read(r *kgo.Record) (Letter, error) {
	l := Letter{ID: ID{r.Partition, r.Offset}, At: r.Timestamp, Key: r.Key, Size: len(r.Value)}
	var faults error
	for _, h := range r.Headers {
		value := string(h.Value)
		switch h.Key {
		case events.HeaderReason:
			l.Reason = value
		case events.HeaderTopic:
			l.Topic = value
		case events.HeaderPartition:
			p, err := strconv.ParseInt(value, 10, 32)
			l.From, faults = int32(p), errors.Join(faults, err)
		case events.HeaderOffset:
			o, err := strconv.ParseInt(value, 10, 64)
			l.Position, faults = o, errors.Join(faults, err)
		case events.HeaderTime:
			if at, err := time.Parse(time.RFC3339Nano, value); err == nil {
				l.At = at
			}
		case events.HeaderCut:
			l.Cut = value
		case events.HeaderReplay:
			l.Earlier = value
		}
	}
	if l.Topic == "" || faults != nil {
		return l, fmt.Errorf("%s: %w", l.ID, ErrNoLetter)
	}
	return l, nil
}

// marked returns the letter that a mark is about.
func marked(r *kgo.Record) (ID, bool) {
	for _, h := range r.Headers {
		if h.Key == events.HeaderMark {
			id, err := ParseID(string(h.Value))
			return id, err == nil
		}
	}
	return ID{}, false
}

// Filter chooses letters.
type Filter struct {
	Since  time.Time // written then or later; zero is all
	Reason string    // part of the reason, in any case of letters
	Topic  string    // name of the topic where it was
	// Limit bounds how many are returned: the newest. It bounds the memory too.
	Limit int
}

func (f Filter) takes(l Letter) bool {
	return (f.Topic == "" || f.Topic == l.Topic) && strings.Contains(strings.ToLower(l.Reason), strings.ToLower(f.Reason))
}

// Box is the topic of the dead letters. Safe for concurrent use.
type Box struct {
	Client *kgo.Client // consumes nothing
	Topics events.Topics
}

// List returns the letters that f takes, newest last, and how many older ones there are beyond the limit. What is no dead
// letter is passed over.
func (b Box) List(ctx context.Context, f Filter) (found []Letter, more int, err error) {
	for p := range b.Topics.Partitions {
		here, err := b.scan(ctx, p, f.Since, f.takes, f.Limit, &more)
		if err != nil {
			return nil, 0, err
		}
		found = append(found, here...)
		slices.SortStableFunc(found, func(a, b Letter) int { return a.At.Compare(b.At) })
		if over := len(found) - f.Limit; over > 0 {
			found, more = slices.Delete(found, 0, over), more+over
		}
	}
	return found, more, nil
}

// scan reads the letters of a partition, at most limit of them, the last ones. A mark comes behind the letter that it is
// about, on the same partition.
func (b Box) scan(ctx context.Context, partition int32, since time.Time, takes func(Letter) bool, limit int, more *int) (found []Letter, err error) {
	_, err = events.ReplaySince(ctx, b.Client, b.Topics.DeadLetters(), partition, since, func(r *kgo.Record) error {
		if id, ok := marked(r); ok {
			at, known := slices.BinarySearchFunc(found, id.Offset, func(l Letter, o int64) int { return int(l.Offset - o) })
			if known && id.Partition == partition {
				found[at].Replayed = r.Timestamp
			}
			return nil
		}
		l, err := read(r)
		if err != nil || !takes(l) {
			return nil //nolint:nilerr // anybody who may write there may write anything
		}
		l.Key = slices.Clone(l.Key) // not the batch that it is a part of
		if found = append(found, l); len(found) > 2*limit {
			over := len(found) - limit
			found, *more = slices.Delete(found, 0, over), *more+over
		}
		return nil
	})
	if over := len(found) - limit; over > 0 {
		found, *more = found[over:], *more+over
	}
	return found, err
}

// Show returns one letter and its record.
func (b Box) Show(ctx context.Context, id ID) (Letter, *kgo.Record, error) {
	if id.Partition >= b.Topics.Partitions {
		return Letter{}, nil, fmt.Errorf("%s: %w", id, events.ErrNoRecord)
	}
	r, err := events.RecordAt(ctx, b.Client, b.Topics.DeadLetters(), id.Partition, id.Offset)
	if err != nil {
		return Letter{}, nil, err
	}
	l, err := read(r)
	if err != nil {
		return Letter{}, nil, err
	}
	all, err := b.scan(ctx, id.Partition, r.Timestamp, func(l Letter) bool { return l.ID == id }, 1, new(int))
	if err != nil {
		return Letter{}, nil, err
	}
	if len(all) == 1 {
		l.Replayed = all[0].Replayed
	}
	return l, r, nil
}

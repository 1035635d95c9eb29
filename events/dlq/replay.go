package dlq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// How says how letters are replayed.
type How struct {
	DryRun bool // say what would be done, and write nothing
	// Again replays also what was replayed before, and what died again after it was.
	Again bool
	// Unverified takes the letter's word for records that are not where they were any more.
	Unverified bool
}

// Outcome is what became of one letter.
type Outcome struct {
	Letter
	To     int32 // partition that it was, or would be, written to
	Result Result
	Why    string // set unless it was replayed
}

// Result is how a replay of one letter ended.
type Result string

// The results.
const (
	Replayed Result = "replayed"
	Would    Result = "would be replayed"
	Skipped  Result = "skipped" // it was replayed before, or is named twice
	Refused  Result = "refused"
)

// TransactionalID is that of a replay. It is the same for all: a second replay fences the first.
func TransactionalID(t events.Topics) string { return t.Prefix + "dlq-replay" }

// Options are what a client needs to replay.
func Options(t events.Topics) []kgo.Opt {
	return []kgo.Opt{kgo.TransactionalID(TransactionalID(t)), kgo.RecordPartitioner(kgo.ManualPartitioner())}
}

// endWithin bounds the end of one transaction.
const endWithin = 10 * time.Second

// oldest is how old a command may be that is replayed. Its receipt, if it was decided, is there for longer: a day is what
// deciders get to read it.
const oldest = integration.ReceiptLife - 24*time.Hour

// ErrFenced means that somebody else has begun to replay.
var ErrFenced = errors.New("another replay has begun; what is not told was not replayed by this one")

// Replay writes records again, one after the other, and tells of each. Those whose letter was marked meanwhile are skipped,
// and so is a letter that is named a second time.
// The client needs [Options], unless it is a dry run.
//
// What a letter says is believed only as far as the topic that it names still bears it out: whoever may write to the dead
// letters could else have any command written in the operator's name.
func (b Box) Replay(ctx context.Context, letters []Letter, how How, tell func(Outcome)) error {
	if !how.DryRun {
		// Whoever replays at this moment ends here, so that all marks there are can be seen.
		if _, _, err := b.Client.ProducerID(ctx); err != nil {
			return fmt.Errorf("begin to replay: %w", err)
		}
	}
	marks, err := b.marks(ctx, letters)
	if err != nil {
		return err
	}
	seen := map[ID]bool{}
	for _, l := range letters {
		if seen[l.ID] {
			tell(Outcome{Letter: l, Result: Skipped, Why: "it is named twice"})
			continue
		}
		seen[l.ID] = true
		l.Replayed = marks[l.ID]
		o, err := b.replay(ctx, l, how)
		if err != nil {
			return err
		}
		tell(o)
	}
	return nil
}

// marks returns when letters were replayed, as it is now.
func (b Box) marks(ctx context.Context, letters []Letter) (map[ID]time.Time, error) {
	byPartition := map[int32][]ID{}
	for _, l := range letters {
		byPartition[l.ID.Partition] = append(byPartition[l.ID.Partition], l.ID)
	}
	marks := map[ID]time.Time{}
	for p, wanted := range byPartition {
		takes := func(l Letter) bool { return slices.Contains(wanted, l.ID) }
		now, err := b.scan(ctx, p, time.Time{}, takes, len(wanted), new(int))
		if err != nil {
			return nil, err
		}
		for _, l := range now {
			marks[l.ID] = l.Replayed
		}
	}
	return marks, nil
}

func (b Box) replay(ctx context.Context, l Letter, how How) (Outcome, error) {
	o := Outcome{Letter: l}
	switch {
	case how.Again:
	case !l.Replayed.IsZero():
		o.Result, o.Why = Skipped, "it was replayed at "+l.Replayed.UTC().Format(time.RFC3339)
		return o, nil
	case l.Earlier != "":
		o.Result, o.Why = Skipped, "it died again after "+l.Earlier+" was replayed"
		return o, nil
	}
	original, why, err := b.original(ctx, l, how.Unverified)
	if err != nil {
		return o, err
	}
	if why == "" {
		why = b.tooOld(original)
	}
	if why != "" {
		o.Result, o.Why = Refused, why
		return o, nil
	}
	again := b.Topics.Again(original, l.ID.String())
	if o.To = again.Partition; how.DryRun {
		o.Result = Would
		return o, nil
	}
	if err := b.write(ctx, again, b.mark(l)); err != nil {
		if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
			err = ErrFenced
		}
		return o, fmt.Errorf("replay %s: %w", l.ID, err)
	}
	o.Result = Replayed
	return o, nil
}

// tooOld says why a command is too old to be written again; empty is that it is not.
func (b Box) tooOld(r *kgo.Record) string {
	if sent := events.Sent(r); r.Topic == b.Topics.Commands() && time.Since(sent) > oldest {
		return fmt.Sprintf("the command was sent at %s, more than %d days ago: had it been decided, that would soon be forgotten, and it "+
			"would be decided twice; let its producer send it anew, under another id", sent.UTC().Format(time.RFC3339), oldest/(24*time.Hour))
	}
	return ""
}

// original returns the record as it was, or why it cannot be had.
func (b Box) original(ctx context.Context, l Letter, unverified bool) (r *kgo.Record, why string, err error) {
	if l.Topic == b.Topics.Events() {
		return nil, "lifecycle alone writes to " + l.Topic + ", and asks again for what nobody has answered in time", nil
	}
	if !slices.Contains(b.Topics.Replayable(), l.Topic) {
		return nil, fmt.Sprintf("nothing is replayed to topic %q", l.Topic), nil
	}
	if l.From < 0 || l.From >= b.Topics.Partitions {
		return nil, fmt.Sprintf("%s has no partition %d", l.Topic, l.From), nil
	}
	kept, err := events.RecordAt(ctx, b.Client, b.Topics.DeadLetters(), l.ID.Partition, l.ID.Offset)
	switch {
	case errors.Is(err, events.ErrNoRecord):
		return nil, "the dead letter is gone", nil
	case err != nil:
		return nil, "", err
	}
	was, err := events.RecordAt(ctx, b.Client, l.Topic, l.From, l.Position)
	switch {
	case err == nil && b.Topics.Keeps(kept, was):
		return was, "", nil
	case err == nil:
		return nil, fmt.Sprintf("what is at %s/%d at %d is another record: the topic was made anew, or the dead letter is false", l.Topic, l.From, l.Position), nil
	case !errors.Is(err, events.ErrNoRecord):
		return nil, "", err
	case l.Cut != "":
		return nil, "its " + l.Cut + " was too large to be kept, and the record is not in its topic any more", nil
	case !unverified:
		return nil, "the record is not in its topic any more, so nobody can tell whether the dead letter is true; --unverified takes its word", nil
	}
	kept.Topic = l.Topic
	return kept, "", nil
}

// mark is the record behind a letter that says that it was replayed.
func (b Box) mark(l Letter) *kgo.Record {
	return &kgo.Record{Topic: b.Topics.DeadLetters(), Partition: l.ID.Partition, Key: l.Key, Headers: []kgo.RecordHeader{
		{Key: events.HeaderMark, Value: []byte(l.ID.String())}, {Key: events.HeaderTopic, Value: []byte(l.Topic)},
	}}
}

// write writes records in one transaction.
func (b Box) write(ctx context.Context, records ...*kgo.Record) error {
	if err := b.Client.BeginTransaction(); err != nil {
		return err
	}
	failed := b.Client.ProduceSync(ctx, records...).FirstErr()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	return errors.Join(failed, b.Client.EndTransaction(ending, kgo.TransactionEndTry(failed == nil)))
}

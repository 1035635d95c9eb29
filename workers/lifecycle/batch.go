package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// decider makes batches: what deciding needs beside the partition's state.
type decider struct {
	topics events.Topics
	codec  *events.Codec
	proof  Proof
	// fresh returns the inputs of one decision.
	fresh   func() integration.Inputs
	metrics *metrics
	tracer  *telemetry.Tracer
}

// batch decides the records of one partition in one transaction. Until commit the partition is unchanged.
type batch struct {
	*decider
	part   *partition
	forks  map[integration.OrganizationID]*integration.State
	cursor events.Cursor
	in     []*kgo.Record
	out    []*kgo.Record
	// outcomes and news are told when the transaction is committed: an aborted one is decided again.
	outcomes map[outcomeOf]int
	news     []integration.Event
}

// outcomeOf is what became of a record of a topic.
type outcomeOf struct{ topic, outcome string }

func (b *batch) decided(topic, outcome string) { b.outcomes[outcomeOf{topic, outcome}]++ }

func (d *decider) begin(p *partition) *batch {
	return &batch{
		decider: d, part: p, forks: map[integration.OrganizationID]*integration.State{}, cursor: maps.Clone(p.cursor),
		outcomes: map[outcomeOf]int{},
	}
}

func (b *batch) fork(o integration.OrganizationID) *integration.State {
	f, ok := b.forks[o]
	if !ok {
		f = b.part.org(o).Fork()
		b.forks[o] = f
	}
	return f
}

// decide decides all records that came in and returns what the transaction must write.
func (b *batch) decide(now time.Time) ([]*kgo.Record, error) {
	for _, r := range b.in {
		if err := b.add(r); err != nil {
			return nil, fmt.Errorf("decide %s/%d at %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
	}
	return b.records(now)
}

// add decides one record. An error is ours, never the record's: the batch must be given up.
func (b *batch) add(r *kgo.Record) error {
	if r.Offset < b.cursor[r.Topic] {
		b.decided(r.Topic, outcomeSkipped)
		return nil
	}
	b.cursor[r.Topic] = r.Offset + 1
	if r.Topic == b.topics.Results() {
		return b.result(r)
	}
	return b.command(r)
}

func (b *batch) command(r *kgo.Record) error {
	cmd, err := b.codec.Command(r)
	if err != nil {
		return b.deadLetter(r, err)
	}
	if b.forward(r, cmd.Organization) {
		return nil
	}
	fork, in := b.fork(cmd.Organization), b.fresh()
	cmd.Unproved = b.proof.Check(r, cmd, in.Now)
	decided, err := integration.Decide(fork, cmd, in)
	switch {
	case errors.Is(err, integration.ErrAnswered):
		b.decided(r.Topic, outcomeDuplicate)
		return nil
	case err != nil:
		return b.deadLetter(r, err)
	}
	outcome := outcomeAccepted
	switch refused, is := decided[0].Fact.(integration.Refused); {
	case is && refused.Code == integration.CodeUnproved:
		outcome = outcomeUnproved
	case is:
		outcome = outcomeRefused
	}
	return b.apply(r, cmd.Ask.Type(), fork, decided, outcome)
}

func (b *batch) result(r *kgo.Record) error {
	res, err := b.codec.Result(r)
	if err != nil {
		return b.deadLetter(r, err)
	}
	if b.forward(r, res.Organization) {
		return nil
	}
	fork := b.fork(res.Organization)
	decided := integration.DecideResult(fork, res, b.fresh())
	if len(decided) == 0 {
		b.decided(r.Topic, outcomeStale)
		return nil
	}
	return b.apply(r, res.Finding.Type(), fork, decided, outcomeAccepted)
}

// maxEvent bounds an event's data, well below what a broker takes by default (1 MB): a record that the broker refuses
// would abort its transaction again and again.
const maxEvent = 512 << 10

var errTooLarge = errors.New("what was decided is too large for Kafka")

// apply evolves the fork and writes the events; the record's trace goes on in them.
func (b *batch) apply(from *kgo.Record, what string, fork *integration.State, decided []integration.Event, outcome string) error {
	ctx, end := b.tracer.Follow(context.Background(), from, "decide "+what,
		telemetry.Fact{Name: "organization", Value: string(decided[0].Organization)}, telemetry.Fact{Name: "integration", Value: string(decided[0].Integration)},
		telemetry.Fact{Name: "outcome", Value: outcome})
	defer end("")
	records := make([]*kgo.Record, len(decided))
	for n, e := range decided {
		r, err := b.codec.EventRecord(e)
		if err != nil {
			return err
		}
		if len(r.Value) > maxEvent {
			return b.deadLetter(from, errTooLarge)
		}
		telemetry.Inject(ctx, r)
		records[n] = r
	}
	for _, e := range decided {
		integration.Evolve(fork, e)
		if _, changed := e.Fact.(integration.TrustChanged); changed || e.Answers != nil {
			b.news = append(b.news, e)
		}
	}
	b.decided(from.Topic, outcome)
	b.out = append(b.out, records...)
	return nil
}

// forward sends a record to its organization's home partition when it came on another: a producer in another language
// may partition otherwise. Here it must not be decided: its organization's state is not here.
func (b *batch) forward(r *kgo.Record, o integration.OrganizationID) bool {
	home := b.topics.Home(o)
	if home == b.part.id {
		return false
	}
	b.decided(r.Topic, outcomeForwarded)
	b.out = append(b.out, &kgo.Record{Topic: r.Topic, Partition: home, Key: []byte(o), Value: r.Value, Headers: r.Headers})
	return true
}

func (b *batch) deadLetter(r *kgo.Record, reason error) error {
	b.decided(r.Topic, outcomeDeadLetter)
	b.out = append(b.out, b.topics.DeadLetter(r, reason, b.fresh().Now))
	return nil
}

// records returns all that the transaction must write: events, then the state that follows from them, then receipts
// (a reader that sees a command's receipt has seen what it is about), then the cursor.
func (b *batch) records(now time.Time) ([]*kgo.Record, error) {
	b.expire(now)
	out := b.out
	add := func(r *kgo.Record, err error) error {
		if err == nil {
			out = append(out, r)
		}
		return err
	}
	for o, f := range b.forks {
		if changed, ok := f.ChangedOrganization(); ok {
			if err := add(b.topics.OrganizationRecord(changed)); err != nil {
				return nil, err
			}
		}
		for id, i := range f.Integrations() {
			if err := add(b.topics.IntegrationRecord(o, id, i)); err != nil {
				return nil, err
			}
		}
		for p, a := range f.Accounts() {
			if err := add(b.topics.AccountRecord(o, p, a)); err != nil {
				return nil, err
			}
		}
		for asker, receipt := range f.ChangedReceipts() {
			if err := add(b.topics.ReceiptRecord(o, asker, receipt)); err != nil {
				return nil, err
			}
		}
	}
	if err := add(b.topics.CursorRecord(b.part.id, b.cursor)); err != nil {
		return nil, fmt.Errorf("cursor of partition %d: %w", b.part.id, err)
	}
	return out, nil
}

// maxExpired bounds how many receipts one batch drops, so that a partition that slept for a week stays quick.
const maxExpired = 500

// expire drops receipts that are too old for their command to be read again.
func (b *batch) expire(now time.Time) {
	for n, e := range b.part.answered {
		if n == maxExpired || e.at.After(now) {
			break
		}
		b.fork(e.organization).DropReceipt(e.asker)
	}
}

// commit merges what was decided into the partition. Only after the transaction is committed: a rebalance may abort it,
// and then the next owner decides from the old state.
func (b *batch) commit(now time.Time) {
	gone := 0
	for gone < min(len(b.part.answered), maxExpired) && !b.part.answered[gone].at.After(now) {
		gone++
	}
	b.part.answered = b.part.answered[gone:]
	for o, f := range b.forks {
		for id, i := range f.Integrations() {
			if i == nil {
				continue
			}
			// One entry for each due time, not for each change.
			if was, known := b.part.org(o).Integration(id); !known || !was.NextDue().Equal(i.NextDue()) {
				b.part.due.set(o, *i)
			}
		}
		for _, r := range f.ChangedReceipts() {
			if r != nil {
				b.part.remember(o, *r)
			}
		}
		b.part.merge(o, f)
	}
	b.part.cursor = b.cursor
	for of, n := range b.outcomes {
		b.metrics.decided(of.topic, of.outcome, n)
	}
}

package events

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

// Replayable are the topics that records may be written to again after they were set aside from them. Events are not among
// them: lifecycle alone writes those, and asks again for what nobody has answered in time.
func (t Topics) Replayable() []string { return []string{t.Commands(), t.Results()} }

// Again makes the record that brings r back, which could not be read when it was at one of [Topics.Replayable]: key, value and
// headers as they were, without those that belong to dead letters, on the home partition of its organization. letter is
// kept in [HeaderReplay].
func (t Topics) Again(r *kgo.Record, letter string) *kgo.Record {
	headers := append(WithoutReserved(r.Headers), kgo.RecordHeader{Key: HeaderReplay, Value: []byte(letter)})
	return &kgo.Record{Topic: r.Topic, Partition: t.Home(whose(r)), Key: r.Key, Value: r.Value, Headers: headers}
}

// Sent is when a record was sent: when it was written, or what its envelope says if that is earlier, as it is of a record
// that was replayed.
func Sent(r *kgo.Record) time.Time {
	if e, err := readEnvelope(r); err == nil && !e.Time().IsZero() && e.Time().Before(r.Timestamp) {
		return e.Time()
	}
	return r.Timestamp
}

// WithoutReserved returns the headers that are not the dead letters' own.
func WithoutReserved(all []kgo.RecordHeader) []kgo.RecordHeader {
	return slices.DeleteFunc(slices.Clone(all), func(h kgo.RecordHeader) bool { return reserved(h.Key) })
}

// whose is the organization of a record that perhaps cannot be read: what its envelope says, else its key, which by the
// contract is the same.
func whose(r *kgo.Record) integration.OrganizationID {
	if e, err := readEnvelope(r); err == nil && attribute(e, extOrganization) != "" {
		return integration.OrganizationID(attribute(e, extOrganization))
	}
	for _, h := range r.Headers {
		if h.Key == headerPrefix+extOrganization {
			return integration.OrganizationID(h.Value)
		}
	}
	return integration.OrganizationID(r.Key)
}

// Counted returns t with as many partitions as the named topics have, for tools of operators that were perhaps told
// otherwise. They must exist and agree.
func Counted(ctx context.Context, admin *kadm.Client, t Topics, names ...string) (Topics, error) {
	have, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return t, fmt.Errorf("list topics: %w", err)
	}
	for n, name := range names {
		topic := have[name]
		if topic.Err != nil {
			return t, fmt.Errorf("topic %s: %w", name, topic.Err)
		}
		count := int32(len(topic.Partitions)) //nolint:gosec // at most some thousand
		if n > 0 && count != t.Partitions {
			return t, fmt.Errorf("topic %s has %d partitions, and %s has %d: they must have equally many", name, count, names[0], t.Partitions)
		}
		t.Partitions = count
	}
	return t, t.Check()
}

package events

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

// DefaultPrefix opens every topic's name unless configured otherwise.
const DefaultPrefix = "rolebridge."

// DefaultPartitions suits some thousand commands a second; it cannot be changed later without moving organizations.
const DefaultPartitions = 12

// Topics names the topics of one installation.
type Topics struct {
	Prefix string
	// Partitions of commands, results, events and state, which must agree.
	Partitions int32
}

// Commands is where control planes and the api say what they want; key: organization.
func (t Topics) Commands() string { return t.Prefix + "commands" }

// Results is where the workers say what they found; a topic of its own, so that ACLs can tell the two apart.
func (t Topics) Results() string { return t.Prefix + "results" }

// Events is where lifecycle says what was decided, refusals too.
func (t Topics) Events() string { return t.Prefix + "events" }

// State is the compacted source of truth, written by lifecycle only.
func (t Topics) State() string { return t.Prefix + "state" }

// DeadLetters is where records go that could not be read.
func (t Topics) DeadLetters() string { return t.Prefix + "dlq" }

// Audit is where brokers and the api say who asked for which credential or change, and the answer.
func (t Topics) Audit() string { return t.Prefix + "audit" }

// Group is the consumer group of the workers of that name, unless it is set: no two installations on one Kafka share it. With
// [DefaultPrefix] that of the deciders is rolebridge-lifecycle.
func (t Topics) Group(worker string) string {
	if name, dotted := strings.CutSuffix(t.Prefix, "."); dotted {
		return name + "-" + worker
	}
	return t.Prefix + "." + worker
}

// Home returns the partition of an organization, on every topic: what the default partitioner of the Java client and
// of franz-go give for the organization's id as key (murmur2). A producer that partitions otherwise is forwarded.
func (t Topics) Home(o integration.OrganizationID) int32 {
	p, _ := partitioners.Get().(kgo.TopicPartitioner)
	defer partitioners.Put(p)
	return int32(p.Partition(&kgo.Record{Key: []byte(o)}, int(t.Partitions))) //nolint:gosec // at most 1000 partitions
}

// partitioners are kept: making one seeds a random source, which took a quarter of a decider's time.
var partitioners = sync.Pool{New: func() any { return kgo.StickyKeyPartitioner(nil).ForTopic("") }}

// Definition is what a topic must look like.
type Definition struct {
	Name       string
	Partitions int32
	// Configs are the settings that matter; all others are the broker's defaults.
	Configs map[string]string
}

// Definitions lists all topics of an installation.
func (t Topics) Definitions() []Definition {
	const day = 24 * time.Hour
	kept := func(d time.Duration) map[string]string {
		return map[string]string{"cleanup.policy": "delete", "retention.ms": strconv.FormatInt(d.Milliseconds(), 10)}
	}
	return []Definition{
		{t.Commands(), t.Partitions, kept(7 * day)},
		{t.Results(), t.Partitions, kept(7 * day)},
		{t.Events(), t.Partitions, kept(30 * day)},
		{t.State(), t.Partitions, map[string]string{
			"cleanup.policy": "compact",
			// Some brokers apply the retention of the cluster to compacted topics too.
			"retention.ms": "-1",
			// A reader that was away for a day must still see tombstones.
			"delete.retention.ms": strconv.FormatInt(day.Milliseconds(), 10),
			// A restore reads all that is not compacted yet, and each transaction adds a cursor. The brokers' defaults leave
			// the newest segment, up to 1 GiB or a week old, and as much garbage as there is state.
			"segment.bytes":             strconv.Itoa(64 << 20),
			"max.compaction.lag.ms":     strconv.FormatInt((6 * time.Hour).Milliseconds(), 10),
			"min.cleanable.dirty.ratio": "0.1",
		}},
		{t.DeadLetters(), t.Partitions, kept(30 * day)},
		{t.Audit(), t.Partitions, kept(90 * day)},
	}
}

// Check explains what is wrong with t; nil when it can be used.
func (t Topics) Check() error {
	if t.Partitions < 1 || t.Partitions > 1000 {
		return fmt.Errorf("topics.partitions: %d: want 1 to 1000", t.Partitions)
	}
	if len(t.Prefix) > 100 {
		return fmt.Errorf("topics.prefix: %d characters: at most 100 are allowed", len(t.Prefix))
	}
	return nil
}

package dlq_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/dlq"
)

var topics = events.Topics{Prefix: "t.", Partitions: 3}

// FuzzADeadRecord: whatever a record is, its dead letter is read as just where it was, fits into Kafka's largest record, keeps
// it, and unless something was cut makes the same record again. No producer can have it say something else.
func FuzzADeadRecord(f *testing.F) {
	for _, name := range []string{"ce_id", events.HeaderTopic, events.HeaderOffset, events.HeaderMark, events.HeaderReplay, events.HeaderCut, "dlq_", ""} {
		f.Add([]byte("org-1"), []byte(`{"a":1}`), name, []byte("3@17"), "commands", uint16(2), int64(1)<<62, "no such schema")
	}
	f.Add(bytes.Repeat([]byte("k"), 5000), bytes.Repeat([]byte("v"), 1<<20), strings.Repeat("h", 40<<10), []byte(nil), "results", uint16(0), int64(0), strings.Repeat("é", 1000))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, topic string, partition uint16, offset int64, reason string) {
		if topic == "" || offset < 0 {
			return // of no record
		}
		r := &kgo.Record{
			Topic: topic, Partition: int32(partition), Offset: offset, Key: key, Value: value,
			Headers: []kgo.RecordHeader{{Key: name, Value: header}, {Key: events.HeaderTopic, Value: []byte("forged")}, {Key: "ce_id", Value: header}},
		}
		letter := topics.DeadLetter(r, errors.New(reason), time.Now())
		size := len(letter.Key) + len(letter.Value)
		for _, h := range letter.Headers {
			size += len(h.Key) + len(h.Value)
		}
		if size > 1000<<10 || letter.Partition < 0 || letter.Partition >= topics.Partitions || !topics.Keeps(letter, r) {
			t.Fatalf("the letter of %d bytes on partition %d keeps the record: %t", size, letter.Partition, topics.Keeps(letter, r))
		}
		got, err := dlq.Read(letter)
		if err != nil || got.Topic != topic || got.From != int32(partition) || got.Position != offset {
			t.Fatalf("the letter of %s/%d at %d reads as %+v, %v", topic, partition, offset, got, err)
		}
		if _, mark := dlq.Marked(letter); mark {
			t.Fatalf("header %q makes a mark of a dead letter", name)
		}
		if got.Cut != "" {
			return
		}
		letter.Topic = got.Topic
		again := topics.Again(letter, got.ID.String())
		if !bytes.Equal(again.Key, r.Key) || !bytes.Equal(again.Value, r.Value) || !reflect.DeepEqual(events.WithoutReserved(again.Headers), events.WithoutReserved(r.Headers)) {
			t.Fatalf("%+v is written again as %+v", r, again)
		}
	})
}

// FuzzALetter: whoever may write to the dead letters may write anything: it is read as a letter with a topic, as a mark with
// a place, or as neither.
func FuzzALetter(f *testing.F) {
	for _, seed := range [][4]string{
		{"commands", "1", "7", ""},
		{"", "1", "7", ""},
		{"commands", "99999999999", "7", ""},
		{"commands", "-1", "-9223372036854775808", "3@17"},
		{"commands", "1", "0x7", "3@"},
		{"\x00", "+1", "1e3", "-1@1"},
		{"commands", "", "", "+3@017"},
		{"commands", "1", "7", "2147483648@1"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, topic, partition, offset, mark string) {
		r := &kgo.Record{Headers: []kgo.RecordHeader{
			{Key: events.HeaderTopic, Value: []byte(topic)},
			{Key: events.HeaderPartition, Value: []byte(partition)},
			{Key: events.HeaderOffset, Value: []byte(offset)},
			{Key: events.HeaderTime, Value: []byte(offset)},
			{Key: events.HeaderReason, Value: []byte(topic)},
			{Key: events.HeaderMark, Value: []byte(mark)},
		}}
		if l, err := dlq.Read(r); (err == nil) == (l.Topic == "") && err == nil || err != nil && !errors.Is(err, dlq.ErrNoLetter) {
			t.Fatalf("%q/%q at %q reads as %+v, %v", topic, partition, offset, l, err)
		}
		id, err := dlq.ParseID(mark)
		at, ok := dlq.Marked(r)
		if ok != (err == nil) || at != id || id.Partition < 0 || id.Offset < 0 {
			t.Fatalf("mark %q: got %v, %t; want %v, %v", mark, at, ok, id, err)
		}
		if again, err := dlq.ParseID(id.String()); err != nil || again != id {
			t.Fatalf("%q reads as %v, and printed again as %v, %v", mark, id, again, err)
		}
	})
}

package events

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers that a dead letter has beside those of the record that it was.
const (
	HeaderReason    = "dlq_reason"
	HeaderTopic     = "dlq_topic"
	HeaderPartition = "dlq_partition"
	HeaderOffset    = "dlq_offset"
	HeaderTime      = "dlq_time"
	// HeaderCut says what of the record was too large to be kept whole: key, headers or value, with commas between them.
	HeaderCut = "dlq_cut"
	// HeaderReplay is on a record that was written again out of a dead letter: which one, as partition@offset. Should the
	// record die again, its dead letter has it too.
	HeaderReplay = "dlq_replay"
	// HeaderMark is on a record of the dead letters that is none itself: it says that the one at partition@offset was
	// written again, in the same transaction.
	HeaderMark = "dlq_mark"
)

// reserved reports whether a header is the dead letters' own.
func reserved(name string) bool { return strings.HasPrefix(name, "dlq_") }

// maxReason bounds the reason: it may quote what was read.
const maxReason = 1024

// DeadLetter makes the record that keeps r where it can be found: key, value and headers as they were, and why and from
// where it came. A value larger than any topic takes is cut, and the reason says so.
func (t Topics) DeadLetter(r *kgo.Record, reason error, now time.Time) *kgo.Record {
	text := reason.Error()
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	var cut []string
	value := r.Value
	const most = 900 << 10 // below the default max.message.bytes with room for headers
	if len(value) > most {
		value = value[:most]
		text = fmt.Sprintf("(cut from %d bytes) %s", len(r.Value), text)
		cut = append(cut, "value")
	}
	key := r.Key
	if len(key) > maxKey {
		key = key[:maxKey]
		text = fmt.Sprintf("(key cut from %d bytes) %s", len(r.Key), text)
		cut = append(cut, "key")
	}
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+5)
	size := 0
	for _, h := range r.Headers {
		if reserved(h.Key) && h.Key != HeaderReplay {
			continue // ours alone: what a producer wrote there must not be read as what we say
		}
		if size += len(h.Key) + len(h.Value); size > 32<<10 {
			cut = append(cut, "headers")
			break
		}
		headers = append(headers, h)
	}
	for _, h := range [][2]string{
		{HeaderReason, text},
		{HeaderTopic, r.Topic},
		{HeaderPartition, strconv.Itoa(int(r.Partition))},
		{HeaderOffset, strconv.FormatInt(r.Offset, 10)},
		{HeaderTime, now.UTC().Format(time.RFC3339Nano)},
		{HeaderCut, strings.Join(cut, ",")},
	} {
		if h[1] == "" {
			continue
		}
		headers = append(headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return &kgo.Record{Topic: t.DeadLetters(), Partition: r.Partition % t.Partitions, Key: key, Value: value, Headers: headers}
}

// Keeps reports whether a dead letter keeps r: it has what [Topics.DeadLetter] would have kept, no more and no less. What the
// letter says of itself does not count, [HeaderCut] least of all.
func (t Topics) Keeps(letter, r *kgo.Record) bool {
	want := t.DeadLetter(r, errors.New("of no account"), time.Time{})
	return bytes.Equal(letter.Key, want.Key) && bytes.Equal(letter.Value, want.Value) &&
		slices.EqualFunc(WithoutReserved(letter.Headers), WithoutReserved(want.Headers), func(a, b kgo.RecordHeader) bool {
			return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
		})
}

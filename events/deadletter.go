package events

import (
	"fmt"
	"strconv"
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
)

// maxReason bounds the reason: it may quote what was read.
const maxReason = 1024

// DeadLetter makes the record that keeps r where it can be found: key, value and headers as they were, and why and from
// where it came. A value larger than any topic takes is cut, and the reason says so.
func (t Topics) DeadLetter(r *kgo.Record, reason error, now time.Time) *kgo.Record {
	text := reason.Error()
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	value := r.Value
	const most = 900 << 10 // below the default max.message.bytes with room for headers
	if len(value) > most {
		value = value[:most]
		text = fmt.Sprintf("(cut from %d bytes) %s", len(r.Value), text)
	}
	key := r.Key
	if len(key) > maxKey {
		key = key[:maxKey]
		text = fmt.Sprintf("(key cut from %d bytes) %s", len(r.Key), text)
	}
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+5)
	size := 0
	for _, h := range r.Headers {
		if size += len(h.Key) + len(h.Value); size > 32<<10 {
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
	} {
		headers = append(headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return &kgo.Record{Topic: t.DeadLetters(), Partition: r.Partition % t.Partitions, Key: key, Value: value, Headers: headers}
}

package events_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
)

// FuzzAnyRecord: whatever stands in a record, no reader panics, and what one reads and can write reads the same again.
func FuzzAnyRecord(f *testing.F) {
	c := codec(f)
	for _, seed := range [][3]string{
		{"mapping.ready", "1", `{"platform":"arn:aws:iam::111122223333:role/cspi-00001"}`},
		{"trust.probed", "7", `{"report":{"started_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:00Z","checks":[{"name":"x","outcome":"PASS"}]}}`},
		{"integration.created", "1", `{"environment":"env-1","name":"n","config":{"kind":"AwsIntegrationConfig"},"external_id":"e","created_by":"u"}`},
		{"command.refused", "", `{"code":"quota_exceeded","message":"m","field":"/x"}`},
		{"session.issued", "", `{"connector":"c"}`},
		{"session.refused", "-1", `{}`},
		{"x", "99999999999999999999", `[`},
		{"", "", ""},
	} {
		f.Add(seed[0], "cspi-00001", seed[1], "k.1", "application/json", []byte(seed[2]))
		f.Add(seed[0], "", seed[1], "", "application/cloudevents+json", []byte(seed[2]))
	}
	f.Fuzz(func(t *testing.T, kind, subject, number, command, content string, value []byte) {
		r := &kgo.Record{Value: value}
		for _, h := range [][2]string{
			{"ce_specversion", "1.0"},
			{"ce_id", "1"},
			{"ce_source", "/s"},
			{"ce_type", kind},
			{"ce_subject", subject},
			{"ce_organization", "o"},
			{"ce_attempt", number},
			{"ce_version", number},
			{"ce_commandid", command},
			{"ce_commandsource", "/s"},
			{"content-type", content},
		} {
			if h[1] != "" {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
			}
		}
		events.TypeOf(r)
		if read, err := c.Result(r); err == nil {
			written, err := c.ResultRecord("/s", read)
			if err != nil {
				t.Fatalf("%+v was read but cannot be written: %v", read, err)
			}
			if again, err := c.Result(written); err != nil || !reflect.DeepEqual(again, read) {
				t.Fatalf("written again %+v reads as %+v, %v", read, again, err)
			}
		}
		if read, err := c.Event(r); err == nil {
			if written, err := c.EventRecord(read); err == nil {
				if again, err := c.Event(written); err != nil || !reflect.DeepEqual(again.Fact, read.Fact) || again.Version != read.Version {
					t.Fatalf("written again %+v reads as %+v, %v", read, again, err)
				}
			}
		}
		if read, _, err := c.Audit(r); err == nil {
			if written, err := c.AuditRecord("/s", read); err == nil {
				if again, _, err := c.Audit(written); err != nil || !reflect.DeepEqual(again.Note, read.Note) {
					t.Fatalf("written again %+v reads as %+v, %v", read, again, err)
				}
			}
		}
	})
}

// FuzzAStoredRecord: whatever stands in the state topic, the reader does not panic, and what it reads is written and read
// the same again.
func FuzzAStoredRecord(f *testing.F) {
	topics := events.Topics{Prefix: "t.", Partitions: 3}
	for _, seed := range [][2]string{
		{"organization/o", `{"id":"o","quota":3}`},
		{"integration/o/cspi-00001", `{"id":"cspi-00001","organization":"o"}`},
		{"account/o/u-1", `{"id":"u-1","keys":{"K":{}}}`},
		{"receipt/o/%2Fs/1", `{"digest":"d"}`},
		{"cursor", `{"a":1}`},
		{"organization/o", `null`},
		{"integration/%zz", `{}`},
		{"", ""},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		read, err := events.ReadStored(&kgo.Record{Key: key, Value: value})
		if err != nil || read.Organization == nil && read.Integration == nil && read.Account == nil && read.Receipt == nil {
			return
		}
		written, err := topics.StoredRecord(read)
		if err != nil {
			t.Fatalf("%+v was read but cannot be written: %v", read, err)
		}
		once, err := events.ReadStored(written)
		if err != nil {
			t.Fatalf("%q %q cannot be read again: %v", written.Key, written.Value, err)
		}
		// What a record leaves out may be filled in by the first reading, and by no other.
		twice, err := topics.StoredRecord(once)
		if err != nil || !bytes.Equal(twice.Key, written.Key) || !bytes.Equal(twice.Value, written.Value) {
			t.Fatalf("written again:\n%q %q\n%q %q, %v", written.Key, written.Value, twice.Key, twice.Value, err)
		}
	})
}

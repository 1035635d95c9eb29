package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/dlq"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// box is an installation whose dead letters a test fills.
type box struct {
	*plane
	t     *testing.T
	cl    *kgo.Client
	codec *events.Codec
}

func newBox(t *testing.T, p *plane) *box {
	t.Helper()
	p.apply(t)
	cl, err := kgo.NewClient(p.seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	codec, err := events.NewCodec(p.topics)
	if err != nil {
		t.Fatal(err)
	}
	return &box{p, t, cl, codec}
}

func (b *box) want(code int, args ...string) result {
	b.t.Helper()
	return b.plane.want(b.t, code, append(args, "--prefix", b.topics.Prefix)...)
}

func (b *box) write(records ...*kgo.Record) {
	b.t.Helper()
	if err := b.cl.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// unread writes a command and the dead letter that a decider which did not understand it would have left.
func (b *box) unread(o integration.OrganizationID, id, reason string, spoil func(*kgo.Record)) *kgo.Record {
	b.t.Helper()
	r, err := b.codec.CommandRecord(integration.Command{
		Source: "/test", ID: id, Organization: o, Actor: platformActor, Time: time.Now(), Ask: integration.CreateOrganization{Admin: "u-admin"},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if spoil != nil {
		spoil(r)
	}
	b.write(r)
	// An older program has gone past it.
	cursor, err := b.topics.CursorRecord(r.Partition, events.Cursor{b.topics.Commands(): r.Offset + 1})
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(cursor, b.topics.DeadLetter(r, errors.New(reason), time.Now()))
	return r
}

func (b *box) listed(args ...string) (all []letterShown) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.want(0, append([]string{"dlq", "list", "-o", "json"}, args...)...).out), &all); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// decisions are the events about an organization.
func (b *box) decisions(o integration.OrganizationID) (kinds []string) {
	b.t.Helper()
	if _, err := events.Replay(b.t.Context(), b.cl, b.topics.Events(), b.topics.Home(o), func(r *kgo.Record) error {
		e, err := b.codec.Event(r)
		if err == nil && e.Organization == o {
			kinds = append(kinds, e.Fact.Type())
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return kinds
}

func TestARecordWhoseReasonHasGoneIsReplayedAndDecidedOnce(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *plane{"embedded Kafka": newPlane, "real Kafka": newRealPlane} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, open(t))
			b.unread("org-1", "c-1", "unknown type", nil)
			b.decide(t)
			b.unread("org-2", "c-2", "no JSON", nil)
			if got := b.decisions("org-1"); len(got) != 0 {
				t.Fatalf("before the replay: got %v, want nothing", got)
			}
			found := b.listed("--reason", "UNKNOWN")
			if len(found) != 1 || found[0].Topic != b.topics.Commands() || *found[0].Key.Text != "org-1" {
				t.Fatalf("got %+v, want the one of org-1", found)
			}
			if got := b.want(0, "dlq", "replay", "--reason", "unknown", "--dry-run"); !strings.Contains(got.out, "1 of 1 would be replayed.") {
				t.Errorf("a dry run: got %q", got.out)
			}
			if got := b.want(0, "dlq", "replay", found[0].ID); !strings.Contains(got.out, "1 of 1 replayed.") {
				t.Errorf("got %q", got.out)
			}
			polltest.Until(t, "org-1 is decided", func() bool { return len(b.decisions("org-1")) > 0 })
			if got := b.want(0, "dlq", "replay", "--reason", "unknown"); !strings.Contains(got.out, "it was replayed at ") || !strings.Contains(got.out, "0 of 1 replayed, 1 skipped.") {
				t.Errorf("a second replay: got %q", got.out)
			}
			b.want(0, "dlq", "replay", found[0].ID, "--again")
			// What comes behind it on the same partition shows that it was read.
			b.want(0, "organization", "configure", "org-1", "--quota", "7")
			if got := fmt.Sprint(b.decisions("org-1")); got != "[organization.created organization.configured]" {
				t.Errorf("got %v, want it decided once", got)
			}
			if found := b.listed(); len(found) != 2 || found[0].Replayed == nil || found[1].Replayed != nil {
				t.Errorf("got %+v, want the first one replayed", found)
			}
		})
	}
}

func TestWhatDiesAgainIsNotReplayedAgainUnlessSomebodySaysSo(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	b.unread("org-1", "c-1", "broken", func(r *kgo.Record) { r.Value = []byte("{") })
	b.decide(t)
	b.want(0, "dlq", "replay", "--all")
	polltest.Until(t, "it has died again", func() bool { return len(b.listed()) == 2 })
	if got := b.want(0, "dlq", "replay", "--all", "--force"); !strings.Contains(got.out, "0 of 2 replayed, 2 skipped.") {
		t.Errorf("got %q", got.out)
	}
	again := b.listed()
	if again[1].Earlier != again[0].ID {
		t.Errorf("got %+v, want the second letter to name the first", again)
	}
	b.want(0, "dlq", "replay", again[1].ID, "--again")
	polltest.Until(t, "it has died once more", func() bool { return len(b.listed()) == 3 })
}

func TestARecordIsReplayedAsItWasToItsOrganizationsHome(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	elsewhere := (b.topics.Home("org-1") + 1) % b.topics.Partitions
	was := b.unread("org-1", "c-1", "unknown type", func(r *kgo.Record) {
		r.Partition, r.Key = elsewhere, []byte("a key of its own")
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte("00-1")}, kgo.RecordHeader{Key: "empty"})
	})
	b.want(0, "dlq", "replay", "--all")
	var got *kgo.Record
	if _, err := events.Replay(t.Context(), b.cl, b.topics.Commands(), b.topics.Home("org-1"), func(r *kgo.Record) error {
		got = r
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got == nil || !bytes.Equal(got.Key, was.Key) || !bytes.Equal(got.Value, was.Value) {
		t.Fatalf("got %+v, want key and value of %+v", got, was)
	}
	if last := len(got.Headers) - 1; fmt.Sprint(got.Headers[:last]) != fmt.Sprint(was.Headers) || got.Headers[last].Key != events.HeaderReplay {
		t.Errorf("got headers %v, want %v and one that names the letter", got.Headers, was.Headers)
	}
}

func TestAFalseDeadLetterIsNotReplayed(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	was := b.unread("org-1", "c-1", "true", nil)
	forged := *was
	forged.Value = []byte(`{"admin":"u-mallory"}`)
	state := *was
	state.Topic = b.topics.State()
	gone := *was
	gone.Offset += 1000
	nowhere := *was
	nowhere.Partition = 77
	order := *was
	order.Topic = b.topics.Events()
	// Says that it is cut where nothing is too large, so that it begins like any record.
	empty := &kgo.Record{Topic: was.Topic, Partition: was.Partition, Offset: was.Offset}
	long := b.unread("org-1", "c-2", "true", func(r *kgo.Record) { r.Key = bytes.Repeat([]byte("k"), 5000) })
	short := *long
	short.Key = long.Key[:100]
	// A receipt of it may be gone before a decider reads it again.
	old := b.unread("org-1", "c-3", "true", func(r *kgo.Record) { r.Timestamp = time.Now().Add(-integration.ReceiptLife + 23*time.Hour) })
	copied := b.unread("org-1", "c-4", "true", func(r *kgo.Record) {
		for n := range r.Headers {
			if r.Headers[n].Key == "ce_time" {
				r.Headers[n].Value = []byte(time.Now().Add(-integration.ReceiptLife).UTC().Format(time.RFC3339))
			}
		}
	})
	trimmed := *copied
	trimmed.Offset += 1000
	for reason, r := range map[string]*kgo.Record{
		"forged": &forged, "state": &state, "gone": &gone, "nowhere": &nowhere, "order": &order, "empty": empty, "short": &short, "old": old,
		"copied": copied, "trimmed": &trimmed,
	} {
		letter := b.topics.DeadLetter(r, errors.New("reason "+reason), time.Now())
		letter.Partition = 0
		switch r {
		case empty:
			letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: events.HeaderCut, Value: []byte("value")})
		case &short:
			letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: events.HeaderCut, Value: []byte("key")})
		}
		b.write(letter)
	}
	for reason, why := range map[string]string{
		"forged": "is another record", "state": "nothing is replayed to topic", "gone": "is not in its topic any more", "nowhere": "has no partition 77",
		"order": "lifecycle alone writes to ", "empty": "is another record", "short": "is another record", "old": "would be decided twice",
		"copied": "would be decided twice",
	} {
		got := b.want(5, "dlq", "replay", "--reason", "reason "+reason)
		if !strings.Contains(got.out, why) || !strings.Contains(got.out, "0 of 1 replayed, 1 refused.") {
			t.Errorf("%s: got %q, want %q", reason, got.out, why)
		}
	}
	if got := b.want(5, "dlq", "replay", "--reason", "reason trimmed", "--unverified", "--again"); !strings.Contains(got.out, "would be decided twice") {
		t.Errorf("an old command that nobody has any more: got %q", got.out)
	}
	b.want(0, "dlq", "replay", "--reason", "reason gone", "--unverified")
}

func TestALetterThatCouldNotBeKeptWholeIsReplayedWhole(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	was := b.unread("org-1", "c-1", "too large", func(r *kgo.Record) {
		r.Key = bytes.Repeat([]byte("k"), 5000)
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "large", Value: bytes.Repeat([]byte("h"), 40<<10)}, kgo.RecordHeader{Key: "last"})
	})
	if found := b.listed(); len(found) != 1 || found[0].Cut != "key,headers" {
		t.Fatalf("got %+v, want a letter that was cut", found)
	}
	b.want(0, "dlq", "replay", "--all")
	var got *kgo.Record
	if _, err := events.Replay(t.Context(), b.cl, was.Topic, was.Partition, func(r *kgo.Record) error {
		got = r
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got.Offset == was.Offset || !bytes.Equal(got.Key, was.Key) || len(got.Headers) != len(was.Headers)+1 {
		t.Errorf("got a key of %d bytes and %d headers, want %d and %d", len(got.Key), len(got.Headers), len(was.Key), len(was.Headers)+1)
	}
}

func TestALetterThatIsNamedTwiceIsReplayedOnce(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	b.unread("org-1", "c-1", "x", nil)
	id := b.listed()[0].ID
	for _, flag := range []string{"--dry-run", "--force", "--again"} {
		if got := b.want(0, "dlq", "replay", id, id, flag, "--force"); !strings.Contains(got.out, "1 of 2 ") || !strings.Contains(got.out, "named twice") {
			t.Errorf("%s: got %q", flag, got.out)
		}
	}
}

func TestHostileBytesDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	hostile := "\x1b]0;owned\x07\u009b31m\u202e\xff\r"
	b.unread("org-1", "c-1", "because "+hostile, func(r *kgo.Record) {
		r.Value, r.Key = []byte(hostile+"\nsecond line"), []byte(hostile)
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "h" + hostile, Value: []byte(hostile)})
	})
	id := b.listed()[0].ID
	for _, args := range [][]string{{"dlq", "list"}, {"dlq", "show", id}, {"dlq", "replay", id, "--dry-run"}} {
		for _, out := range []string{"human", "json", "yaml"} {
			got := b.want(0, append(args, "-o", out)...)
			if strings.ContainsAny(got.out+got.err, "\x1b\x07\u009b\u202e\r") || strings.Contains(got.out, "\xff") {
				t.Errorf("%v -o %s: got %q", args, out, got.out)
			}
		}
	}
	if got := b.want(0, "dlq", "show", id); !strings.Contains(got.out, `\x1b]0;owned`) || !strings.Contains(got.out, "\nsecond line") {
		t.Errorf("got %q, want escapes, and lines as they are", got.out)
	}
	var shown recordShown
	if err := json.Unmarshal([]byte(b.want(0, "dlq", "show", id, "-o", "json").out), &shown); err != nil || shown.Value.Base64 == nil {
		t.Errorf("got %+v, %v, want the value in base64", shown, err)
	}
}

func TestTheNewestLettersAreListedLast(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	for n := range 7 {
		b.unread(integration.OrganizationID(fmt.Sprint("org-", n)), fmt.Sprint("c-", n), fmt.Sprint("reason ", n), nil)
	}
	b.write(&kgo.Record{Topic: b.topics.DeadLetters(), Value: []byte("no dead letter")})
	got := b.want(0, "dlq", "list", "--limit", "3", "-o", "json")
	var found []letterShown
	if err := json.Unmarshal([]byte(got.out), &found); err != nil {
		t.Fatal(err)
	}
	if len(found) != 3 || found[0].Reason != "reason 4" || found[2].Reason != "reason 6" || !strings.HasPrefix(got.err, "4 older ones") {
		t.Errorf("got %+v and %q, want the last three", found, got.err)
	}
	if got := b.listed("--since", time.Now().Add(time.Hour).Format(time.RFC3339)); len(got) != 0 {
		t.Errorf("since a time to come: got %+v", got)
	}
	if got := b.listed("--since", "2d"); len(got) != 7 {
		t.Errorf("of two days: got %+v", got)
	}
	if got := b.listed("--since", "1h", "--topic", "results"); len(got) != 0 {
		t.Errorf("of results: got %+v", got)
	}
	for _, topic := range []string{"commands", b.topics.Commands()} {
		if got := b.listed("--topic", topic); len(got) != 7 {
			t.Errorf("of %s: got %+v, want all", topic, got)
		}
	}
	if got := b.want(2, "dlq", "list", "--topic", "comands"); !strings.Contains(got.err, "--topic comands: want one of "+b.topics.Commands()+", ") {
		t.Errorf("of no topic: got %q", got.err)
	}
	if got := b.want(0, "dlq", "list", "--limit", "1"); !strings.Contains(got.out, when(found[2].Time)) {
		t.Errorf("got %s, want the time as in other tables", got.out)
	}
}

func TestManyLettersAreReplayedOnlyWhenSomebodyIsSure(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	b.unread("org-1", "c-1", "x", nil)
	b.unread("org-2", "c-2", "x", nil)
	b.stdin = "n\n"
	b.want(2, "dlq", "replay", "--all")
	b.want(2, "dlq", "replay")
	b.want(2, "dlq", "replay", "0@0", "--all")
	b.want(2, "dlq", "replay", "nonsense")
	b.want(4, "dlq", "replay", "0@99")
	b.want(4, "dlq", "show", "99@0")
	b.want(2, "dlq", "list", "--limit", "0")
	b.want(2, "dlq", "list", "--since", "yesterday")
	b.stdin = "y\n"
	if got := b.want(0, "dlq", "replay", "--all"); !strings.Contains(got.out, "2 of 2 replayed.") {
		t.Errorf("got %q", got.out)
	}
}

func TestAReplayThatAnotherFencesSaysSo(t *testing.T) {
	t.Parallel()
	b := newBox(t, newPlane(t))
	b.unread("org-1", "c-1", "x", nil)
	b.unread("org-1", "c-2", "x", nil)
	open := func() dlq.Box {
		cl, err := kgo.NewClient(append(dlq.Options(b.topics), b.seeds)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return dlq.Box{Client: cl, Topics: b.topics}
	}
	first, second := open(), open()
	found, _, err := first.List(t.Context(), dlq.Filter{Limit: 10})
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	n := 0
	err = first.Replay(t.Context(), found, dlq.How{Again: true}, func(dlq.Outcome) {
		if n++; n == 1 { // while the first is at work
			if err := second.Replay(t.Context(), found[:1], dlq.How{}, func(o dlq.Outcome) {
				if o.Result != dlq.Skipped {
					t.Errorf("the second: got %s, want it to see the mark", o.Result)
				}
			}); err != nil {
				t.Error(err)
			}
		}
	})
	if !errors.Is(err, dlq.ErrFenced) {
		t.Errorf("got %v, want ErrFenced", err)
	}
}

// newRealPlane is a plane at a real Kafka.
func newRealPlane(t *testing.T) *plane {
	t.Helper()
	brokers := testenv.Kafka(t)
	return &plane{
		cli:    &cli{env: map[string]string{envBrokers: strings.Join(brokers, ",")}},
		topics: events.Topics{Prefix: testenv.Prefix(t), Partitions: 3}, seeds: kgo.SeedBrokers(brokers...),
	}
}

package lifecycle

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

var topics = events.Topics{Prefix: "t.", Partitions: 4}

const org = integration.OrganizationID("org-1")

// bench decides records on one partition without Kafka: what a batch writes is fed back as the log.
type bench struct {
	t      testing.TB
	codec  *events.Codec
	d      *decider
	p      *partition
	offset map[string]int64
	now    time.Time
	serial int
	log    []*kgo.Record // all that was written, in order
	in     []*kgo.Record
}

func newBench(t testing.TB) *bench {
	t.Helper()
	codec, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, codec: codec, p: newPartition(topics.Home(org)), offset: map[string]int64{}, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.d = &decider{topics: topics, codec: codec, proof: unasked{}, metrics: newMetrics(prometheus.NewRegistry(), topics.Prefix, newLag(topics.Prefix)), fresh: func() integration.Inputs {
		b.serial++
		return integration.Inputs{Now: b.now, ID: integration.ID(fmt.Sprintf("cspi-%05d", b.serial)), ExternalID: fmt.Sprint("ext-", b.serial), Jitter: 0.5}
	}}
	return b
}

// at gives records the next offsets of their topics, on this bench's partition.
func (b *bench) at(records ...*kgo.Record) []*kgo.Record {
	for _, r := range records {
		r.Partition, r.Offset = b.p.id, b.offset[r.Topic]
		b.offset[r.Topic]++
	}
	return records
}

// restored is the partition of a decider that comes after this one: all it knows is on the state topic.
func (b *bench) restored() *partition {
	b.t.Helper()
	p := newPartition(b.p.id)
	for _, r := range b.log {
		if r.Topic == topics.State() {
			if err := p.load(r); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	p.loaded(b.now)
	return p
}

func (b *bench) decide(records ...*kgo.Record) []*kgo.Record {
	b.t.Helper()
	batch := b.d.begin(b.p)
	batch.in = records
	out, err := batch.decide(b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	batch.commit(b.now)
	b.log = append(b.log, out...)
	return out
}

func (b *bench) command(id string, actor integration.Principal, o integration.OrganizationID, ask integration.Ask) *kgo.Record {
	b.t.Helper()
	r, err := b.codec.CommandRecord(integration.Command{Source: source, ID: id, Organization: o, Actor: actor, Time: b.now, Ask: ask})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// read returns the events among records.
func (b *bench) read(records []*kgo.Record) (found []integration.Event) {
	b.t.Helper()
	for _, r := range records {
		if r.Topic != topics.Events() {
			continue
		}
		e, err := b.codec.Event(r)
		if err != nil {
			b.t.Fatal(err)
		}
		found = append(found, e)
	}
	return found
}

// source is who sends the bench's commands.
const source = "test"

// events returns the events among records, as type and answered command.
func (b *bench) events(records []*kgo.Record) (found []string) {
	b.t.Helper()
	for _, e := range b.read(records) {
		text := e.Fact.Type()
		if e.Answers != nil {
			text += " answers " + e.Answers.ID
		}
		found = append(found, text)
	}
	return found
}

func (b *bench) founded() *bench {
	b.decide(b.at(
		b.command("found", "platform:cp", org, integration.CreateOrganization{Admin: "u-admin"}),
	)...)
	return b
}

func create(name, role string) integration.Create {
	return integration.Create{Environment: "env-1", Name: name, Config: integration.Config{Kind: integration.KindAWS, Customer: role}}
}

const customer = "arn:aws:iam::000000000001:role/customer"

func TestABatchSeesItsOwnDecisions(t *testing.T) {
	b := newBench(t).founded()
	got := b.events(b.decide(b.at(
		b.command("1", "u-admin", org, create("a", customer)),
		b.command("2", "u-admin", org, create("b", customer)),
		b.command("1", "u-admin", org, create("a", customer)),
	)...))
	want := []string{"integration.created answers 1", "mapping.requested", "command.refused answers 2"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatCannotBeReadBecomesADeadLetterAndThePartitionGoesOn(t *testing.T) {
	b := newBench(t).founded()
	good := b.command("ok", "u-admin", org, create("a", customer))
	broken := map[string]*kgo.Record{
		"no envelope":      {Topic: topics.Commands(), Value: []byte("hello")},
		"nothing at all":   {Topic: topics.Commands()},
		"an unknown type":  b.command("x", "u-admin", org, create("a", customer)),
		"data not in JSON": b.command("x", "u-admin", org, create("a", customer)),
		"an unknown field": b.command("x", "u-admin", org, create("a", customer)),
		"a wrong type":     b.command("x", "u-admin", org, create("a", customer)),
		"foreign config":   b.command("x", "u-admin", org, create("a", customer)),
		"huge":             {Topic: topics.Commands(), Value: make([]byte, 2<<20)},
		"another's result": {Topic: topics.Results(), Value: []byte("{}")},
	}
	for n, h := range broken["an unknown type"].Headers {
		if h.Key == "ce_type" {
			broken["an unknown type"].Headers[n].Value = []byte("integration.explode")
		}
	}
	broken["data not in JSON"].Value = []byte("{")
	broken["an unknown field"].Value = []byte(`{"environment":"e","display_name":"n","config":{"kind":"AwsIntegrationConfig"},"x":1}`)
	broken["a wrong type"].Value = []byte(`{"environment":7,"display_name":"n","config":{"kind":"AwsIntegrationConfig"}}`)
	broken["foreign config"].Value = []byte(`{"environment":"e","display_name":"n","config":{"kind":"AwsIntegrationConfig","customer_azure_tenant_id":"x"}}`)
	for name, r := range broken {
		t.Run(name, func(t *testing.T) {
			at := b.at(r)[0]
			out := b.decide(at)
			if len(out) != 2 || out[0].Topic != topics.DeadLetters() {
				t.Fatalf("wrote %d records, want a dead letter and the cursor", len(out))
			}
			headers := map[string]string{}
			for _, h := range out[0].Headers {
				headers[h.Key] = string(h.Value)
			}
			if headers[events.HeaderReason] == "" || headers[events.HeaderTopic] != at.Topic || headers[events.HeaderOffset] != fmt.Sprint(at.Offset) {
				t.Errorf("the dead letter has headers %v, want reason and origin", headers)
			}
		})
	}
	if got := b.events(b.decide(b.at(good)...)); len(got) != 2 {
		t.Errorf("the next good command gave %q, want its two events", got)
	}
}

func TestACommandOnAForeignPartitionIsForwardedHome(t *testing.T) {
	b := newBench(t).founded()
	other := integration.OrganizationID("org-2")
	for n := 3; topics.Home(other) == b.p.id; n++ {
		other = integration.OrganizationID(fmt.Sprint("org-", n))
	}
	r := b.command("1", "platform:cp", other, integration.CreateOrganization{Admin: "u-2"})
	out := b.decide(b.at(r)...)
	if len(out) != 2 || out[0].Topic != topics.Commands() || out[0].Partition != topics.Home(other) {
		t.Fatalf("wrote %+v, want the command for partition %d and the cursor", out[0], topics.Home(other))
	}
	if got, err := b.codec.Command(out[0]); err != nil || got.ID != "1" || got.Organization != other {
		t.Errorf("the forwarded command reads as %+v, %v", got, err)
	}
}

func TestRecordsBelowTheCursorAreSkipped(t *testing.T) {
	b := newBench(t).founded()
	r := b.at(b.command("1", "u-admin", org, create("a", customer)))
	b.decide(r...)
	if got := b.events(b.decide(r...)); len(got) != 0 {
		t.Errorf("the same records again gave %q, want nothing", got)
	}
}

func TestAPartitionRestoredFromItsLogIsTheSame(t *testing.T) {
	b := newBench(t).founded()
	made := b.decide(b.at(b.command("1", "u-admin", org, create("a", customer)))...)
	e, err := b.codec.Event(made[0])
	if err != nil {
		t.Fatal(err)
	}
	result, err := b.codec.ResultRecord("w", integration.Result{Organization: org, Integration: e.Integration, Attempt: 1, Finding: integration.MappingWasMade{Platform: "p"}})
	if err != nil {
		t.Fatal(err)
	}
	b.decide(b.at(result)...)
	b.decide(b.at(b.command("2", "u-admin", org, create("b", "arn:aws:iam::000000000001:role/other")))...)
	b.decide(b.at(b.command("3", "u-admin", org, integration.Delete{Integration: e.Integration}))...)
	for n, p := range []integration.Principal{"u-1", "u-2"} {
		b.decide(b.at(b.command(fmt.Sprint("account ", n), "platform:x", org, integration.CreateAccount{Account: p, Kind: integration.User, Name: "n"}))...)
	}
	b.decide(b.at(b.command("4", "u-admin", org, integration.CreateKey{
		Account: "u-1", KeyClaim: integration.ClaimKey(org, "u-1", "AAAAAAAAAAAAAAAA", "secret"),
	}))...)
	b.decide(b.at(b.command("5", "u-admin", org, integration.DeleteAccount{Account: "u-2"}))...)

	again := b.restored()
	for topic, want := range b.p.cursor {
		if got := again.cursor[topic]; got != want {
			t.Errorf("cursor of %s is %d, want %d", topic, got, want)
		}
	}
	text := func(p *partition) string {
		out, err := json.Marshal([]any{maps.Collect(p.org(org).Integrations()), maps.Collect(p.org(org).Accounts())})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if got, want := text(again), text(b.p); got != want {
		t.Errorf("restored\n%s\nwant\n%s", got, want)
	}
	if got, want := again.org(org).Count(), b.p.org(org).Count(); got != want {
		t.Errorf("restored count %d, want %d", got, want)
	}
	if a, _ := again.org(org).Account("u-1"); len(a.Keys) != 1 {
		t.Errorf("restored %+v, want its key", a)
	}
	b.p = again
	if got := b.events(b.decide(b.at(b.command("2", "u-admin", org, create("b", "arn:aws:iam::000000000001:role/other")))...)); len(got) != 0 {
		t.Errorf("a command decided before the restore gave %q, want nothing", got)
	}
}

func TestATimerIsWrittenWhenItIsDueAndRepeatedUntilDecided(t *testing.T) {
	b := newBench(t).founded()
	b.decide(b.at(b.command("1", "u-admin", org, create("a", customer)))...)
	remind := func() []*kgo.Record {
		out, err := b.p.reminders(b.codec, b.now, 10)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := remind(); len(got) != 0 {
		t.Errorf("%d reminders before anything is due", len(got))
	}
	b.now = b.now.Add(10 * time.Minute)
	first := remind()
	if len(first) != 1 {
		t.Fatalf("%d reminders, want 1", len(first))
	}
	if got := remind(); len(got) != 0 {
		t.Errorf("%d reminders at once again, want none", len(got))
	}
	b.now = b.now.Add(2 * time.Minute)
	if got := remind(); len(got) != 1 {
		t.Errorf("%d reminders when the first was lost, want 1", len(got))
	}
	if got := b.events(b.decide(b.at(first...)...)); strings.Join(got, ";") != "mapping.requested" {
		t.Errorf("the reminder gave %q, want mapping.requested", got)
	}
	b.now = b.now.Add(time.Minute + time.Second)
	if got := remind(); len(got) != 0 {
		t.Errorf("%d reminders although it was decided", len(got))
	}
}

func TestReceiptsAreDroppedWhenTheirCommandCannotComeAgain(t *testing.T) {
	b := newBench(t).founded()
	b.decide(b.at(b.command("1", "u-admin", org, create("a", customer)))...)
	b.now = b.now.Add(integration.ReceiptLife + time.Hour)
	out := b.decide(b.at(b.command("2", "u-admin", org, create("b", "arn:aws:iam::000000000001:role/other")))...)
	tombstones := 0
	for _, r := range out {
		if r.Topic == topics.State() && r.Value == nil {
			tombstones++
		}
	}
	if tombstones != 2 { // of "found" and "1"
		t.Errorf("%d tombstones, want 2", tombstones)
	}
	if _, ok := b.p.org(org).Receipt(integration.Asker{Source: source, ID: "1"}); ok {
		t.Error("the receipt is still there")
	}
	if len(b.p.answered) != 1 {
		t.Errorf("%d receipts wait for their end, want 1", len(b.p.answered))
	}
}

func TestValidationNamesEveryFault(t *testing.T) {
	c := Defaults()
	c.BatchRecords, c.EndTimeout = 0, time.Hour
	err := c.Validate()
	for _, want := range []string{"topics.partitions: 0", "lifecycle.instance", "lifecycle.batch_records: 0", "lifecycle.end_timeout: 1h0m0s"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}

func TestOrganizationsThatAreOnlyNamedAreNotKept(t *testing.T) {
	b := newBench(t).founded()
	stranger := func(n int) integration.OrganizationID { // of the bench's partition
		for k := n * 1000; ; k++ {
			if o := integration.OrganizationID(fmt.Sprint("stranger-", k)); topics.Home(o) == b.p.id {
				return o
			}
		}
	}
	for n := range 20 {
		b.decide(b.at(b.command(fmt.Sprint("r", n), "u-admin", stranger(n), create("a", customer)))...)
		result, err := b.codec.ResultRecord("w", integration.Result{
			Organization: stranger(100 + n), Integration: "cspi-00000", Attempt: 1, Finding: integration.MappingWasRemoved{},
		})
		if err != nil {
			t.Fatal(err)
		}
		b.decide(b.at(result)...)
	}
	if got := len(b.p.orgs); got != 21 {
		t.Errorf("%d organizations are held, want ours and 20 that have a receipt to remember", got)
	}
	b.now = b.now.Add(integration.ReceiptLife + time.Hour)
	b.decide(b.at(b.command("2", "u-admin", org, create("b", customer)))...)
	if got := len(b.p.orgs); got != 1 {
		t.Errorf("%d organizations are held once the receipts are dropped, want ours", got)
	}
	again := b.restored()
	if got := len(again.orgs); got != 1 {
		t.Errorf("%d organizations are held after a restore, want ours", got)
	}
}

package lifecycle_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// forget makes a transaction that Kafka forgets on the partition of an organization's state and events: its answer to
// the command "forgotten" is read only if somebody commits it. Done by another transaction since, Kafka does not know how
// it ended.
func (in *installation) forget(kafka *testenv.KafkaServer, id string, o integration.OrganizationID, since bool) {
	t, ctx := in.t, in.t.Context()
	t.Helper()
	const scratch = "scratch"
	if _, err := in.admin.CreateTopic(ctx, 1, 1, nil, scratch); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(in.seeds, kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	transact := func(during func(producer int64, epoch int16)) {
		t.Helper()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: scratch, Value: []byte("known")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		producer, epoch, err := cl.ProducerID(ctx)
		if err != nil {
			t.Fatal(err)
		}
		during(producer, epoch)
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	transact(func(producer int64, epoch int16) {
		state, err := in.topics.IntegrationRecord(o, "cspi-none", nil)
		if err != nil {
			t.Fatal(err)
		}
		event, err := in.codec.EventRecord(integration.Event{
			Organization: o, Time: time.Now(), Answers: &integration.Asked{Source: "test", ID: "forgotten", Digest: "d"},
			Fact: integration.Refused{Command: "integration.create", Refusal: integration.Refusal{Code: integration.CodeQuota, Message: "none left"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		kafka.Hang(t, producer, epoch, state)
		kafka.Hang(t, producer, epoch, event)
	})
	if since {
		transact(func(int64, int16) {})
	}
}

func TestATransactionThatKafkaForgotIsEndedAndNothingIsLost(t *testing.T) {
	for _, row := range []struct {
		name      string
		slot      string // whose transaction it is: of the decider that begins again, or of another
		since     bool
		running   bool // the decider runs meanwhile
		committed int
	}{
		{"committed before the decider began again", "a", false, false, 1},
		{"nobody knows how it ended", "a", true, false, 0},
		{"nobody knows, and a decider has the partition", "gone", true, true, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			kafka := testenv.ForgetfulKafka(t)
			in := newInstallation(t, "t.", false, kafka.Brokers()...)
			stop := in.start("a")
			in.found(3)
			in.send(in.commands(0, 20, 3)...)
			in.await(23)
			if !row.running {
				stop()
			}
			in.forget(kafka, in.group+"-"+row.slot, orgName(0), row.since)
			if !row.running {
				in.start("a")
			}
			in.send(in.commands(20, 40, 3)...)
			in.await(43 + row.committed) // waits for ever for what is open
			if _, answered := in.answers()["forgotten"]; answered != (row.committed == 1) {
				t.Errorf("the forgotten transaction's answer is read: %v", answered)
			}
		})
	}
}

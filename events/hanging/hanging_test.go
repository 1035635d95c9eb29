package hanging_test

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events/hanging"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestAHangingTransactionIsFoundAndEndsAsItsCoordinatorEndedIt(t *testing.T) {
	kafka := testenv.ForgetfulKafka(t)
	for _, row := range []struct {
		name   string
		end    kgo.TransactionEndTry
		again  bool // the producer makes another transaction
		want   hanging.Result
		commit bool
		read   int // committed records after the end
	}{
		{"committed", kgo.TryCommit, false, hanging.Committed, true, 2},
		{"aborted", kgo.TryAbort, false, hanging.Aborted, false, 1},
		{"followed by another", kgo.TryCommit, true, hanging.Unknown, false, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			topic := "t-" + row.name[:7]
			cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			admin := kadm.NewClient(cl)
			if _, err := admin.CreateTopic(ctx, 2, 1, nil, topic); err != nil {
				t.Fatal(err)
			}
			where := kadm.TopicsSet{}
			where.Add(topic, 0, 1)
			find := func() []hanging.Transaction {
				t.Helper()
				found, err := hanging.Find(ctx, admin, where)
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			// await looks until what is found is right: the markers of an end are written after it is answered.
			await := func(right func([]hanging.Transaction) bool) []hanging.Transaction {
				t.Helper()
				deadline := time.Now().Add(time.Minute)
				for {
					found := find()
					if right(found) {
						return found
					}
					if time.Now().After(deadline) {
						t.Fatalf("after a minute there hangs %+v", found)
					}
					<-time.After(50 * time.Millisecond)
				}
			}
			nothing := func(found []hanging.Transaction) bool { return len(found) == 0 }
			transact := func(end kgo.TransactionEndTry, during func(id int64, epoch int16)) {
				t.Helper()
				if err := cl.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: 1, Value: []byte("known")}).FirstErr(); err != nil {
					t.Fatal(err)
				}
				id, epoch, err := cl.ProducerID(ctx)
				if err != nil {
					t.Fatal(err)
				}
				during(id, epoch)
				for _, found := range find() {
					if found.Partition == 1 {
						t.Fatalf("a running transaction is said to hang: %+v", found)
					}
				}
				if err := cl.EndTransaction(ctx, end); err != nil {
					t.Fatal(err)
				}
			}
			transact(kgo.TryCommit, func(int64, int16) {})
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: 0, Value: []byte("first")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
			await(nothing)
			transact(row.end, func(id int64, epoch int16) {
				kafka.Hang(t, id, epoch, &kgo.Record{Topic: topic, Partition: 0, Value: []byte("secret")})
			})
			if row.again {
				transact(kgo.TryCommit, func(int64, int16) {})
			}
			found := await(func(found []hanging.Transaction) bool {
				return len(found) == 1 && found[0].Partition == 0 && found[0].Result == row.want && found[0].ID == topic
			})
			if again := find(); !slices.Equal(found, again) {
				t.Errorf("a second look found %+v, not %+v", again, found)
			}
			if err := found[0].End(ctx, admin, row.commit); err != nil {
				t.Fatal(err)
			}
			await(nothing)
			if n := committed(t, kafka, topic); n != row.read {
				t.Errorf("%d records are read, want %d", n, row.read)
			}
		})
	}
}

// committed counts the committed records of partition 0.
func committed(t *testing.T, kafka *testenv.KafkaServer, topic string) (n int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for markers := 0; markers < 2; { // one of each transaction
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Attrs.IsControl() {
				markers++
			} else {
				n++
			}
		})
	}
	return n
}

package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestWhatWaitsIsRecordsAndNotTheMarkersOfTransactions(t *testing.T) {
	for name, brokers := range map[string]func(*testing.T) []string{
		"embedded Kafka": func(t *testing.T) []string { return embedded(t) },
		"real Kafka":     func(t *testing.T) []string { return testenv.Kafka(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, brokers(t))
			s.p.Roles = []app.Role{app.Mapping}
			s.p.Mapping.Group = s.p.Topics.Prefix + "nobody"
			topic := s.p.Topics.Names().Events()
			cl, err := kgo.NewClient(append(slices.Clone(s.kafka), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
			s.must(err)
			defer cl.Close()
			write := func(how kgo.TransactionEndTry, partitions ...int32) {
				t.Helper()
				s.must(cl.BeginTransaction())
				for _, p := range partitions {
					s.must(cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: p, Value: []byte("x")}).FirstErr())
				}
				s.must(cl.EndTransaction(t.Context(), how))
			}
			lag := func() string {
				for _, f := range s.examine() {
					if f.Part == "lag" {
						return f.Found
					}
				}
				return ""
			}
			polltest.Until(t, "the broker tells of all topics", func() bool { return lag() != "topics are missing" })
			said := func(committed int64) string {
				t.Helper()
				var at kadm.Offsets
				for p := range int32(2) {
					at.AddOffset(topic, p, committed, -1)
				}
				answers, err := s.admin.CommitOffsets(t.Context(), s.p.Mapping.Group, at)
				s.must(err)
				s.must(answers.Error())
				return lag()
			}
			write(kgo.TryCommit, 0, 1) // a record at 0, a marker at 1
			write(kgo.TryAbort, 0)     // on one partition, a record at 2 that nobody will read
			for committed, want := range map[int64]string{0: "waiting: 2 records", 1: "waiting: 0 records"} {
				if got := said(committed); !strings.HasSuffix(got, want) {
					t.Errorf("committed offset %d: got %q, want %q", committed, got, want)
				}
			}
			s.must(cl.BeginTransaction())
			s.must(cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: 1, Value: []byte("x")}).FirstErr())
			if got := said(0); !strings.HasSuffix(got, "waiting: 2 records") {
				t.Errorf("while a transaction is open: got %q, want what can be read", got)
			}
			s.must(cl.EndTransaction(t.Context(), kgo.TryCommit))
			if got := said(1); !strings.HasSuffix(got, "waiting: 1 record") {
				t.Errorf("once it is committed: got %q, want one more", got)
			}
		})
	}
}

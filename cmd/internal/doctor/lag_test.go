package doctor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/cmd/internal/doctor"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// lagging is a site whose topic of events a group without members has read in part.
type lagging struct {
	*site
	cl    *kgo.Client
	topic string
}

// onEachKafka runs a test on an embedded Kafka and on a real one.
func onEachKafka(t *testing.T, test func(*testing.T, *lagging)) {
	t.Helper()
	for name, brokers := range map[string]func(*testing.T) []string{
		"embedded Kafka": func(t *testing.T) []string { return embedded(t) },
		"real Kafka":     func(t *testing.T) []string { return testenv.Kafka(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, brokers(t))
			s.p.Roles = []app.Role{app.Mapping}
			s.p.Mapping.Group = s.p.Topics.Prefix + "nobody"
			l := &lagging{site: s, topic: s.p.Topics.Names().Events()}
			l.cl = l.transactional("a")
			polltest.Until(t, "the broker tells of all topics", func() bool { return l.lag() != "topics are missing" })
			test(t, l)
		})
	}
}

// transactional is a client that writes transactions, which stay open for longer than any wait of a test.
func (s *site) transactional(id string) *kgo.Client {
	s.t.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(s.kafka), kgo.TransactionalID(s.p.Topics.Prefix+id), kgo.TransactionTimeout(10*time.Minute),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	s.must(err)
	s.t.Cleanup(cl.Close)
	return cl
}

// begin begins a transaction with a record on each of some partitions.
func (s *site) begin(cl *kgo.Client, topic string, partitions ...int32) {
	s.t.Helper()
	s.must(cl.BeginTransaction())
	for _, p := range partitions {
		s.must(cl.ProduceSync(s.t.Context(), &kgo.Record{Topic: topic, Partition: p, Value: []byte("x")}).FirstErr())
	}
}

// commit commits the same offset of two partitions for a group without members.
func (s *site) commit(group, topic string, offset int64) {
	s.t.Helper()
	var at kadm.Offsets
	for p := range int32(2) {
		at.AddOffset(topic, p, offset, -1)
	}
	answers, err := s.admin.CommitOffsets(s.t.Context(), group, at)
	s.must(err)
	s.must(answers.Error())
}

// lag is what is said first of who reads.
func (s *site) lag() string {
	s.t.Helper()
	for _, f := range s.examine() {
		if f.Part == "lag" {
			return f.Found
		}
	}
	return ""
}

// said is what is said when the group has read up to an offset.
func (l *lagging) said(committed int64) string {
	l.t.Helper()
	l.commit(l.p.Mapping.Group, l.topic, committed)
	return l.lag()
}

func TestWhatWaitsIsRecordsAndNotTheMarkersOfTransactions(t *testing.T) {
	onEachKafka(t, func(t *testing.T, l *lagging) {
		l.begin(l.cl, l.topic, 0, 1) // a record at 0, a marker at 1
		l.must(l.cl.EndTransaction(t.Context(), kgo.TryCommit))
		l.begin(l.cl, l.topic, 0) // on one partition, a record at 2 that nobody will read
		l.must(l.cl.EndTransaction(t.Context(), kgo.TryAbort))
		for committed, want := range map[int64]string{0: "waiting: 2 records", 1: "waiting: 0 records"} {
			if got := l.said(committed); !strings.HasSuffix(got, want) {
				t.Errorf("committed offset %d: got %q, want %q", committed, got, want)
			}
		}
		l.begin(l.cl, l.topic, 1)
		for committed, want := range map[int64]string{0: "waiting: 2 records", 2: "waiting: 0 records"} {
			if got := l.said(committed); !strings.HasSuffix(got, want) {
				t.Errorf("committed offset %d while a transaction is open: got %q, want what can be read", committed, got)
			}
		}
		l.must(l.cl.EndTransaction(t.Context(), kgo.TryCommit)) // its marker is written later
		polltest.Until(t, "what was committed is one record more", func() bool { return strings.HasSuffix(l.said(1), "waiting: 1 record") })
	})
}

func TestWhatRetentionRemovedDoesNotWait(t *testing.T) {
	onEachKafka(t, func(t *testing.T, l *lagging) {
		l.begin(l.cl, l.topic, 0, 1)
		l.must(l.cl.EndTransaction(t.Context(), kgo.TryCommit))
		var ends kadm.ListedOffsets
		polltest.Until(t, "the markers are written", func() bool {
			var err error
			ends, err = l.admin.ListCommittedOffsets(t.Context(), l.topic)
			return err == nil && ends[l.topic][0].Offset == 2 && ends[l.topic][1].Offset == 2
		})
		_, err := l.admin.DeleteRecords(t.Context(), ends.Offsets())
		l.must(err)
		if got := l.said(1); !strings.HasSuffix(got, "waiting: 0 records") {
			t.Errorf("got %q, want nothing: whoever reads on finds nothing to read", got)
		}
	})
}

func TestGroupsThatCannotBeCountedTakeTheLookNoTimeFromEachOther(t *testing.T) {
	t.Parallel()
	s := newSite(t, embedded(t))
	topics := s.p.Topics.Names()
	s.p.Lifecycle.Group, s.p.Mapping.Group, s.p.Trust.Group = "nobody-1", "nobody-2", "nobody-3"
	// An aborted record, and behind it the beginning of an open transaction: neither it nor its marker will come to a reader.
	for _, topic := range []string{topics.Commands(), topics.Events()} {
		aborted, open := s.transactional(topic+"-aborted"), s.transactional(topic+"-open")
		s.begin(aborted, topic, 0)
		s.begin(open, topic, 0)
		s.must(aborted.EndTransaction(t.Context(), kgo.TryAbort))
	}
	s.commit(s.p.Lifecycle.Group, topics.Commands(), 0)
	s.commit(s.p.Mapping.Group, topics.Events(), 0)
	s.commit(s.p.Trust.Group, topics.Events(), 0)
	atMost := 0
	for _, f := range s.examine() {
		if f.Part == "lag" && strings.Contains(f.Found, "waiting: at most 3 records") {
			atMost++
		}
		if strings.Contains(f.Found, "no answer") {
			t.Errorf("got %+v, want an answer", f)
		}
	}
	if atMost != 3 {
		t.Errorf("%d groups have at most 3 records waiting, want all three: the fault did not fire", atMost)
	}
}

func TestWhatDoesNotAnswerComesWithAdvice(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := newSite(t, cluster.ListenAddrs())
	cluster.ControlKey(int16(kmsg.ListGroups), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, nil, true // read, and never answered
	})
	if found := s.examine(); !slices.ContainsFunc(found, func(f doctor.Finding) bool {
		return f.Part == "lag" && f.Verdict == doctor.Failure && strings.Contains(f.Found, "no answer within") && strings.Contains(f.Do, "overloaded")
	}) {
		t.Errorf("got %+v, want no answer, and what to do", found)
	}
}

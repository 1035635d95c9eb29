package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// stateLog is a state topic that a test writes as the decider would.
type stateLog struct {
	t      *testing.T
	topics events.Topics
	seeds  kgo.Opt
	cl     *kgo.Client
}

func newStateLog(t *testing.T, prefix string, seeds ...string) *stateLog {
	t.Helper()
	l := &stateLog{t: t, topics: events.Topics{Prefix: prefix, Partitions: 3}, seeds: kgo.SeedBrokers(seeds...)}
	var err error
	l.cl, err = kgo.NewClient(l.seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(prefix+"writer"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.cl.Close)
	if _, err := events.Apply(t.Context(), kadm.NewClient(l.cl), l.topics, 1); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *stateLog) write(commit kgo.TransactionEndTry, records ...*kgo.Record) {
	l.t.Helper()
	if err := l.cl.BeginTransaction(); err != nil {
		l.t.Fatal(err)
	}
	if err := l.cl.ProduceSync(l.t.Context(), records...).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
	if err := l.cl.EndTransaction(l.t.Context(), commit); err != nil {
		l.t.Fatal(err)
	}
}

func (l *stateLog) integration(n int, version int64, hash string) *kgo.Record {
	l.t.Helper()
	org := integration.OrganizationID(fmt.Sprint("org-", n%2))
	i := integration.Integration{
		ID: integration.ID(fmt.Sprintf("cspi-%05d", n)), Organization: org, Environment: "env-1", Version: version,
		Config: integration.Config{Kind: integration.KindAWS}, Mapping: integration.Mapping{Status: integration.MappingReady},
	}
	if hash != "" {
		i.Connectors = map[integration.ConnectorID]integration.Binding{"lcc-1": {Tokens: []integration.Token{{Hash: hash}}}}
	}
	r, err := l.topics.IntegrationRecord(org, i.ID, &i)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (l *stateLog) must(r *kgo.Record, err error) *kgo.Record {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (l *stateLog) table() *events.Table {
	l.t.Helper()
	table := events.NewTable(l.topics, []kgo.Opt{l.seeds}, events.WithReceipts(), events.WithLog(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- table.Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("table: %v", err)
		}
	})
	select {
	case <-table.Ready():
	case <-time.After(30 * time.Second):
		l.t.Fatal("the table is not ready after 30 s")
	}
	return table
}

// onBoth runs a test on the embedded and on the real Kafka.
func onBoth(t *testing.T, test func(t *testing.T, l *stateLog)) {
	t.Run("on an embedded Kafka", func(t *testing.T) {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		test(t, newStateLog(t, "t.", c.ListenAddrs()...))
	})
	t.Run("on a real Kafka", func(t *testing.T) {
		test(t, newStateLog(t, testenv.Prefix(t), testenv.Kafka(t)...))
	})
}

func TestTheTableIsReadyWhenTheLogEndsInWhatIsNoRecord(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		l.write(kgo.TryCommit, l.integration(1, 1, ""), l.integration(2, 1, ""))
		l.write(kgo.TryAbort, l.integration(1, 9, ""), l.integration(3, 9, ""))
		table := l.table()
		if one, zero := table.Used("org-1"), table.Used("org-0"); one != 1 || zero != 1 {
			t.Errorf("org-1 uses %d and org-0 %d of their quotas, want 1 each", one, zero)
		}
		if got := table.Count(); got != 2 {
			t.Errorf("the table has %d integrations, want 2", got)
		}
		if i, ok := table.Integration("cspi-00001"); !ok || i.Version != 1 {
			t.Errorf("integration 1 is %+v, want version 1: the rest was aborted", i)
		}
	})
}

func TestTheTableFollowsAndWakesWhoWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		l.write(kgo.TryCommit, l.integration(1, 1, "aa"))
		table := l.table()
		waited := make(chan error, 2)
		go func() { waited <- table.WaitFor(t.Context(), "cspi-00001", 2) }()
		asker := integration.Asker{Source: "s", ID: "1"}
		go func() {
			r, err := table.WaitAnswer(t.Context(), "org-1", asker)
			if i, _ := table.Integration(r.Integration); err == nil && (i == nil || i.Version != r.Version) {
				err = fmt.Errorf("answered with version %d while the table has %+v", r.Version, i)
			}
			waited <- err
		}()
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := table.WaitFor(short, "cspi-00001", 99); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for what never comes: got %v, want the end of the context", err)
		}
		receipt := integration.Receipt{Organization: "org-1", Source: "s", ID: "1", Integration: "cspi-00001", Version: 2}
		l.write(kgo.TryCommit, l.integration(1, 2, "bb"), l.must(l.topics.ReceiptRecord("org-1", asker, &receipt)))
		for range 2 {
			if err := <-waited; err != nil {
				t.Error(err)
			}
		}
		if got := table.Holders("aa"); len(got) != 0 {
			t.Error("the old token is still known")
		}
		l.write(kgo.TryCommit, l.must(l.topics.IntegrationRecord("org-1", "cspi-00001", nil)), l.must(l.topics.ReceiptRecord("org-1", asker, nil)))
		if err := table.WaitUntil(t.Context(), "cspi-00001", func(i *integration.Integration) bool { return i == nil }); err != nil {
			t.Error(err)
		}
		if got := slices.Collect(table.List("org-1", "env-1", "")); len(got) != 0 || table.Listed("org-1", "env-1") != 0 {
			t.Errorf("%d integrations are listed after the deletion", len(got))
		}
		if got := table.Used("org-1"); got != 0 {
			t.Errorf("%d integrations count after the deletion", got)
		}
	})
}

func TestWhoWaitsForAnIntegrationWaitsForItsCreationAndNotBeyondItsEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		l.write(kgo.TryCommit, l.integration(1, 1, ""))
		table := l.table()
		wait := func(id integration.ID, version int64) (end func() error) {
			waited := make(chan error, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			go func() { waited <- table.WaitFor(ctx, id, version) }()
			return func() error { defer cancel(); return <-waited }
		}
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := table.WaitFor(short, "cspi-00002", 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an integration that nobody has seen: got %v, want the end of the context", err)
		}
		created, later := wait("cspi-00002", 1), wait("cspi-00001", 99)
		l.write(kgo.TryCommit, l.integration(2, 1, ""))
		if err := created(); err != nil {
			t.Errorf("after the creation: %v", err)
		}
		l.write(kgo.TryCommit, l.must(l.topics.IntegrationRecord("org-1", "cspi-00001", nil)))
		if err := later(); err != nil {
			t.Errorf("deleted during the wait: %v", err)
		}
		if err := wait("cspi-00001", 99)(); err != nil {
			t.Errorf("deleted before the wait: %v", err)
		}
		table = l.table()
		if err := wait("cspi-00001", 99)(); err != nil {
			t.Errorf("deleted before the table was made: %v", err)
		}
	})
}

func TestEachHolderOfATokensHashIsFound(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		for n := range 2 {
			o := integration.Organization{ID: integration.OrganizationID(fmt.Sprint("org-", n))}
			l.write(kgo.TryCommit, l.must(l.topics.OrganizationRecord(o)))
		}
		l.write(kgo.TryCommit, l.integration(2, 1, "aa"))
		l.write(kgo.TryCommit, l.integration(1, 1, "aa"))
		l.write(kgo.TryCommit, l.integration(4, 1, "bb"))
		table := l.table()
		holders := func(hash string) (ids []integration.ID) {
			for _, h := range table.Holders(hash) {
				b, ok := h.Binding()
				if named, bound := table.Binding(b.Integration.ID, b.Connector); !ok || !bound || named != b {
					t.Errorf("holder %+v, %t; the binding of that name is %+v, %t", b, ok, named, bound)
				}
				if got := b.Grant().Tokens; len(got) != 1 || got[0].Hash != hash {
					t.Errorf("holder %+v has the tokens %v, want %s", b, got, hash)
				}
				ids = append(ids, b.Integration.ID)
			}
			slices.Sort(ids)
			return ids
		}
		if got, want := holders("aa"), []integration.ID{"cspi-00001", "cspi-00002"}; !slices.Equal(got, want) {
			t.Errorf("holders: got %v, want %v", got, want)
		}
		l.write(kgo.TryCommit, l.integration(1, 2, ""))
		if err := table.WaitFor(t.Context(), "cspi-00001", 2); err != nil {
			t.Fatal(err)
		}
		if got, want := holders("aa"), []integration.ID{"cspi-00002"}; !slices.Equal(got, want) {
			t.Errorf("after one let go, holders: got %v, want %v", got, want)
		}
		for id, c := range map[integration.ID]integration.ConnectorID{"cspi-00001": "lcc-1", "cspi-00002": "lcc-2", "cspi-00009": "lcc-1"} {
			if b, ok := table.Binding(id, c); ok {
				t.Errorf("%s is bound to %s: %+v", c, id, b)
			}
		}
	})
}

func TestApplyCreatesWhatIsMissingAndReportsDrift(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		admin := kadm.NewClient(l.cl)
		if done, err := events.Apply(t.Context(), admin, l.topics, 1); err != nil || len(done.Created) != 0 || len(done.Drifts) != 0 {
			t.Errorf("applied again: %+v, %v; want nothing to do", done, err)
		}
		hour := "3600000"
		if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "retention.ms", Value: &hour}}, l.topics.State()); err != nil {
			t.Fatal(err)
		}
		more := l.topics
		more.Partitions = 5
		done, err := events.Apply(t.Context(), admin, more, 1)
		if err != nil {
			t.Fatal(err)
		}
		settings := map[string]int{}
		for _, d := range done.Drifts {
			settings[d.Setting]++
		}
		if settings["partitions"] != 6 || settings["retention.ms"] != 1 || len(settings) != 2 {
			t.Errorf("drifts are %v, want the partitions of all topics and one retention", done.Drifts)
		}
	})
}

func TestApplyReportsAReplicationFactorThatWasAskedFor(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		admin := kadm.NewClient(l.cl)
		for factor, want := range map[int16]int{-1: 0, 0: 0, 1: 0, 3: 6} {
			done, err := events.Apply(t.Context(), admin, l.topics, factor)
			if err != nil || len(done.Drifts) != want {
				t.Errorf("factor %d: got %v, %v; want %d drifts", factor, done.Drifts, err, want)
			}
			for _, d := range done.Drifts {
				if d.Setting != "replication factor" || d.Have != "1" || d.Want != "3" {
					t.Errorf("factor %d: got %s", factor, d)
				}
			}
		}
	})
}

func TestTheStateTopicsSettingsAreTheBrokersToo(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		admin := kadm.NewClient(l.cl)
		if _, err := events.Apply(t.Context(), admin, l.topics, 1); err != nil { // waits until brokers know the topic
			t.Fatal(err)
		}
		described, err := admin.DescribeTopicConfigs(t.Context(), l.topics.State())
		if err := errors.Join(err, described[0].Err); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, c := range described[0].Configs {
			got[c.Key] = c.MaybeValue()
		}
		for _, d := range l.topics.Definitions() {
			if d.Name != l.topics.State() {
				continue
			}
			for k, want := range d.Configs {
				if got[k] != want {
					t.Errorf("%s: got %q, want %q", k, got[k], want)
				}
			}
		}
	})
}

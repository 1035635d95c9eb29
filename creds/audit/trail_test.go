package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rolebridge/rolebridge/creds/audit"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// bound is far above what any wait here takes.
const bound = 30 * time.Second

var topics = events.Topics{Prefix: "p.", Partitions: 2}

// site is a trail with its Kafka.
type site struct {
	t     *testing.T
	trail *audit.Trail
	reg   *prometheus.Registry
	codec *events.Codec
	to    *kgo.Client // reads the audit topic
	stop  func()
}

func newSite(t *testing.T, brokers []string, where events.Topics, change func(*audit.Config)) *site {
	t.Helper()
	c := audit.Defaults()
	c.Window, c.Replica = 100*time.Millisecond, "b-1"
	change(&c)
	s := &site{t: t, reg: prometheus.NewRegistry()}
	var err error
	if s.codec, err = events.NewCodec(where); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(c.ProducerOptions(), kgo.SeedBrokers(brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if s.to, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(where.Audit()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.to.Close)
	if s.trail, err = audit.New(c, events.SourceBroker, client, s.codec, slog.New(slog.DiscardHandler), s.reg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.trail.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(s.stop)
	return s
}

func cluster(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(topics.Partitions, topics.Audit()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// next reads records until enough say they have what they look for.
func (s *site) next(enough func(events.Audit) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), bound)
	defer cancel()
	var all []events.Audit
	for {
		fetches := s.to.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			s.t.Fatalf("the trail has only %+v: %v", all, err)
		}
		for _, r := range fetches.Records() {
			a, source, err := s.codec.Audit(r)
			if err != nil || source != events.SourceBroker+"/b-1" {
				s.t.Fatalf("%s wrote %s, %v", source, r.Value, err)
			}
			all = append(all, a)
			if enough(a) {
				return
			}
		}
	}
}

func issued(n int) events.Audit {
	return events.Audit{
		Organization: "org-1", Integration: "cspi-00001", Time: time.Now(),
		Note: events.CredentialsIssued{
			Environment: "env-1", Connector: integration.ConnectorID(fmt.Sprint("lcc-", n)), SessionName: "s", ExpiresAt: time.Now(), Level: "cloud",
		},
	}
}

func refused(connector integration.ConnectorID) events.Audit {
	return events.Audit{
		Organization: "org-1", Integration: "cspi-00001", Time: time.Now(),
		Note: events.CredentialsRefused{Environment: "env-1", Connector: connector, Code: integration.CodeDenied, Message: "trust is denied"},
	}
}

func (s *site) count(outcome string) float64 {
	s.t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "rolebridge_audit_notes_total" && m.GetLabel()[0].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestEachSessionIsOneRecordAndEqualRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	s := newSite(t, cluster(t).ListenAddrs(), topics, func(c *audit.Config) { c.Window = time.Minute })
	s.trail.Note(issued(1))
	for range 1000 {
		s.trail.Note(refused("lcc-1"))
	}
	s.trail.Note(refused("lcc-2"))
	s.trail.Note(events.Audit{Time: time.Now(), Note: events.CredentialsRefused{Code: integration.CodeUnauthenticated, Message: "m"}})
	for range 500 {
		s.trail.Note(events.Audit{Time: time.Now(), Note: events.LoginRefused{Source: "192.0.2.1", Way: "key", Code: integration.CodeUnauthenticated}})
	}
	s.stop() // what is left is written at the end
	counts := map[string]int64{}
	records := 0
	s.next(func(a events.Audit) bool {
		records++
		switch n := a.Note.(type) {
		case events.CredentialsIssued:
			counts["issued "+string(n.Connector)]++
		case events.CredentialsRefused:
			counts[string(a.Organization)+" "+string(n.Connector)] += n.Count
			if n.Since.After(a.Time) {
				t.Errorf("counted since %v, until %v", n.Since, a.Time)
			}
		}
		if n, ok := a.Note.(events.LoginRefused); ok {
			counts["login of "+n.Source] += n.Count
		}
		return records == 5
	})
	want := map[string]int64{"issued lcc-1": 1, "org-1 lcc-1": 1000, "org-1 lcc-2": 1, " ": 1, "login of 192.0.2.1": 500}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", counts, want)
	}
	if n := s.count("written"); n != 1503 {
		t.Errorf("%v notes count as written, want 1503", n)
	}
}

func TestTheTrailNeverBlocksAndTellsItsGap(t *testing.T) {
	t.Parallel()
	kafka := cluster(t)
	var away atomic.Bool
	away.Store(true)
	kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		if away.Load() {
			return nil, errors.New("away"), true
		}
		return nil, nil, false
	})
	const queue, sent = 10, 500
	s := newSite(t, kafka.ListenAddrs(), topics, func(c *audit.Config) { c.Queue = queue })
	for n := range sent {
		s.trail.Note(issued(n))
	}
	dropped := func() bool {
		n := s.count("dropped")
		return n >= sent-2*queue-1 && n < sent
	}
	for end := time.Now().Add(bound); !dropped(); {
		if time.Now().After(end) {
			t.Fatalf("%v are dropped, want at least %d: a queue and a buffer full are kept", s.count("dropped"), sent-2*queue-1)
		}
		runtime.Gosched()
	}
	away.Store(false)
	var untold, kept int64
	s.next(func(a events.Audit) bool {
		switch n := a.Note.(type) {
		case events.AuditDropped:
			untold += n.Count
		case events.CredentialsIssued:
			kept++
		}
		return untold+kept == sent
	})
	if kept < queue || float64(untold) != s.count("dropped") {
		t.Errorf("%d were kept and %d are told as lost; %v count as dropped", kept, untold, s.count("dropped"))
	}
}

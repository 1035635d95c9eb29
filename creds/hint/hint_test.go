package hint_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/creds/hint"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bound = 30 * time.Second

var topics = events.Topics{Prefix: "p.", Partitions: 1}

// site is a teller with its Kafka.
type site struct {
	*hint.Teller
	t     *testing.T
	reg   *prometheus.Registry
	codec *events.Codec
	to    *kgo.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics.Results()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := &site{t: t, reg: prometheus.NewRegistry()}
	if s.codec, err = events.NewCodec(topics); err != nil {
		t.Fatal(err)
	}
	seeds := kgo.SeedBrokers(cluster.ListenAddrs()...)
	client, err := kgo.NewClient(append(hint.ProducerOptions(), seeds)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if s.to, err = kgo.NewClient(seeds, kgo.ConsumeTopics(topics.Results()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.to.Close)
	if s.Teller, err = hint.New(client, s.codec, slog.New(slog.DiscardHandler), s.reg); err != nil {
		t.Fatal(err)
	}
	return s
}

// run tells until the test ends.
func (s *site) run() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

// outcomes waits until so many refusals were dealt with and returns what became of them.
func (s *site) outcomes(refusals int) map[string]int {
	s.t.Helper()
	for deadline := time.Now().Add(bound); ; {
		got, sum := map[string]int{}, 0
		families, err := s.reg.Gather()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, m := range families[0].GetMetric() {
			n := int(m.GetCounter().GetValue())
			got[m.GetLabel()[0].GetValue()] = n
			sum += n
		}
		if sum == refusals {
			return got
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d refusals were dealt with in %v: %v", sum, refusals, bound, got)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestARefusalIsToldToTheDecider(t *testing.T) {
	s := newSite(t)
	s.run()
	s.Refused("org-1", "cspi-abc12")
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	fetches := s.to.PollRecords(ctx, 1)
	if fetches.NumRecords() == 0 {
		t.Fatalf("nothing was written in %v: %v", bound, fetches.Err())
	}
	got, err := s.codec.Result(fetches.Records()[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got.Finding.(integration.SessionWasRefused); !ok || got.Organization != "org-1" || got.Integration != "cspi-abc12" {
		t.Errorf("got %+v, want a refusal of cspi-abc12", got)
	}
	if problems, err := testutil.GatherAndLint(s.reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestOneThatRefusesAgainAndAgainIsToldOnce(t *testing.T) {
	s := newSite(t)
	s.run()
	for range 100 {
		s.Refused("org-1", "cspi-abc12")
	}
	s.Refused("org-2", "cspi-abc12") // of another tenant
	if got := s.outcomes(101); got["told"] != 2 || got["repeated"] != 99 {
		t.Errorf("of 100 refusals of one and one of another: %v, want 2 told and 99 repeated", got)
	}
}

func TestManyThatRefuseTogetherAreNoStorm(t *testing.T) {
	s := newSite(t)
	s.run()
	begin := time.Now()
	const many = 5000
	for n := range many {
		s.Refused("org-1", integration.ID(fmt.Sprintf("cspi-%05d", n)))
	}
	got := s.outcomes(many)
	if most := 50 + 5*int(time.Since(begin)/time.Second+1); got["told"] < 1 || got["told"] > most {
		t.Errorf("of %d refusals: %v, want 1 to %d told", many, got, most)
	}
}

// Nobody runs: the broker's own goroutines must not notice.
func TestTheBrokerNeverWaits(t *testing.T) {
	s := newSite(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			s.Refused("org-1", "cspi-abc12")
		}
	}()
	select {
	case <-done:
	case <-time.After(bound):
		t.Fatal("the broker waits for hints to be written")
	}
	if got := s.outcomes(1000 - 256); got["dropped"] != 1000-256 {
		t.Errorf("%v, want what the queue has no room for to be dropped", got)
	}
}

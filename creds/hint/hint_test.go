package hint_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/creds/hint"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var topics = events.Topics{Prefix: "p.", Partitions: 1}

// site is a teller with its Kafka, all in a bubble: its clock is simulated.
type site struct {
	*hint.Teller
	t     *testing.T
	reg   *prometheus.Registry
	codec *events.Codec
	from  *kgo.Client // reads what was told
	net   kfake.VirtualNetwork

	away atomic.Bool // Kafka takes no connections of the teller
}

// inBubble runs a test with a site that tells, or with idle only queues.
func inBubble(t *testing.T, idle bool, f func(*testing.T, *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, reg: prometheus.NewRegistry()}
		cluster, err := kfake.NewCluster(
			kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(s.net.Listen), kfake.SeedTopics(1, topics.Results()),
		)
		must(t, err)
		defer cluster.Close()
		s.codec, err = events.NewCodec(topics)
		must(t, err)
		client, err := kgo.NewClient(append(hint.ProducerOptions(), kgo.SeedBrokers("localhost:9092"), kgo.Dialer(s.dial))...)
		must(t, err)
		defer client.Close()
		s.from, err = kgo.NewClient(kgo.SeedBrokers("localhost:9092"), kgo.Dialer(s.net.DialContext),
			kgo.ConsumeTopics(topics.Results()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		must(t, err)
		defer s.from.Close()
		s.Teller, err = hint.New(client, s.codec, slog.New(slog.DiscardHandler), s.reg)
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		if !idle {
			go func() { done <- s.Run(ctx) }()
		} else {
			done <- nil
		}
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		f(t, s)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.away.Load() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("away")}
	}
	return s.net.DialContext(ctx, network, address)
}

// outcomes lets d pass and returns what became of the refusals so far.
func (s *site) outcomes(d time.Duration) map[string]int {
	s.t.Helper()
	bubbletest.Pass(d)
	got := map[string]int{}
	families, err := s.reg.Gather()
	must(s.t, err)
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
	}
	return got
}

func TestARefusalIsToldToTheDecider(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *site) {
		s.Refused("org-1", "cspi-abc12")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		fetches := s.from.PollRecords(ctx, 1)
		if fetches.NumRecords() == 0 {
			t.Fatalf("nothing was written: %v", fetches.Err())
		}
		got, err := s.codec.Result(fetches.Records()[0])
		must(t, err)
		if _, ok := got.Finding.(integration.SessionWasRefused); !ok || got.Organization != "org-1" || got.Integration != "cspi-abc12" {
			t.Errorf("got %+v, want a refusal of cspi-abc12", got)
		}
		if problems, err := testutil.GatherAndLint(s.reg); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
	})
}

func TestOneThatRefusesAgainAndAgainIsToldOnceAMinute(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *site) {
		for range 100 {
			s.Refused("org-1", "cspi-abc12")
		}
		s.Refused("org-2", "cspi-abc12") // of another tenant
		if got := s.outcomes(59 * time.Second); got["told"] != 2 || got["repeated"] != 99 {
			t.Errorf("of 100 refusals of one and one of another: %v, want 2 told and 99 repeated", got)
		}
		s.Refused("org-1", "cspi-abc12")
		s.outcomes(2 * time.Second)
		s.Refused("org-1", "cspi-abc12")
		if got := s.outcomes(time.Second); got["told"] != 3 || got["repeated"] != 100 {
			t.Errorf("after 59 s and 61 s: %v, want one more of each", got)
		}
	})
}

func TestManyThatRefuseTogetherAreNoStorm(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *site) {
		n := 0
		for range 100 { // 100 a second
			for range 100 {
				s.Refused("org-1", integration.ID(fmt.Sprintf("cspi-%05d", n)))
				n++
			}
			bubbletest.Pass(time.Second)
		}
		got := s.outcomes(time.Second)
		if got["told"] < 50+5*99 || got["told"] > 50+5*100 || got["told"]+got["dropped"] != n {
			t.Errorf("of %d refusals in 100 s: %v, want 50 and 5 a second told", n, got)
		}
	})
}

func TestWhatKafkaDidNotTakeIsToldAtTheNextRefusal(t *testing.T) {
	inBubble(t, false, func(t *testing.T, s *site) {
		s.away.Store(true)
		s.Refused("org-1", "cspi-abc12")
		if got := s.outcomes(20 * time.Second); got["told"] != 0 || got["dropped"] != 1 {
			t.Fatalf("without Kafka: %v, want one dropped", got)
		}
		s.away.Store(false)
		s.Refused("org-1", "cspi-abc12") // within the minute
		if got := s.outcomes(20 * time.Second); got["told"] != 1 || got["repeated"] != 0 {
			t.Errorf("with Kafka again: %v, want it told", got)
		}
	})
}

// Nobody runs: the broker's own goroutines must not notice.
func TestTheBrokerNeverWaits(t *testing.T) {
	inBubble(t, true, func(t *testing.T, s *site) {
		began := time.Now()
		for range 1000 {
			s.Refused("org-1", "cspi-abc12") // were it to wait, the bubble would be deadlocked
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the broker waited for %s", took)
		}
		if got := s.outcomes(0); got["dropped"] != 1000-256 {
			t.Errorf("%v, want what the queue has no room for to be dropped", got)
		}
	})
}

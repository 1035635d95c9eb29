package orders_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/orders"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// A test that kills a worker needs a process to kill: this one, started again with these variables.
const (
	childBrokers = "ORDERS_TEST_BROKERS"
	childPrefix  = "ORDERS_TEST_PREFIX"
)

func TestMain(m *testing.M) {
	if brokers := os.Getenv(childBrokers); brokers != "" {
		if err := child(strings.Split(brokers, ","), os.Getenv(childPrefix)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child is a worker that takes a while for each order.
func child(brokers []string, prefix string) error {
	topics := events.Topics{Prefix: prefix, Partitions: partitions}
	codec, err := events.NewCodec(topics)
	if err != nil {
		return err
	}
	slow := func(ctx context.Context, _ orders.Order[integration.TrustAsked]) (integration.Finding, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
			return found, nil
		}
	}
	c := config(topics, "victim", kgo.SeedBrokers(brokers...))
	c.Concurrency = 2
	worker, err := orders.New(c, "trust", "/test", codec, slow, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	return worker.Run(context.Background())
}

const partitions = 4

// found is a report of the smallest kind.
var found = integration.TrustWasProbed{Report: integration.Report{Checks: []integration.Check{}}}

func config(topics events.Topics, instance string, client ...kgo.Opt) orders.Config {
	c := orders.Defaults()
	c.Topics, c.Client, c.Instance, c.StopBudget = topics, client, instance, 5*time.Second
	return c
}

// bench is a Kafka with the topics of one test.
type bench struct {
	t      *testing.T
	topics events.Topics
	codec  *events.Codec
	seeds  []string
	cl     *kgo.Client
	admin  *kadm.Client
}

func newBench(t *testing.T, prefix string, seeds ...string) *bench {
	t.Helper()
	b := &bench{t: t, topics: events.Topics{Prefix: prefix, Partitions: partitions}, seeds: seeds}
	var err error
	if b.codec, err = events.NewCodec(b.topics); err != nil {
		t.Fatal(err)
	}
	if b.cl, err = kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cl.Close)
	b.admin = kadm.NewClient(b.cl)
	if _, err := events.Apply(t.Context(), b.admin, b.topics, 1); err != nil {
		t.Fatal(err)
	}
	return b
}

// everywhere runs a test on an embedded and on a real Kafka.
func everywhere(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	t.Run("an embedded Kafka", func(t *testing.T) {
		t.Parallel()
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		test(t, newBench(t, "t.", c.ListenAddrs()...))
	})
	t.Run("a real Kafka", func(t *testing.T) {
		t.Parallel()
		test(t, newBench(t, testenv.Prefix(t), testenv.Kafka(t)...))
	})
}

// order writes a trust order; all organizations of one number live on that partition.
func (b *bench) order(partition int32, id integration.ID, attempt int64, due time.Time) *kgo.Record {
	b.t.Helper()
	r, err := b.codec.EventRecord(integration.Event{
		Organization: "o-1", Integration: id, Version: attempt, Time: time.Now(),
		Fact: integration.TrustAsked{
			Attempt: attempt, Config: integration.Config{Kind: integration.KindAWS, Customer: "arn:aws:iam::222222222222:role/c"},
			Platform: "arn:aws:iam::111111111111:role/p", ExternalID: "id", Due: due,
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	r.Partition = partition
	return r
}

func soon() time.Time { return time.Now().Add(2 * time.Minute) }

func (b *bench) send(records ...*kgo.Record) {
	b.t.Helper()
	if err := b.cl.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

// results reads the results so far, as "integration/attempt".
func (b *bench) results() (all []string) {
	b.t.Helper()
	for p := range b.topics.Partitions {
		_, err := events.Replay(b.t.Context(), b.cl, b.topics.Results(), p, func(r *kgo.Record) error {
			result, err := b.codec.Result(r)
			all = append(all, fmt.Sprintf("%s/%d", result.Integration, result.Attempt))
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

// committed is the group's offset on a partition; 0 when it has none.
func (b *bench) committed(partition int32) int64 {
	b.t.Helper()
	offsets, err := b.admin.FetchOffsets(b.t.Context(), b.topics.Group("trust"))
	if err != nil {
		return 0
	}
	at, _ := offsets.Lookup(b.topics.Events(), partition)
	return max(0, at.At)
}

// worker is a running consumer whose handler a test holds in its hands.
type worker struct {
	reg     *prometheus.Registry
	stop    func() error
	consume *orders.Consumer[integration.TrustAsked]

	mu    sync.Mutex
	begun []string
	most  int
	now   int
	gates map[string]chan error // an order waits for its gate, if it has one
}

func (b *bench) start(instance string, change func(*orders.Config), gated ...string) *worker {
	b.t.Helper()
	c := config(b.topics, instance, kgo.SeedBrokers(b.seeds...))
	if change != nil {
		change(&c)
	}
	w := &worker{reg: prometheus.NewRegistry(), gates: map[string]chan error{}}
	for _, name := range gated {
		w.gates[name] = make(chan error, 1)
	}
	var err error
	w.consume, err = orders.New(c, "trust", "/test", b.codec, w.handle, slog.New(slog.DiscardHandler), w.reg)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.consume.Run(ctx) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(30 * time.Second):
			return errors.New("the worker does not stop")
		}
	})
	b.t.Cleanup(func() {
		if err := w.stop(); err != nil {
			b.t.Errorf("worker %s: %v", instance, err)
		}
	})
	return w
}

func (w *worker) handle(ctx context.Context, o orders.Order[integration.TrustAsked]) (integration.Finding, error) {
	name := fmt.Sprintf("%s/%d", o.Integration, o.Attempt)
	w.mu.Lock()
	w.begun = append(w.begun, name)
	w.now++
	w.most = max(w.most, w.now)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now--
	}()
	if gate := w.gates[name]; gate != nil {
		select {
		case err := <-gate:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return found, nil
}

func (w *worker) handled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.begun)
}

func (w *worker) count(outcome string) int {
	metrics, err := w.reg.Gather()
	if err != nil {
		return -1
	}
	for _, family := range metrics {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if family.GetName() == "rolebridge_orders_records_total" && l.GetName() == "outcome" && l.GetValue() == outcome {
					return int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return -1
}

func TestOnlyTheLatestOrderOfAnIntegrationIsHandled(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		w := b.start("a", nil, "cspi-a/1")
		b.send(b.order(1, "cspi-a", 1, soon()))
		polltest.Until(t, "the first order runs", func() bool { return len(w.handled()) == 1 })
		for attempt := int64(2); attempt <= 5; attempt++ {
			b.send(b.order(1, "cspi-a", attempt, soon()))
		}
		b.send(b.order(1, "cspi-b", 1, soon()))
		polltest.Until(t, "three orders are superseded, the other integration has its turn", func() bool {
			return w.count("superseded") == 3 && slices.Contains(w.handled(), "cspi-b/1")
		})
		if got := b.committed(1); got != 0 {
			t.Errorf("offset %d is committed while the first record is not done", got)
		}
		w.gates["cspi-a/1"] <- nil
		polltest.Until(t, "all six records are committed", func() bool { return b.committed(1) == 6 })
		if got, want := w.handled(), []string{"cspi-a/1", "cspi-b/1", "cspi-a/5"}; !slices.Equal(got, want) {
			t.Errorf("handled %v, want %v", got, want)
		}
		if got, want := b.results(), []string{"cspi-a/1", "cspi-a/5", "cspi-b/1"}; !slices.Equal(got, want) {
			t.Errorf("results %v, want %v", got, want)
		}
	})
}

func TestWhatCannotBeReadIsADeadLetterAndThePartitionGoesOn(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		w := b.start("a", nil)
		outside := b.order(2, "cspi-a", 1, soon())
		outside.Value = []byte(`{"attempt":"one"}`)
		nobody := b.order(2, "cspi-x", 1, soon())
		for i, h := range nobody.Headers {
			if h.Key == "ce_organization" || h.Key == "ce_subject" {
				nobody.Headers[i].Value = nil
			}
		}
		other, err := b.codec.EventRecord(integration.Event{
			Organization: "o-1", Integration: "cspi-a", Version: 7, Time: time.Now(), Fact: integration.Deleted{},
		})
		if err != nil {
			t.Fatal(err)
		}
		other.Partition = 2
		garbage := &kgo.Record{Topic: b.topics.Events(), Partition: 2, Value: []byte("\xff\x00 not an event")}
		b.send(garbage, outside, nobody, other, b.order(2, "cspi-late", 1, time.Now().Add(-time.Hour)), b.order(2, "cspi-a", 2, soon()))
		polltest.Until(t, "all six records are committed", func() bool { return b.committed(2) == 6 })
		for outcome, want := range map[string]int{"dead_letter": 3, "skipped": 1, "expired": 1, "answered": 1} {
			if got := w.count(outcome); got != want {
				t.Errorf("%s: %d records, want %d", outcome, got, want)
			}
		}
		reasons := map[string]string{}
		for p := range b.topics.Partitions {
			_, err := events.Replay(t.Context(), b.cl, b.topics.DeadLetters(), p, func(r *kgo.Record) error {
				headers := map[string]string{}
				for _, h := range r.Headers {
					headers[h.Key] = string(h.Value)
				}
				reasons[headers[events.HeaderOffset]] = headers[events.HeaderReason]
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if len(reasons) != 3 || reasons["0"] == "" || reasons["1"] == "" || reasons["2"] == "" {
			t.Errorf("dead letters by offset: got %q, want 0, 1 and 2 with reasons", reasons)
		}
		if got, want := w.handled(), []string{"cspi-a/2"}; !slices.Equal(got, want) {
			t.Errorf("handled %v, want %v", got, want)
		}
	})
}

func TestConcurrencyIsBoundedAndPollingWaitsForRoom(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		w := b.start("a", func(c *orders.Config) { c.Concurrency, c.Waiting = 3, 5 })
		var records []*kgo.Record
		for n := range 200 {
			records = append(records, b.order(int32(n)%partitions, integration.ID(fmt.Sprintf("cspi-%03d", n)), 1, soon()))
		}
		b.send(records...)
		polltest.Until(t, "200 answers", func() bool { return w.count("answered") == 200 })
		if w.most > 3 {
			t.Errorf("%d orders ran at once, want at most 3", w.most)
		}
		if got := b.results(); len(got) != 200 || len(slices.Compact(got)) != 200 {
			t.Errorf("%d results, %d different, want 200", len(got), len(slices.Compact(got)))
		}
	})
}

func TestAStopFinishesWhatRunsAndLeavesTheRest(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		w := b.start("a", func(c *orders.Config) { c.Concurrency, c.StopBudget = 2, time.Second }, "cspi-quick/1", "cspi-stuck/1")
		b.send(b.order(0, "cspi-quick", 1, soon()), b.order(0, "cspi-stuck", 1, soon()), b.order(0, "cspi-third", 1, soon()))
		polltest.Until(t, "two orders run", func() bool { return len(w.handled()) == 2 })
		stopped := make(chan error, 1)
		go func() { stopped <- w.stop() }()
		w.gates["cspi-quick/1"] <- nil
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if got, want := b.results(), []string{"cspi-quick/1"}; !slices.Equal(got, want) {
			t.Errorf("results after the stop: %v, want %v", got, want)
		}
		if got := b.committed(0); got != 1 {
			t.Errorf("committed offset %d, want 1: the second record is not done", got)
		}
		next := b.start("a", nil)
		polltest.Until(t, "the rest is answered", func() bool { return len(b.results()) == 3 })
		if got := next.handled(); slices.Contains(got, "cspi-quick/1") {
			t.Errorf("handled again: %v", got)
		}
	})
}

func TestAnOrderWithoutAnAnswerDoesNotHoldThePartition(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		w := b.start("a", nil, "cspi-a/1")
		b.send(b.order(0, "cspi-a", 1, soon()), b.order(0, "cspi-b", 1, soon()))
		polltest.Until(t, "both run", func() bool { return len(w.handled()) == 2 })
		w.gates["cspi-a/1"] <- errors.New("out of luck")
		polltest.Until(t, "both are committed", func() bool { return b.committed(0) == 2 })
		if got := w.count("failed"); got != 1 {
			t.Errorf("%d failed, want 1", got)
		}
	})
}

func TestAPartitionThatGoesAwayTakesItsWaitingOrdersAndItsSeriesAlong(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bench) {
		var gated []string
		var records []*kgo.Record
		for p := range int32(partitions) {
			gated = append(gated, fmt.Sprintf("cspi-%d/1", p))
			records = append(records, b.order(p, integration.ID(fmt.Sprintf("cspi-%d", p)), 1, soon()),
				b.order(p, integration.ID(fmt.Sprintf("cspi-%d-waits", p)), 1, soon()))
		}
		first := b.start("a", func(c *orders.Config) { c.Concurrency = 1 }, gated...)
		b.send(records...)
		lags := func(w *worker) int {
			n, err := testutil.GatherAndCount(w.reg, "rolebridge_orders_lag_records")
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		polltest.Until(t, "the first worker has all partitions", func() bool { return lags(first) == partitions })
		second := b.start("b", nil)
		polltest.Until(t, "the second worker has half of them", func() bool { return lags(first) == partitions/2 && lags(second) == partitions/2 })
		if got := first.count("released"); got < 3 {
			t.Errorf("%d waiting orders were released, want those of two partitions", got)
		}
		for _, gate := range first.gates {
			gate <- nil
		}
		polltest.Until(t, "all orders are answered", func() bool { return len(slices.Compact(b.results())) == 2*partitions })
		polltest.Until(t, "all offsets are committed", func() bool {
			for p := range int32(partitions) {
				if b.committed(p) != 2 {
					return false
				}
			}
			return true
		})
	})
}

func TestAKilledWorkersOrdersAreAnsweredByTheNext(t *testing.T) {
	t.Parallel()
	b := newBench(t, testenv.Prefix(t), testenv.Kafka(t)...)
	var records []*kgo.Record
	const n = 300
	for i := range n {
		records = append(records, b.order(int32(i)%partitions, integration.ID(fmt.Sprintf("cspi-%03d", i)), 1, soon()))
	}
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env = append(os.Environ(), childBrokers+"="+strings.Join(b.seeds, ","), childPrefix+"="+b.topics.Prefix)
	victim.Stderr = os.Stderr
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	b.send(records...)
	polltest.Until(t, "the victim has answered some", func() bool { return len(b.results()) >= 20 })
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	before := len(b.results())
	if before >= n {
		t.Fatalf("the victim had answered all %d orders before it was killed: the fault did not fire", n)
	}
	begin := time.Now()
	next := b.start("victim", nil)
	polltest.Until(t, "every order is answered", func() bool { return len(slices.Compact(b.results())) == n })
	again := len(b.results()) - n
	t.Logf("killed after %d of %d answers; the rest came within %s; %d were given twice", before, n, time.Since(begin).Round(10*time.Millisecond), again)
	if handled := len(next.handled()); handled < n-before {
		t.Errorf("the next worker handled %d orders, want at least %d", handled, n-before)
	}
}

func TestAKilledBrokerIsSatOut(t *testing.T) {
	t.Parallel()
	kafka := testenv.OwnKafka(t)
	b := newBench(t, testenv.Prefix(t), kafka.Brokers()...)
	w := b.start("a", nil, "cspi-during/1")
	b.send(b.order(0, "cspi-before", 1, soon()), b.order(1, "cspi-during", 1, soon()))
	polltest.Until(t, "one order is answered, one runs", func() bool { return w.count("answered") == 1 && len(w.handled()) == 2 })
	if err := kafka.Kill(); err != nil {
		t.Fatal(err)
	}
	w.gates["cspi-during/1"] <- nil // its result has nowhere to go
	if err := kafka.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, "the result is written after all", func() bool { return slices.Contains(b.results(), "cspi-during/1") })
	close(w.gates["cspi-during/1"]) // the order may have come again: its offset was perhaps not committed in time
	b.send(b.order(2, "cspi-after", 1, soon()))
	polltest.Until(t, "orders come again", func() bool { return slices.Contains(b.results(), "cspi-after/1") })
}

package creds_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

// kafkaGone lets a broker with the replica that production has live through an hour without Kafka.
func kafkaGone(t *testing.T, f failure) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cold := w.connectors(60)
		k := newVirtualKafka(t)
		k.publish(w)
		table := k.table(t)
		w.bindings = table
		b := w.broker(t)
		asked(t, b, w.token).want(t, "before", ok)

		k.away(true)
		late := credstest.NewToken()
		w.replica.Bind(orders, "late", late)
		for _, token := range cold {
			asked(t, b, w.token).want(t, "warm", f.warm)
			asked(t, b, token).want(t, "cold", f.cold)
			bubbletest.Pass(time.Minute)
		}
		if k.refused() == 0 {
			t.Error("nobody missed Kafka")
		}
		k.away(false)
		k.publish(w)
		bubbletest.Pass(10 * time.Second)
		asked(t, b, late).want(t, "a connector that was bound meanwhile, 10 s after the hour", ok)
	})
}

// stillLoading is a broker in front of a replica that is not complete.
func stillLoading(t *testing.T, f failure) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		loading := &loadingReplica{Replica: w.replica, ready: make(chan struct{})}
		w.bindings = loading
		b := w.broker(t)
		for range 3 {
			asked(t, b, w.token).want(t, "a bound token", f.cold)
			asked(t, b, credstest.NewToken()).want(t, "an unknown token", f.cold)
			bubbletest.Pass(time.Second)
		}
		w.wantCalls(t, "while loading", 0, 0)
		close(loading.ready)
		asked(t, b, w.token).want(t, "at once afterwards", ok)
	})
}

type loadingReplica struct {
	*credstest.Replica
	ready chan struct{}
}

func (r *loadingReplica) Ready() <-chan struct{} { return r.ready }

// virtualKafka is a Kafka inside the bubble that can go away.
type virtualKafka struct {
	t      *testing.T
	topics events.Topics
	net    kfake.VirtualNetwork
	writer *kgo.Client

	mu    sync.Mutex
	gone  bool
	tried int
	open  []net.Conn
}

func newVirtualKafka(t *testing.T) *virtualKafka {
	t.Helper()
	k := &virtualKafka{t: t, topics: events.Topics{Prefix: "t.", Partitions: 1}}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(k.net.Listen), kfake.SeedTopics(1, k.topics.State()),
	)
	must(t, err)
	t.Cleanup(cluster.Close)
	k.writer, err = kgo.NewClient(append(k.client(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	must(t, err)
	t.Cleanup(k.writer.Close)
	return k
}

func (k *virtualKafka) client() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers("localhost:9092"), kgo.Dialer(k.dial)}
}

func (k *virtualKafka) dial(ctx context.Context, network, address string) (net.Conn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone {
		k.tried++
		return nil, &net.OpError{Op: "dial", Net: network, Err: errBroken}
	}
	c, err := k.net.DialContext(ctx, network, address)
	if err == nil {
		k.open = append(k.open, c)
	}
	return c, err
}

// away ends all connections and lets no new ones come, or lets them come again.
func (k *virtualKafka) away(gone bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = gone
	for _, c := range k.open {
		_ = c.Close()
	}
	k.open = nil
}

func (k *virtualKafka) refused() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tried
}

// publish writes the world's aggregates, as the decider does.
func (k *virtualKafka) publish(w *world) {
	k.t.Helper()
	of, _ := w.replica.Organization(org)
	organization, err := k.topics.OrganizationRecord(*of)
	must(k.t, err)
	i, _ := w.replica.Integration(orders)
	one, err := k.topics.IntegrationRecord(org, orders, i)
	must(k.t, err)
	must(k.t, k.writer.ProduceSync(k.t.Context(), organization, one).FirstErr())
}

func (k *virtualKafka) table(t *testing.T) *events.Table {
	t.Helper()
	table := events.NewTable(k.topics, k.client(), events.WithLog(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- table.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	<-table.Ready()
	return table
}

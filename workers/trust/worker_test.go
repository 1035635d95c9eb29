package trust_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/workers/trust"
)

func TestAnOrderOnKafkaIsAnsweredWithAReport(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	topics := events.Topics{Prefix: "t.", Partitions: 2}
	codec, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	seeds := kgo.SeedBrokers(cluster.ListenAddrs()...)
	cl, err := kgo.NewClient(seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if _, err := events.Apply(t.Context(), kadm.NewClient(cl), topics, 1); err != nil {
		t.Fatal(err)
	}

	box := world(t)
	final, err := policy.FinalTrust(platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	box.Role(t, box.Customer, "customer", string(final.JSON()))
	c := trust.Defaults()
	c.Topics, c.Client = topics, []kgo.Opt{seeds}
	reg := prometheus.NewRegistry()
	w, err := trust.New(c, codec, box.Client(t), slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	order, err := codec.EventRecord(integration.Event{
		Organization: "o-1", Integration: "cspi-abc12", Version: 5, Time: time.Now(),
		Fact: integration.TrustAsked{
			Attempt: 4, Config: claim().Config, Platform: platform, ExternalID: rightID, Due: time.Now().Add(time.Minute),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), order).FirstErr(); err != nil {
		t.Fatal(err)
	}
	results, err := kgo.NewClient(seeds, kgo.ConsumeTopics(topics.Results()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(results.Close)
	reading, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	fetches := results.PollRecords(reading, 1)
	if fetches.NumRecords() == 0 {
		t.Fatalf("no result came within 30 s: %v", fetches.Err())
	}
	got, err := codec.Result(fetches.Records()[0])
	if err != nil {
		t.Fatal(err)
	}
	probed, ok := got.Finding.(integration.TrustWasProbed)
	if !ok || got.Attempt != 4 || got.Integration != "cspi-abc12" || probed.Report.Verdict() != integration.VerdictClean {
		t.Errorf("got %+v, want a clean report for attempt 4", got)
	}
	if !w.Ready() {
		t.Error("a worker that works is not ready")
	}
	for name, want := range map[string]int{"rolebridge_trust_checks_total": 11 * 4, "rolebridge_trust_proofs_total": 5, "rolebridge_orders_records_total": 8} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != want {
			t.Errorf("%s has %d series (%v), want %d", name, n, err, want)
		}
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(fmt.Sprint(problems), err)
	}
}

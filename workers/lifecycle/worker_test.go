package lifecycle_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// installation is one set of topics on a Kafka, with producers and readers of its own.
type installation struct {
	t      *testing.T
	topics events.Topics
	codec  *events.Codec
	seeds  kgo.Opt
	cl     *kgo.Client
	admin  *kadm.Client
	group  string
	fresh  bool
}

func newInstallation(t *testing.T, prefix string, fresh bool, seeds ...string) *installation {
	t.Helper()
	in := &installation{t: t, topics: events.Topics{Prefix: prefix, Partitions: 4}, seeds: kgo.SeedBrokers(seeds...), fresh: fresh}
	in.group = in.topics.Group("lifecycle")
	var err error
	if in.codec, err = events.NewCodec(in.topics); err != nil {
		t.Fatal(err)
	}
	if in.cl, err = kgo.NewClient(in.seeds, kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.cl.Close)
	in.admin = kadm.NewClient(in.cl)
	if _, err := events.Apply(t.Context(), in.admin, in.topics, 1); err != nil {
		t.Fatal(err)
	}
	return in
}

// start runs a worker; the returned function stops it and waits.
func (in *installation) start(instance string) (stop func()) {
	in.t.Helper()
	c := lifecycle.Defaults()
	c.Topics, c.Client, c.Group, c.Instance, c.Fresh = in.topics, []kgo.Opt{in.seeds}, in.group, instance, in.fresh
	w, err := lifecycle.New(c, in.codec, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		in.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				in.t.Errorf("worker %s: %v", instance, err)
			}
		case <-time.After(30 * time.Second):
			in.t.Errorf("worker %s does not stop", instance)
		}
	}
	in.t.Cleanup(stop)
	return stop
}

func (in *installation) send(records ...*kgo.Record) {
	in.t.Helper()
	if err := in.cl.ProduceSync(in.t.Context(), records...).FirstErr(); err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) command(id string, actor integration.Principal, o integration.OrganizationID, ask integration.Ask) *kgo.Record {
	in.t.Helper()
	r, err := in.codec.CommandRecord(integration.Command{Source: "test", ID: id, Organization: o, Actor: actor, Time: time.Now(), Ask: ask})
	if err != nil {
		in.t.Fatal(err)
	}
	return r
}

// answers reads all committed events so far and returns how often each command was answered.
func (in *installation) answers() map[string]int {
	in.t.Helper()
	found := map[string]int{}
	for p := range in.topics.Partitions {
		_, err := events.Replay(in.t.Context(), in.cl, in.topics.Events(), p, func(r *kgo.Record) error {
			e, err := in.codec.Event(r)
			if err == nil && e.Answers != nil {
				found[e.Answers.ID]++
			}
			return err
		})
		if err != nil {
			in.t.Fatal(err)
		}
	}
	return found
}

// await waits until want commands are answered, each once.
func (in *installation) await(want int) {
	in.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		got := in.answers()
		for id, n := range got {
			if n != 1 {
				in.t.Fatalf("command %s was answered %d times", id, n)
			}
		}
		if len(got) == want {
			return
		}
		if time.Now().After(deadline) {
			in.t.Fatalf("%d of %d commands are answered after a minute", len(got), want)
		}
		select {
		case <-in.t.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func orgName(n int) integration.OrganizationID {
	return integration.OrganizationID(fmt.Sprint("org-", n))
}

// found makes n organizations.
func (in *installation) found(n int) {
	in.t.Helper()
	for o := range n {
		in.send(in.command(fmt.Sprint("found-", o), "platform:cp", orgName(o), integration.CreateOrganization{Admin: "u-admin"}))
	}
}

// commands makes one creation each for serials from..to, spread over organizations and, wrongly, over partitions.
func (in *installation) commands(from, to, orgs int) (records []*kgo.Record) {
	for n := from; n < to; n++ {
		r := in.command(fmt.Sprint("c-", n), "u-admin", orgName(n%orgs), integration.Create{
			Environment: "env-1", Name: fmt.Sprint("n", n),
			Config: integration.Config{Kind: integration.KindAWS, Customer: fmt.Sprintf("arn:aws:iam::%012d:role/customer", n)},
		})
		if n%3 == 0 {
			r.Partition = int32(n % int(in.topics.Partitions)) //nolint:gosec // a few
		}
		records = append(records, r)
	}
	return records
}

func TestCommandsAreAnsweredOnceOverRestartsAndTakeovers(t *testing.T) {
	for _, on := range []struct {
		name string
		open func(t *testing.T) *installation
	}{
		{"an embedded Kafka", func(t *testing.T) *installation {
			c, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			return newInstallation(t, "t.", true, c.ListenAddrs()...)
		}},
		{"a real Kafka", func(t *testing.T) *installation {
			return newInstallation(t, testenv.Prefix(t), false, testenv.Kafka(t)...)
		}},
	} {
		t.Run(on.name, func(t *testing.T) {
			in := on.open(t)
			const orgs = 7
			stop := in.start("a")
			in.found(orgs)
			in.await(orgs)
			in.send(in.commands(0, 100, orgs)...)
			in.await(orgs + 100)
			stop()
			in.send(in.commands(100, 150, orgs)...)
			in.send(in.commands(0, 50, orgs)...) // all of them sent before
			in.start("a")
			in.start("b")
			in.await(orgs + 150)
			in.send(in.commands(150, 250, orgs)...)
			in.await(orgs + 250)
		})
	}
}

func TestNothingIsDecidedTwiceWhenTheGroupsOffsetsAreLost(t *testing.T) {
	in := newInstallation(t, testenv.Prefix(t), false, testenv.Kafka(t)...)
	stop := in.start("a")
	in.found(3)
	in.send(in.commands(0, 60, 3)...)
	in.await(63)
	stop()
	// A static member stays in the group after it stopped; the group must be empty to be deleted.
	if _, err := in.admin.LeaveGroup(t.Context(), kadm.LeaveGroup(in.group).InstanceIDs("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := in.admin.DeleteGroup(t.Context(), in.group); err != nil {
		t.Fatal(err)
	}
	offsets, err := in.admin.FetchOffsets(t.Context(), in.group)
	if err != nil || len(offsets.Offsets()) != 0 {
		t.Fatalf("the group still has offsets %v, %v: the fault did not fire", offsets, err)
	}
	in.start("a")
	in.send(in.commands(60, 80, 3)...)
	in.await(83)
}

// An installation whose groups had names of their own gets those that follow from its topics.
func TestNothingIsDecidedTwiceWhenTheGroupIsRenamed(t *testing.T) {
	in := newInstallation(t, testenv.Prefix(t), false, testenv.Kafka(t)...)
	derived := in.group
	in.group = in.topics.Prefix + "by-hand"
	stop := in.start("a")
	in.found(3)
	in.send(in.commands(0, 60, 3)...)
	in.await(63)
	stop()
	in.send(in.commands(60, 70, 3)...) // nobody decides
	in.group = ""
	in.start("a")
	in.send(in.commands(70, 80, 3)...)
	in.await(83)
	// They are committed with the decisions, and told once the transaction's marker is written.
	polltest.Until(t, "group "+derived+" has offsets: it is that of a decider without a group of its own", func() bool {
		offsets, err := in.admin.FetchOffsets(t.Context(), derived)
		return err == nil && len(offsets.Offsets()) > 0
	})
}

func TestWhatKafkaTookBackIsDecidedAgainAlthoughItsOffsetsAreCommitted(t *testing.T) {
	in := newInstallation(t, testenv.Prefix(t), false, testenv.Kafka(t)...)
	stop := in.start("a")
	in.found(3)
	in.send(in.commands(0, 20, 3)...)
	in.await(23)
	stop()
	in.send(in.commands(20, 40, 3)...)
	if _, err := in.admin.LeaveGroup(t.Context(), kadm.LeaveGroup(in.group).InstanceIDs("a")); err != nil {
		t.Fatal(err)
	}
	ends, err := in.admin.ListEndOffsets(t.Context(), in.topics.Commands())
	if err != nil {
		t.Fatal(err)
	}
	if err := in.admin.CommitAllOffsets(t.Context(), in.group, ends.Offsets()); err != nil {
		t.Fatal(err)
	}
	in.start("a")
	in.await(43)
}

func TestACursorPastTheEndOfItsTopicStopsTheWorker(t *testing.T) {
	in := newInstallation(t, testenv.Prefix(t), false, testenv.Kafka(t)...)
	stop := in.start("a")
	in.found(3)
	in.await(3)
	stop()
	if _, err := in.admin.DeleteTopics(t.Context(), in.topics.Commands()); err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, "the topic is made anew", func() bool { // deletion is asynchronous
		done, err := events.Apply(t.Context(), in.admin, in.topics, 1)
		return err == nil && len(done.Created) == 1
	})
	c := lifecycle.Defaults()
	c.Topics, c.Client, c.Group, c.Instance = in.topics, []kgo.Opt{in.seeds}, in.group, "a"
	w, err := lifecycle.New(c, in.codec, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := w.Run(ctx); err == nil {
		t.Error("the worker went on deciding although its commands topic was made anew")
	}
}

func TestDecidingGoesOnAfterABrokerWasAway(t *testing.T) {
	broker := testenv.OwnKafka(t)
	in := newInstallation(t, "t.", false, broker.Brokers()...)
	in.start("a") // a Run that returns an error fails the test when it is stopped
	in.found(3)
	in.send(in.commands(0, 20, 3)...)
	in.await(23)
	if err := broker.Kill(); err != nil {
		t.Fatal(err)
	}
	// Longer than the end of a transaction may take, and than the session of the group.
	<-time.After(15 * time.Second)
	if err := broker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	in.send(in.commands(20, 40, 3)...)
	in.await(43)
}

func TestARecordOfAnySizeStopsNothing(t *testing.T) {
	in := newInstallation(t, testenv.Prefix(t), false, testenv.Kafka(t)...)
	in.start("a")
	in.found(3)
	in.await(3)
	huge, err := kgo.NewClient(in.seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(20<<20),
		kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.MaxBufferedBytes(100<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	much := bytes.Repeat([]byte("k"), 3<<20) // compresses to almost nothing: the broker takes it
	good := in.commands(0, 4, 3)
	traced, foreign, elsewhere := good[0], good[1], good[2]
	traced.Headers = append(traced.Headers, kgo.RecordHeader{Key: "traceparent", Value: much})
	foreign.Headers = append(foreign.Headers, kgo.RecordHeader{Key: "x", Value: much})
	elsewhere.Headers = append(elsewhere.Headers, kgo.RecordHeader{Key: "x", Value: much})
	elsewhere.Partition = (elsewhere.Partition + 1) % in.topics.Partitions
	for _, r := range []*kgo.Record{
		{Topic: in.topics.Commands(), Key: much, Value: []byte("garbage")},
		{Topic: in.topics.Commands(), Key: []byte("k"), Value: much},
		traced, foreign, elsewhere,
	} {
		if err := huge.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	in.send(good[3])
	in.await(4) // the three organizations and the one that is not huge
	letters := 0
	for p := range in.topics.Partitions {
		if _, err := events.Replay(t.Context(), in.cl, in.topics.DeadLetters(), p, func(*kgo.Record) error { letters++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if letters != 5 {
		t.Errorf("%d dead letters, want 5", letters)
	}
}

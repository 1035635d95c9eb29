package snapshot_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/snapshot"
	"github.com/rolebridge/rolebridge/integration"
)

// afterAFetch is called when a client has got its first answer to a fetch.
type afterAFetch func()

// OnBrokerRead implements [kgo.HookBrokerRead].
func (f afterAFetch) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == int16(kmsg.Fetch) {
		f()
	}
}

// What an export has not read yet is superseded, and compacted away before it comes there.
func TestAnExportMissesNothingThatIsCompactedAwayMeanwhile(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	if err := cluster.CreateTopic(topics.State(), 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	seeds := kgo.SeedBrokers(cluster.ListenAddrs()...)
	writer, err := kgo.NewClient(seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	// Each record is a batch, and a segment of its own.
	write := func(r *kgo.Record, err error) {
		if err = errors.Join(err, writer.ProduceSync(t.Context(), r).FirstErr()); err != nil {
			t.Error(err)
		}
	}
	padded := func(r *kgo.Record, err error) (*kgo.Record, error) {
		r.Value = append(r.Value, bytes.Repeat([]byte(" "), 900<<10)...)
		return r, err
	}
	c := sample()
	cursor := func() { write(topics.CursorRecord(0, events.Cursor{})) }
	many := func(prefix string) { // more than one fetch brings
		for n := range 12 {
			other := c.other
			other.ID = integration.ID(prefix + string(rune('a'+n)))
			write(padded(topics.IntegrationRecord("org-1", other.ID, &other)))
		}
	}
	write(topics.OrganizationRecord(c.organization))
	many("cspi-1000")
	write(topics.IntegrationRecord("org-1", c.one.ID, &c.one))
	write(topics.IntegrationRecord("org-1", c.other.ID, &c.other))
	cursor()

	var once sync.Once
	meanwhile := func() {
		many("cspi-2000")
		later := c.one
		later.Name, later.Version = "orders, later", c.one.Version+1
		write(topics.IntegrationRecord("org-1", later.ID, &later))
		write(topics.IntegrationRecord("org-1", c.other.ID, nil))
		cursor()
		cursor() // the one before is in no active segment
		cluster.Compact()
	}
	reader, err := kgo.NewClient(seeds, kgo.WithHooks(afterAFetch(func() { once.Do(meanwhile) })))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var text bytes.Buffer
	counts, err := snapshot.Export(t.Context(), reader, topics, "", noon, &text)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	has := func(what string) bool {
		return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, what) })
	}
	if !has("orders, later") || has(`"key":"integration/org-1/cspi-00002"`) || counts.Integrations != 25 {
		t.Errorf("got %+v, later value: %t, deleted: %t; want the later value and not the deleted one", counts, has("orders, later"), has(`"key":"integration/org-1/cspi-00002"`))
	}
}

func TestANewKafkaWithoutACoordinatorIsAskedAgain(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	asked := false
	cluster.ControlKey(int16(kmsg.FindCoordinator), func(r kmsg.Request) (kmsg.Response, error, bool) {
		asked = true // once: a control is used up
		req, ok := r.(*kmsg.FindCoordinatorRequest)
		resp, ok2 := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
		if !ok || !ok2 {
			return nil, errors.New("another request"), true
		}
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
		for _, key := range req.CoordinatorKeys {
			none := kmsg.NewFindCoordinatorResponseCoordinator()
			none.Key, none.ErrorCode = key, kerr.CoordinatorNotAvailable.Code
			resp.Coordinators = append(resp.Coordinators, none)
		}
		return resp, nil, true
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := snapshot.NobodyDecides(t.Context(), kadm.NewClient(cl), topics, "deciders"); err != nil || !asked {
		t.Errorf("got %v, asked: %t; want nobody found", err, asked)
	}
}

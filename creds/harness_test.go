package creds_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/logtest"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestMain(m *testing.M) {
	if os.Getenv(playConnector) != "" {
		if err := connector(context.Background(), os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	testenv.CleanAWSEnv()
	if os.Getenv(brokerVariable) != "" {
		if err := brokerProcess(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	org          = integration.OrganizationID("acme")
	orders       = integration.ID("cspi-orders")
	sink         = integration.ConnectorID("orders-sink")
	platformRole = "arn:aws:iam::111111111111:role/rolebridge/cspi-orders"
	customerRole = "arn:aws:iam::222222222222:role/orders"
	externalID   = "6f8f57715090da2632453988d9a1501b"
)

// world is a fleet of brokers around one cloud, one state and one store, with one trusted integration and one bound
// connector in it.
type world struct {
	cloud   *credstest.Cloud
	replica *credstest.Replica
	store   creds.Store
	token   secret.Text
	log     *lines
	// what brokers are made with
	bindings creds.Bindings // nil: replica
	registry *prometheus.Registry
	options  []creds.Option
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		cloud: credstest.NewCloud(), replica: credstest.NewReplica(), store: creds.NewMemory(nil), token: credstest.NewToken(),
		log: &lines{},
	}
	w.integration(orders, platformRole, customerRole)
	w.replica.Bind(orders, sink, w.token)
	return w
}

// integration adds one whose trust is proved.
func (w *world) integration(id integration.ID, platform, customer string) {
	w.cloud.Role(platform, credstest.CloudRole{})
	w.cloud.Role(customer, credstest.CloudRole{Trusts: platform, ExternalID: externalID, Tags: true})
	w.replica.Trusted(org, id, platform, customer, externalID, true)
}

// broker runs a replica until the test ends.
func (w *world) broker(t testing.TB, change ...func(*creds.Config)) *creds.Broker {
	t.Helper()
	b, stop := w.mortal(t, change...)
	t.Cleanup(stop)
	return b
}

// mortal is a broker that the test stops itself.
func (w *world) mortal(t testing.TB, change ...func(*creds.Config)) (b *creds.Broker, stop func()) {
	t.Helper()
	return w.run(t, w.cloud, change...)
}

// brokerOn is broker on another cloud.
func (w *world) brokerOn(t testing.TB, c creds.Cloud, change ...func(*creds.Config)) *creds.Broker {
	t.Helper()
	b, stop := w.run(t, c, change...)
	t.Cleanup(stop)
	return b
}

func (w *world) run(t testing.TB, c creds.Cloud, change ...func(*creds.Config)) (b *creds.Broker, stop func()) {
	t.Helper()
	cfg := creds.Defaults()
	for _, f := range change {
		f(&cfg)
	}
	w.registry = prometheus.NewRegistry()
	options := append([]creds.Option{creds.WithLog(slog.New(slog.NewJSONHandler(w.log, nil))), creds.WithMetrics(w.registry)}, w.options...)
	bindings := w.bindings
	if bindings == nil {
		bindings = w.replica
	}
	b, err := creds.New(cfg, bindings, w.store, c, options...)
	if err != nil {
		t.Fatal(err)
	}
	started := w.log.expect("broker started")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	<-started
	var once sync.Once
	return b, func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("the broker stopped with %v", err)
			}
		})
	}
}

// wantCalls checks how often the two roles were asked for.
func (w *world) wantCalls(t testing.TB, what string, platform, customer int) {
	t.Helper()
	if p, c := w.cloud.Calls(platformRole), w.cloud.Calls(customerRole); p != platform || c != customer {
		t.Errorf("%s: platform role asked for %d times, customer's %d; want %d and %d", what, p, c, platform, customer)
	}
}

func mustSession(t testing.TB, b *creds.Broker, token secret.Text) cloud.Session {
	t.Helper()
	s, err := b.Session(t.Context(), token)
	if err != nil {
		t.Fatalf("session: %v", err)
	}
	return s
}

func wantCode(t testing.TB, what string, err error, want integration.Code) {
	t.Helper()
	var refusal *integration.Refusal
	if !errors.As(err, &refusal) || refusal.Code != want {
		t.Errorf("%s: got %v, want code %s", what, err, want)
	}
}

// metric is the value of a counter or gauge of the newest broker; labels as in `a="b",c="d"`, in the order of their names.
func (w *world) metric(t testing.TB, name, labels string) float64 {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if strings.Join(have, ",") == labels {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s{%s}", name, labels)
	return 0
}

// lines is a log to look into.
type lines struct {
	logtest.Log
	mu       sync.Mutex
	expected map[string]chan struct{}
}

// expect returns a channel that is closed when the next line with these words is written.
func (l *lines) expect(words string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expected == nil {
		l.expected = map[string]chan struct{}{}
	}
	l.expected[words] = make(chan struct{})
	return l.expected[words]
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.Log.Write(p) // first, so that whoever expects it finds it
	for words, seen := range l.expected {
		if strings.Contains(string(p), words) {
			close(seen)
			delete(l.expected, words)
		}
	}
	return n, err
}

// The replica that production has is one too.
var _ creds.Bindings = (*events.Table)(nil)

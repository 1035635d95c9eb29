package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/config"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/polltest"
)

// onKafka gives a process a cluster of its own, with its topics.
func onKafka(t *testing.T) func(*app.Config) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return func(c *app.Config) {
		c.Kafka.Brokers, c.Topics.Partitions, c.Lifecycle.Fresh = cluster.ListenAddrs(), 2, true
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka.Brokers...))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if _, err := events.Apply(t.Context(), kadm.NewClient(cl), c.Topics.Names(), 1); err != nil {
			t.Fatal(err)
		}
	}
}

// everything is a process of all roles that touches no network.
func everything(t *testing.T, changes ...func(*app.Config)) *app.App {
	t.Helper()
	dir := t.TempDir()
	keys, keyset := filepath.Join(dir, "keys.yaml"), filepath.Join(dir, "keyset.json")
	if err := os.WriteFile(keys, []byte("keys: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := creds.WriteKeyset(t.Context(), keyset); err != nil {
		t.Fatal(err)
	}
	c := app.Defaults()
	c.API.Listen, c.Broker.Listen, c.Telemetry.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.API.KeysFile, c.Broker.KeysetFile = keys, keyset
	c.AWS.Accounts, c.AWS.Identities = []app.AWSAccount{{ID: "100000000001"}}, []string{"arn:aws:iam::100000000001:role/rolebridge"}
	c.AWS.Credentials = credentials.NewStaticCredentialsProvider("id", "secret", "")
	for _, change := range changes {
		change(&c)
	}
	a, err := app.New(t.Context(), c, app.Roles(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

var metric = regexp.MustCompile(`rolebridge_[a-z0-9_]+`)

// With one queue for both, whoever floods brokers with refusals could push out what was changed through the api.
func TestTheAPIAndTheBrokerHaveRoomOfTheirOwnForNotes(t *testing.T) {
	w := httptest.NewRecorder()
	everything(t).Probes().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, role := range []app.Role{app.API, app.Broker} {
		if want := fmt.Sprintf("rolebridge_audit_waiting{role=%q} 0", role); !strings.Contains(w.Body.String(), want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

func TestEveryMetricIsListedInOperations(t *testing.T) {
	w := httptest.NewRecorder()
	everything(t).Probes().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	have := map[string]bool{}
	for line := range strings.Lines(w.Body.String()) {
		if after, ok := strings.CutPrefix(line, "# HELP "); ok && strings.HasPrefix(after, "rolebridge_") {
			name, _, _ := strings.Cut(after, " ")
			have[name] = true
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "## Metrics")
	if !ok {
		t.Fatal("OPERATIONS.md has no list of metrics")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	listed := metric.FindAllString(table, -1)
	for _, name := range listed {
		// A gauge by partition has no series, and no line, before a partition is assigned.
		if !have[name] && !strings.Contains(name, "_lag_") {
			t.Errorf("%s is listed and does not exist", name)
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s is not listed in docs/OPERATIONS.md", name)
	}
	slices.Sort(listed)
	if n := len(slices.Compact(slices.Clone(listed))); n != len(listed) {
		t.Errorf("%d names are listed twice", len(listed)-n)
	}
}

func TestAProcessSaysWhatIsMissingBeforeItIsReady(t *testing.T) {
	w := httptest.NewRecorder()
	everything(t).Probes().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a process that was not run is ready: %d", w.Code)
	}
	for _, part := range []string{"replica", "lifecycle", "mapping", "trust"} {
		if !strings.Contains(w.Body.String(), part+":") {
			t.Errorf("the answer does not name %s: %s", part, w.Body)
		}
	}
}

func TestAllFaultsOfTheSettingsAreReportedAtOnce(t *testing.T) {
	c := app.Defaults()
	c.Kafka.Brokers, c.Topics.Partitions, c.StopWithin, c.Lifecycle.Instance = nil, 0, 0, ""
	c.Broker.KeysetKMS = "alias/rolebridge"
	c.API.OIDC.Refresh = 0
	err := c.Validate(app.Roles())
	for _, want := range []string{
		"kafka.brokers", "topics.partitions", "stop_within", "lifecycle.instance", "api.oidc.refresh", "broker.keyset_file",
		`broker.keyset_kms: "alias/rolebridge": want the ARN of a KMS key`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if err := c.Validate([]app.Role{app.Trust}); err == nil || strings.Contains(err.Error(), "api.") {
		t.Errorf("a process without the api is asked for its settings: %v", err)
	}
}

func TestATrustWorkerAnswersDryRunsOfOthersWithTheirTokenOnly(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("the-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := everything(t, func(c *app.Config) { c.DryRun.Listen, c.DryRun.TokenFile = "127.0.0.1:0", token })
	if a.Addresses()["dry_run"] == "" {
		t.Errorf("nothing listens: %v", a.Addresses())
	}
	c := app.Defaults()
	c.DryRun.Listen, c.DryRun.URL = "127.0.0.1:0", "http://trust:8082"
	for _, role := range []app.Role{app.Trust, app.API} {
		if err := c.Validate([]app.Role{role}); err == nil || !strings.Contains(err.Error(), "dry_run.token_file") {
			t.Errorf("%s without a token: got %v", role, err)
		}
	}
}

func TestRolesAreReadFromTheirNames(t *testing.T) {
	if got, err := app.ParseRoles([]string{"all"}); err != nil || len(got) != len(app.Roles()) {
		t.Errorf("all: got %v, %v", got, err)
	}
	if got, err := app.ParseRoles([]string{"api", "broker", "api"}); err != nil || !slices.Equal(got, []app.Role{app.API, app.Broker}) {
		t.Errorf("got %v, %v; want api and broker", got, err)
	}
	for _, bad := range [][]string{{"apis"}, {}, {"all", "api"}} {
		if got, err := app.ParseRoles(bad); err == nil {
			t.Errorf("%v was read as %v", bad, got)
		}
	}
}

func TestAStopIsNotReadyFirstAndProbesLast(t *testing.T) {
	a := everything(t, onKafka(t), func(c *app.Config) { c.Redis.Address, c.NotReadyFor = "", 5*time.Second })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	status := func(part, path string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Addresses()[part]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode
	}
	polltest.Until(t, "the process is ready", func() bool { return status("telemetry", "/readyz") == http.StatusOK })
	stop()
	polltest.Until(t, "/readyz says no", func() bool { return status("telemetry", "/readyz") == http.StatusServiceUnavailable })
	if got := status("broker", creds.Path); got != http.StatusUnauthorized {
		t.Errorf("the broker answers %d right after the stop began, want that it still serves", got)
	}
	if err := <-done; err != nil {
		t.Errorf("an orderly stop ended with %v", err)
	}
	if got := status("telemetry", "/livez"); got != 0 {
		t.Errorf("the probes answer %d after the end", got)
	}
}

func TestAListenerWithoutTLSStaysOnThisMachineUnlessToldOtherwise(t *testing.T) {
	for part, listener := range map[string]func(*app.Config) *listen.Settings{
		"api": func(c *app.Config) *listen.Settings { return &c.API.Settings }, "broker": func(c *app.Config) *listen.Settings { return &c.Broker.Settings },
	} {
		c := app.Defaults()
		listener(&c).Listen = "0.0.0.0:0"
		want := part + ".listen: 0.0.0.0:0: plain HTTP"
		if _, err := app.New(t.Context(), c, app.Roles(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a refusal to start that says %q", err, want)
		}
		everything(t, func(c *app.Config) { listener(c).Listen, listener(c).InsecureListen = "0.0.0.0:0", true })
		authority := certtest.New(t, "")
		files := certtest.Write(t, t.TempDir(), authority.Server(t))
		a := everything(t, func(c *app.Config) {
			listener(c).Listen, listener(c).TLS.CertFile, listener(c).TLS.KeyFile = "0.0.0.0:0", files.Cert, files.Key
		})
		if got := a.URLs()[part]; !strings.HasPrefix(got, "https://") {
			t.Errorf("%s with TLS is reached at %s", part, got)
		}
	}
}

func TestListenersAreSetInTheFileAndTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rolebridge.yaml")
	text := "broker:\n  listen: 0.0.0.0:1\n  insecure_listen: true\n  trusted_proxies: [10.1.0.0/16, 'fd00::/8']\n  limits: {connections: 7}\napi: {tls: {cert_file: a, key_file: b}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := app.Defaults()
	if err := config.Load(path, []string{"ROLEBRIDGE_API__LIMITS__READ_HEADER=2s", "ROLEBRIDGE_API__TRUSTED_PROXIES=10.2.0.0/16"}, &c); err != nil {
		t.Fatal(err)
	}
	b := c.Broker.Settings
	if !b.InsecureListen || b.Limits.Connections != 7 || b.Limits.Idle != 2*time.Minute || len(b.TrustedProxies) != 2 || b.TrustedProxies[1].String() != "fd00::/8" {
		t.Errorf("the broker's listener is %+v", b)
	}
	if a := c.API.Settings; a.TLS.CertFile != "a" || a.Limits.ReadHeader != 2*time.Second || a.TrustedProxies[0].String() != "10.2.0.0/16" {
		t.Errorf("the API's listener is %+v", a)
	}
	if err := config.Load("", []string{"ROLEBRIDGE_BROKER__TRUSTED_PROXIES=everybody"}, &c); err == nil {
		t.Error("a proxy that is no network was accepted")
	}
}

package app_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/secret/secrettest"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// live makes an integration, proves its trust, binds connectors in every way, takes their sessions and rotates the token.
func (r *run) live(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	produce(t, r.kafka, func(codec *events.Codec) (*kgo.Record, error) {
		return codec.CommandRecord(integration.Command{
			Source: "/test", ID: "found", Organization: "acme", Actor: "platform:test", Time: time.Now(), Ask: integration.CreateOrganization{Admin: "u-admin"},
		})
	})
	polltest.Until(t, "the organization is there", func() bool { _, err := r.api.List(t.Context(), "env-1", ""); return err == nil })
	theirs := iam.NewFromConfig(sdk.Config{Region: "us-east-1", BaseEndpoint: &r.aws, Credentials: r.customer.Root})
	_, err := theirs.CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: sdk.String("orders"), AssumeRolePolicyDocument: sdk.String(string(policy.FirstTrust().JSON())),
	})
	must(err)
	made, err := r.api.Create(t.Context(), wire.IntegrationRequestV2{
		DisplayName: "orders", Provider: "AWS", Environment: wire.ReferenceRequest{ID: "env-1"},
		Config: &wire.ConfigRequest{Kind: string(integration.KindAWS), CustomerIAMRoleARN: customerRole},
	})
	must(err)
	_, err = r.api.DryRun(t.Context(), made.ID, nil)
	must(err)
	policies, err := r.api.Policies(t.Context(), made.ID, nil)
	must(err)
	_, err = theirs.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: sdk.String("orders"), PolicyDocument: sdk.String(string(policies.FinalTrust)),
	})
	must(err)
	polltest.Until(t, "trust is valid", func() bool {
		v, err := r.api.Validate(t.Context(), made.ID, 10*time.Second)
		return err == nil && v.Credentials.Allowed
	})

	bound, err := r.api.Bind(t.Context(), made.ID, wire.ConnectorRequest{Connector: "sink"})
	must(err)
	r.token = bound.Token
	r.secrets.Add(t, "a connector's token", r.token)
	_, err = r.api.Bind(t.Context(), made.ID, wire.ConnectorRequest{Connector: "workload", Workloads: []integration.Workload{
		{OIDC: integration.OIDC{Issuer: r.issuer.URL, Audience: "rolebridge", Subject: subject}}, {SPIFFE: spiffeID},
	}})
	must(err)
	jwt, foreign := r.issuer.Token(r.issuer.Claims("rolebridge", subject)), r.issuer.Token(r.issuer.Claims("another", subject))
	r.secrets.AddJWT(t, "a workload's token", jwt)
	r.secrets.AddJWT(t, "a workload's token for somebody else", foreign)
	named := r.URLs()["broker"] + creds.Path + "?" + url.Values{"integration": {made.ID}, "connector": {"workload"}}.Encode()
	r.session(t, "a connector's token", r.client(), r.URLs()["broker"]+creds.Path, bound.Token)
	r.session(t, "a workload's token", r.client(), named, jwt)
	r.session(t, "a workload's certificate", r.client(r.workload), named, "")
	if status, _ := r.get(t, r.client(), named, http.Header{"Authorization": {foreign}}); status != http.StatusUnauthorized {
		t.Errorf("a token for another audience: %d, want 401", status)
	}

	next, err := r.api.RotateToken(t.Context(), made.ID, "sink", wire.TokenRotationRequest{})
	must(err)
	r.secrets.Add(t, "a connector's next token", next.Token)
	r.session(t, "the next token", r.client(), r.URLs()["broker"]+creds.Path, next.Token)
	r.session(t, "the token before it", r.client(), r.URLs()["broker"]+creds.Path+"?format=process", bound.Token)
	_, explained := r.get(t, http.DefaultClient, r.URLs()["telemetry"]+creds.ExplainPath+"?of="+made.ID, nil)
	if !bytes.Contains(explained, []byte(`"sink"`)) {
		t.Errorf("explained: %s", explained)
	}
	_, _ = r.log.Write(explained) // what people on call see is looked at with the log
}

func (r *run) session(t *testing.T, who string, c *http.Client, address, authorization string) {
	t.Helper()
	h := http.Header{}
	if authorization != "" {
		h.Set("Authorization", authorization)
	}
	var status int
	var text []byte
	polltest.Until(t, who+" gets a session", func() bool {
		status, text = r.get(t, c, address, h)
		return status != http.StatusServiceUnavailable && status != 0
	})
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil || status != http.StatusOK || got["SecretAccessKey"] == "" {
		t.Fatalf("%s: %d, %v", who, status, err)
	}
}

// produce writes a record to a Kafka with the default topics, in two partitions.
func produce(t *testing.T, kafka []string, of func(*events.Codec) (*kgo.Record, error)) {
	t.Helper()
	names := events.Topics{Prefix: events.DefaultPrefix, Partitions: 2}
	codec, err := events.NewCodec(names)
	if err != nil {
		t.Fatal(err)
	}
	record, err := of(codec)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// shown are the secrets that clients send, by name.
func (r *run) shown(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{
		"a token that nobody has": rand.Text() + rand.Text(), "an API key's wrong secret": rand.Text() + rand.Text(),
	}
	for name, text := range all {
		r.secrets.Add(t, name, text)
	}
	all["an API key's secret"], all["a connector's token"] = r.key[1], r.token
	all["the token of dry runs"] = string(certtest.ReadFile(t, filepath.Join(r.dir, "dry-run-token")))
	jwt := r.issuer.Token(map[string]any{"iss": "https://nobody.example.com", "aud": "rolebridge", "sub": subject})
	r.secrets.AddJWT(t, "a token of an unknown issuer", jwt)
	all["a token of an unknown issuer"] = jwt
	return all
}

// trespass leads each listener into each of its error paths, with every secret that a client may send.
func (r *run) trespass(t *testing.T) {
	t.Helper()
	basic := func(text string) string {
		q := &http.Request{Header: http.Header{}}
		q.SetBasicAuth(r.key[0], text)
		return q.Header.Get("Authorization")
	}
	paths := map[string]string{
		"api": "/pim/v1/integrations", "broker": creds.Path, "dry_run": "/", "telemetry": creds.ExplainPath,
	}
	for part, base := range r.URLs() {
		path, known := paths[part]
		if !known {
			t.Fatalf("listener %s has no path to try", part)
		}
		for _, text := range r.shown(t) {
			in := url.QueryEscape(text)
			for _, q := range []struct {
				method, path string
				header       http.Header
				body         string
			}{
				{http.MethodGet, path, http.Header{"Authorization": {text}}, ""},
				{http.MethodGet, path, http.Header{"Authorization": {"Bearer " + text}}, ""},
				{http.MethodGet, path, http.Header{"Authorization": {text, "Bearer " + text}}, ""},
				{http.MethodGet, path, http.Header{"Authorization": {basic(text)}}, ""},
				{http.MethodGet, path, http.Header{"Authorization": {"Basic " + text}}, ""},
				{http.MethodGet, path, http.Header{"Authorization": {strings.Repeat(text, 300)}}, ""},
				{http.MethodGet, path, http.Header{"Cookie": {text}, "User-Agent": {text}, "X-Forwarded-For": {text}, "Traceparent": {text}}, ""},
				{http.MethodGet, path + "/" + in, http.Header{"Authorization": {text}}, ""},
				{http.MethodGet, path + "?environment=" + in + "&of=" + in + "&format=" + in, http.Header{"Authorization": {basic(text)}}, ""},
				{http.MethodGet, path + "?integration=" + in + "&connector=" + in, http.Header{"Authorization": {text}}, ""},
				{http.MethodDelete, path, http.Header{"Authorization": {text}}, ""},
				{http.MethodPost, path, http.Header{"Authorization": {basic(r.key[1])}, "Content-Type": {"application/json"}}, `{"` + text + `":`},
				{http.MethodPost, path, http.Header{"Authorization": {basic(r.key[1])}, "Content-Type": {"application/json"}}, `{"` + text + `":{},"environment":"` + text + `"}`},
				{http.MethodPost, path, http.Header{"Authorization": {text}, "Content-Type": {text}}, text},
				{http.MethodGet, path, http.Header{"Authorization": {text}}, text},
			} {
				r.send(t, base+q.path, q.method, q.header, q.body)
			}
			r.raw(t, r.Addresses()[part], "GET "+path+" HTTP/9.9\r\nAuthorization: "+text+"\r\n\r\n")
			r.raw(t, r.Addresses()[part], text+"\r\n\r\n")
		}
	}
	r.raw(t, r.Addresses()["broker"], "\x16\x03\x01\x02\x00\x01"+r.key[1]) // a handshake that is none
}

func (r *run) send(t *testing.T, address, method string, header http.Header, body string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header = header
	resp, err := r.client().Do(q)
	if err != nil {
		return // cut off, as it should be
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// raw sends bytes, over TLS if the listener has it, and in the clear.
func (r *run) raw(t *testing.T, address, text string) {
	t.Helper()
	plain, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	secure := &tls.Dialer{Config: &tls.Config{RootCAs: r.pool.Pool(), MinVersion: tls.VersionTLS12}}
	conns := []net.Conn{plain}
	if c, err := secure.DialContext(t.Context(), "tcp", address); err == nil {
		conns = append(conns, c)
	}
	for _, c := range conns {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, text)
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
}

// spoil makes files and servers bad while the process runs: each fault is in the log before the next.
func (r *run) spoil(t *testing.T) {
	t.Helper()
	logged := func(words string) {
		t.Helper()
		polltest.Until(t, "the log says "+words, func() bool { return strings.Contains(r.log.String(), words) })
	}
	for name, words := range map[string]string{"tls.key": "certificate not reloaded", "keyset.json": "keyset refused", "authorities.pem": "trust bundles not reloaded"} {
		text := certtest.ReadFile(t, filepath.Join(r.dir, name))
		certtest.WriteFile(t, filepath.Join(r.dir, name), text[:len(text)*3/4])
		logged(words)
		certtest.WriteFile(t, filepath.Join(r.dir, name), append([]byte("nonsense "), text...))
	}
	r.redis.RequireAuth("another")
	r.redis.SetError("WRONGPASS invalid username-password pair " + rand.Text())
	defer r.redis.SetError("")
	logged("redis lost")
}

func TestNoSecretOfAFullRunIsWrittenAnywhere(t *testing.T) {
	stderr := os.Stderr
	said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = said
	defer func() { os.Stderr = stderr }()

	r := startRun(t)
	r.live(t)
	r.trespass(t)
	r.spoil(t)
	metrics := prometheus.NewRegistry()
	planted := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "planted", Help: "planted"}, []string{"text"})
	metrics.MustRegister(planted)
	_, shown := r.get(t, http.DefaultClient, r.URLs()["telemetry"]+"/metrics", nil)
	r.stop()

	if n := r.secrets.Len(); n < 20 {
		t.Errorf("the run had %d secrets: not all were got", n)
	}
	log := slog.New(slog.NewJSONHandler(r.log, nil))
	r.secrets.Check(t,
		secrettest.Place{
			Name: "the log", Witness: `"stopping"`, Read: func(testing.TB) []byte { return []byte(r.log.String()) },
			Plant: func(_ testing.TB, text string) { log.Error("planted", "text", text) },
		},
		secrettest.Place{
			Name: "standard error", Witness: "", Read: func(t testing.TB) []byte { return certtest.ReadFile(t, said.Name()) },
			Plant: func(t testing.TB, text string) {
				if _, err := said.WriteString(text); err != nil {
					t.Fatal(err)
				}
			},
		},
		secrettest.Place{
			Name: "the metrics", Witness: `rolebridge_broker_reads_total{`,
			Read: func(testing.TB) []byte {
				w := httptest.NewRecorder()
				telemetry.NewServer(metrics).Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
				return append(slices.Clip(shown), w.Body.Bytes()...)
			},
			Plant: func(_ testing.TB, text string) { planted.WithLabelValues(text).Set(1) },
		},
		secrettest.Place{
			Name: "the spans", Witness: "fetch customer-role", Read: func(t testing.TB) []byte { return text(t, r.spans.GetSpans()) },
			Plant: func(t testing.TB, text string) {
				tracer := telemetry.TraceTo(sdktrace.WithSyncer(kept{r.spans}))
				_, end := tracer.Start(t.Context(), "planted", telemetry.Fact{Name: "text", Value: text})
				end("")
				tracer.Close()
			},
		},
		secrettest.Place{
			Name: "Kafka", Witness: "integration.created", Read: r.records,
			Plant: func(t testing.TB, text string) {
				r.plant(t, &kgo.Record{Topic: events.DefaultPrefix + "audit", Headers: []kgo.RecordHeader{{Key: "planted", Value: []byte(text)}}})
			},
		},
		secrettest.Place{
			Name: "Redis", Witness: "rolebridge:session:{", Read: r.entries,
			Plant: func(t testing.TB, text string) {
				if err := r.redis.Set("planted:"+rand.Text(), text); err != nil {
					t.Fatal(err)
				}
			},
		})
}

// text is all that spans say.
func text(t testing.TB, spans tracetest.SpanStubs) []byte {
	t.Helper()
	var all bytes.Buffer
	for _, s := range spans {
		fmt.Fprintf(&all, "%s %+v %+v", s.Name, s.Status, s.Events)
		for _, a := range s.Attributes {
			fmt.Fprintf(&all, " %s=%s", a.Key, a.Value.String())
		}
		all.WriteByte('\n')
	}
	return all.Bytes()
}

// A trace begins at a request, and goes with the command over Kafka through the decider and the worker and back.
func TestOneTraceGoesThroughEveryPart(t *testing.T) {
	r := startRun(t)
	r.live(t)
	r.stop()
	traces := map[string][]string{}
	fetched := 0
	for _, s := range r.spans.GetSpans() {
		id := s.SpanContext.TraceID().String()
		traces[id] = append(traces[id], s.Name)
		if s.Name == "assume customer-role" && s.Parent.IsValid() {
			fetched++
		}
	}
	goes := func(names ...string) bool {
		for _, have := range traces {
			if !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(have, n) }) {
				return true
			}
		}
		return false
	}
	for _, want := range [][]string{
		{"api POST", "decide integration.create", "mapping", "decide mapping.ready"},
		{"api POST", "decide integration.validate", "trust", "decide trust.probed"},
		{"api POST", "decide connector.bind"},
		{"fetch platform-role", "assume platform-role"},
		{"fetch customer-role", "assume customer-role"},
	} {
		if !goes(want...) {
			t.Errorf("no trace has %q: %v", want, traces)
		}
	}
	if fetched == 0 {
		t.Error("no call to the cloud is part of a fetch")
	}
}

func (r *run) plant(t testing.TB, record *kgo.Record) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// records is everything on all topics: keys, values and headers.
func (r *run) records(t testing.TB) []byte {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	topics, err := kadm.NewClient(cl).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, topic := range topics.Names() {
		for p := range topics[topic].Partitions {
			if _, err := events.Replay(t.Context(), cl, topic, p, func(record *kgo.Record) error {
				all.Write(record.Key)
				all.Write(record.Value)
				for _, h := range record.Headers {
					all.WriteString(h.Key)
					all.Write(h.Value)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all.Bytes()
}

// entries is everything in Redis: names and values.
func (r *run) entries(t testing.TB) []byte {
	t.Helper()
	var all bytes.Buffer
	for _, name := range r.redis.Keys() {
		value, err := r.redis.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(name + value)
	}
	return all.Bytes()
}

package app_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/logtest"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/secret/secrettest"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

const (
	platformAccount = "100000000001"
	customerAccount = "200000000002"
	customerRole    = "arn:aws:iam::" + customerAccount + ":role/orders"
	spiffeID        = "spiffe://prod.example.com/connect/orders"
	subject         = "system:serviceaccount:connect:orders"
)

// run is a process of all roles, its listeners with TLS, and what it stands on: all embedded.
type run struct {
	*app.App
	secrets secrettest.Secrets
	dir     string
	log     *logtest.Log
	spans   *tracetest.InMemoryExporter

	kafka    []string
	redis    *miniredis.Miniredis
	password string
	customer sandbox.Account
	aws      string
	issuer   *identitytest.Issuer
	server   certtest.Files // of the listeners
	pool     *certtest.Authority
	workload tls.Certificate
	api      *client.Client
	key      [2]string // of the API, with its secret
	token    string    // of a connector
	stop     func()
}

// kept keeps the spans over the end of the process.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

func startRun(t *testing.T) *run {
	t.Helper()
	r := &run{dir: t.TempDir(), log: &logtest.Log{}, redis: miniredis.RunT(t), password: rand.Text(), issuer: identitytest.NewIssuer()}
	t.Cleanup(r.issuer.Close)
	r.secrets.Add(t, "the password of Redis", r.password)
	r.redis.RequireAuth(r.password)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	r.kafka = cluster.ListenAddrs()
	us := r.cloud(t)
	c := r.settings(t)
	r.spans = tracetest.NewInMemoryExporter()
	c.Tracer = telemetry.TraceTo(sdktrace.WithSyncer(kept{r.spans}))
	c.AWS = app.AWS{
		Region: "us-east-1", Endpoint: r.aws, Accounts: []app.AWSAccount{{ID: platformAccount}}, Identities: []string{us.ARN}, Credentials: us.Key,
	}
	r.App, err = app.New(t.Context(), c, app.Roles(), telemetry.NewLogger(r.log, -8))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the stop: %v", err)
		}
	})
	t.Cleanup(r.stop)
	r.api, err = client.New(client.Config{URL: r.URLs()["api"], Key: r.key[0], Secret: secret.New(r.key[1]), HTTP: r.client()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var sessionSecret = regexp.MustCompile(`<(SecretAccessKey|SessionToken)>([^<]+)<`)

// cloud starts AWS behind a listener that adds the secrets of every session that is issued.
func (r *run) cloud(t *testing.T) sandbox.User {
	t.Helper()
	s, err := sandbox.New(sandbox.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.AddAccount(platformAccount); err != nil {
		t.Fatal(err)
	}
	us, err := s.AddUser(platformAccount, "rolebridge", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*","sts:*"],"Resource":"*"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if r.customer, err = s.AddAccount(customerAccount); err != nil {
		t.Fatal(err)
	}
	r.secrets.Add(t, "our key at AWS", us.Key.Secret.Reveal())
	r.secrets.Add(t, "the customer's key at AWS", r.customer.Root.Secret.Reveal())
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, q)
		for _, found := range sessionSecret.FindAllSubmatch(answer.Body.Bytes(), -1) {
			r.secrets.Add(t, fmt.Sprintf("the %s of session %d", found[1], r.secrets.Len()), string(found[2]))
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(front.Close)
	r.aws = front.URL
	return us
}

// settings are those of a process that has every secret that one can have.
func (r *run) settings(t *testing.T) app.Config {
	t.Helper()
	c := app.Defaults()
	c.Kafka.Brokers, c.Topics.Partitions, c.Topics.Replication = r.kafka, 2, 1
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := events.Apply(t.Context(), kadm.NewClient(cl), c.Topics.Names(), 1); err != nil {
		t.Fatal(err)
	}

	c.Redis.Address, c.Redis.PasswordFile = r.redis.Addr(), r.file(t, "redis-password", r.password)
	r.key = [2]string{"ADMIN1", rand.Text() + rand.Text()}
	r.secrets.Add(t, "the secret of the API key", r.key[1])
	c.API.KeysFile = r.file(t, "keys.yaml", fmt.Sprintf("keys:\n  - {key: %s, secret: %s, organization: acme, principal: u-admin}\n", r.key[0], r.key[1]))
	token := rand.Text() + rand.Text()
	r.secrets.Add(t, "the token of dry runs", token)
	c.DryRun.TokenFile = r.file(t, "dry-run-token", token)
	r.addKeyset(t, &c)
	signs := signature.NewKey()
	r.secrets.AddPEM(t, "the key that signs commands", signs.PEM())
	c.Commands.SigningKeyFile = r.file(t, "api.pem", string(signs.PEM()))
	c.Lifecycle.SignersFile = r.file(t, "signers.yaml", fmt.Sprintf("signers: [{name: api, actors: ['*'], sources: [%s], public_key: %s}]\n", events.SourceAPI, signs.Public()))

	authority := certtest.New(t, "")
	r.pool, r.server = authority, certtest.Write(t, r.dir, authority.Server(t))
	r.secrets.AddPEM(t, "the key of the listeners", certtest.ReadFile(t, r.server.Key))
	for _, s := range []*listen.Settings{&c.API.Settings, &c.Broker.Settings, &c.DryRun.Settings} {
		s.Listen, s.TLS = "127.0.0.1:0", listen.TLS{CertFile: r.server.Cert, KeyFile: r.server.Key, ReloadEvery: 50 * time.Millisecond}
	}
	c.Telemetry.Listen = "127.0.0.1:0"

	workloads := certtest.New(t, "prod.example.com")
	c.Broker.SPIFFE = []identity.Bundle{{TrustDomain: "prod.example.com", File: r.file(t, "authorities.pem", string(workloads.PEM()))}}
	r.workload = workloads.Client(t, spiffeID)
	theirs := certtest.Write(t, t.TempDir(), r.workload)
	r.secrets.AddPEM(t, "the key of a workload's certificate", certtest.ReadFile(t, theirs.Key))
	if err := r.issuer.Trust(&c.Broker.OIDC, r.dir); err != nil {
		t.Fatal(err)
	}
	c.Lifecycle.Fresh, c.NotReadyFor, c.StopWithin = true, 0, 30*time.Second
	return c
}

// addKeyset makes the keyset and adds its keys, as they stand in the file and inside of that.
func (r *run) addKeyset(t *testing.T, c *app.Config) {
	t.Helper()
	c.Broker.KeysetFile = filepath.Join(r.dir, "keyset.json")
	if err := creds.WriteKeyset(t.Context(), c.Broker.KeysetFile); err != nil {
		t.Fatal(err)
	}
	var keyset struct {
		Key []struct {
			KeyData struct {
				Value []byte `json:"value"`
			} `json:"keyData"`
		} `json:"key"`
	}
	if err := json.Unmarshal(certtest.ReadFile(t, c.Broker.KeysetFile), &keyset); err != nil || len(keyset.Key) == 0 {
		t.Fatalf("the keyset: %+v, %v", keyset, err)
	}
	const aes256 = 32 // the last bytes of the serialized key
	for n, k := range keyset.Key {
		value := k.KeyData.Value
		r.secrets.AddPEM(t, fmt.Sprintf("key %d of the keyset", n), pem.EncodeToMemory(&pem.Block{Type: "KEY", Bytes: value}))
		r.secrets.AddPEM(t, fmt.Sprintf("key %d of the keyset, raw", n), pem.EncodeToMemory(&pem.Block{Type: "KEY", Bytes: value[len(value)-aes256:]}))
	}
}

func (r *run) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	certtest.WriteFile(t, path, []byte(text))
	return path
}

func (r *run) client(certs ...tls.Certificate) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: r.pool.Pool(), Certificates: certs, MinVersion: tls.VersionTLS12},
	}}
}

// get asks, and returns status and body; 0 when there is no answer.
func (r *run) get(t *testing.T, c *http.Client, address string, header http.Header) (int, []byte) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header = header
	resp, err := c.Do(q)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, text
}

package app_test

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// The contract is tried with so many examples of each operation, made from this seed. More of them, or others:
//
//	ROLEBRIDGE_TEST_CONTRACT_EXAMPLES=300 ROLEBRIDGE_TEST_CONTRACT_SEED=7 make test PKG=./cmd/internal/app FLAGS='-run Contract -v'
const (
	contractExamples = "6"
	contractSeed     = "1"
)

// contractWithin is for what hangs: with 6 examples it takes a minute.
const contractWithin = 15 * time.Minute

// asked is a whole process that a tool may ask anything, as an administrator of an organization.
type asked struct {
	*app.App
	secret string
	// What is there to ask about: a service account with a key, an integration with a connector.
	account, key, integration, connector string

	api   *client.Client
	begin func() // begins the stop
}

// startAskedWith starts a process of one organization, whose AWS stands behind front.
func startAskedWith(t *testing.T, front func(http.Handler) http.Handler, mappedWithin time.Duration) *asked {
	t.Helper()
	a := &asked{secret: strings.Repeat("contract", 5)}
	aws, us := startCloud(t, front)
	keys := filepath.Join(t.TempDir(), "keys.yaml")
	certtest.WriteFile(t, keys, []byte("keys:\n  - {key: ADMIN, secret: "+a.secret+", organization: acme, principal: u-admin}\n"))
	var kafka []string
	a.App = everything(t, onKafka(t), func(c *app.Config) {
		c.Redis.Address, c.NotReadyFor = "", 0
		c.AWS.Endpoint, c.AWS.Identities, c.AWS.Credentials = aws, []string{us.ARN}, us.Key
		c.API.KeysFile, c.API.Rate, c.API.Burst = keys, 1e6, 1e6
		c.API.FailedAttempts, c.API.FailedBurst = 1e6, 1e6                 // the tool tries wrong credentials everywhere
		c.API.MappedWithin, c.API.ProvedWithin = mappedWithin, time.Second // nothing can be proved here
		c.StopWithin = 5 * time.Minute
		kafka = c.Kafka.Brokers
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	a.begin = stop
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the stop: %v", err)
		}
	})
	produce(t, kafka, func(codec *events.Codec) (*kgo.Record, error) {
		return codec.CommandRecord(integration.Command{
			Source: "/test", ID: "found", Organization: "acme", Actor: "platform:test", Time: time.Now(), Ask: integration.CreateOrganization{Admin: "u-admin"},
		})
	})
	var err error
	a.api, err = client.New(client.Config{URL: a.URLs()["api"], Key: "ADMIN", Secret: secret.New(a.secret)})
	if err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, "the organization is there", func() bool { _, err := a.api.List(t.Context(), "env-1", ""); return err == nil })
	return a
}

// startAsked starts a process with something to ask about.
func startAsked(t *testing.T) *asked {
	t.Helper()
	a := startAskedWith(t, func(h http.Handler) http.Handler { return h }, time.Second)
	c := a.api
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name := "for the tool"
	account, err := c.CreateAccount(t.Context(), client.ServiceAccounts, wire.AccountRequest{DisplayName: &name})
	must(err)
	var ask wire.APIKeyRequest
	ask.Spec.Owner.ID = account.ID
	key, err := c.CreateAPIKey(t.Context(), ask)
	must(err)
	made, err := c.Create(t.Context(), wire.IntegrationRequestV2{
		DisplayName: name, Provider: "aws", Environment: wire.ReferenceRequest{ID: "env-1"}, Config: &wire.ConfigRequest{CustomerIAMRoleARN: customerRole},
	})
	must(err)
	bound, err := c.Bind(t.Context(), made.ID, wire.ConnectorRequest{Connector: "for-the-tool"})
	must(err)
	a.account, a.key, a.integration, a.connector = account.ID, key.ID, made.ID, bound.Connector
	return a
}

// startCloud starts an AWS with the platform's account, and its own identity there.
func startCloud(t *testing.T, front func(http.Handler) http.Handler) (endpoint string, us sandbox.User) {
	t.Helper()
	s, err := sandbox.New(sandbox.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddAccount(platformAccount); err != nil {
		t.Fatal(err)
	}
	us, err = s.AddUser(platformAccount, "rolebridge", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*","sts:*"],"Resource":"*"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(front(s))
	t.Cleanup(server.Close)
	return server.URL, us
}

func TestTheRunningAPIKeepsTheContractOfItsDocument(t *testing.T) {
	python := testenv.Schemathesis(t)
	a := startAsked(t)
	examples := cmp.Or(os.Getenv("ROLEBRIDGE_TEST_CONTRACT_EXAMPLES"), contractExamples)
	seed := cmp.Or(os.Getenv("ROLEBRIDGE_TEST_CONTRACT_SEED"), contractSeed)
	ctx, cancel := context.WithTimeout(t.Context(), contractWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-m", "schemathesis.cli", "run", a.URLs()["api"]+"/openapi.yaml",
		"--max-examples", examples, "--seed", seed, "--no-color")
	cmd.Dir = filepath.Join("testdata", "contract")
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "ROLEBRIDGE_KEY=ADMIN", "ROLEBRIDGE_SECRET="+a.secret, "ROLEBRIDGE_OWNER="+a.account,
		"ROLEBRIDGE_API_KEY="+a.key, "ROLEBRIDGE_INTEGRATION="+a.integration, "ROLEBRIDGE_CONNECTOR="+a.connector, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("schemathesis with %s examples and seed %s: %v\n%s", examples, seed, err, out)
	}
	_, summary, _ := bytes.Cut(out, []byte("= SUMMARY ="))
	t.Logf("%s examples of each operation, seed %s:\n%s", examples, seed, summary)
	a.reached(t)
}

var answers = regexp.MustCompile(`rolebridge_api_requests_total\{code="(\w+)",route="([^"]+)"\} (\d+)`)

// reached looks whether what is behind each path was come to, and not only its refusals: a tool that finds nothing to ask
// about finds no fault.
func (a *asked) reached(t *testing.T) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	got := httptest.NewRecorder()
	a.Probes().ServeHTTP(got, r)
	total := map[string]string{}
	for _, m := range answers.FindAllStringSubmatch(got.Body.String(), -1) {
		total[m[2]+" "+m[1]] = m[3]
	}
	routes := 0
	for series, n := range total {
		route, code, _ := strings.Cut(series, " ")
		switch {
		case code == string(integration.CodeInternal) && n != "0":
			t.Errorf("%s: %s internal errors", route, n)
		case code == "ok":
			routes++
			// Trust of nothing that is here can be proved, and PIM calls that 400.
			if n == "0" && route != "unknown" && route != "/pim/v2/integrations:validate" {
				t.Errorf("%s: no request was carried out; they were %v", route, others(total, route))
			}
		}
	}
	if routes < 20 {
		t.Errorf("%d routes are counted: %s", routes, got.Body)
	}
}

// others are the answers of a route that were errors.
func others(total map[string]string, route string) (codes []string) {
	for series, n := range total {
		if code, of := strings.CutPrefix(series, route+" "); of && n != "0" {
			codes = append(codes, n+" "+code)
		}
	}
	return codes
}

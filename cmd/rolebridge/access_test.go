package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/events"
)

// read reads what a verb printed as JSON.
func read[T any](t *testing.T, r result) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("%s%s: %v", r.out, r.err, err)
	}
	return v
}

func TestAServiceAccountGetsAKeyAndARoleAndLosesThem(t *testing.T) {
	t.Parallel()
	c := at(apitest.Serve(t), apitest.Admin)
	if got := c.want(t, 0, "access", "service-account", "list"); got.out != "None found.\n" {
		t.Errorf("got %q", got.out)
	}
	sa := read[person](t, c.want(t, 0, "access", "service-account", "create", "Nightly loads", "--description", "loads", "-o", "json"))
	got := c.want(t, 0, "access", "api-key", "create", sa.ID, "--name", "first", "--expires-in", "24h")
	same := strings.NewReplacer(sa.ID, "sa-12345678")
	if !strings.Contains(got.err, "not shown again") {
		t.Errorf("got %q", got.err)
	}
	key := read[firstKey](t, c.want(t, 0, "access", "api-key", "create", sa.ID, "-o", "json"))
	if key.Organization != "org-a" || key.Account != sa.ID || len(key.Secret) < 43 {
		t.Errorf("got %+v", key)
	}

	as := &cli{env: map[string]string{envURL: c.env[envURL], envKey: key.Key, envSecret: key.Secret, envEnvironment: c.env[envEnvironment]}}
	as.want(t, 3, "provider-integration", "list")
	given := read[role](t, c.want(t, 0, "access", "role-binding", "create", "--principal", sa.ID, "--role", "Assigner", "-o", "json"))
	if want := "crn://rolebridge/organization=org-a/environment=env-abcdef/provider-integration=*"; given.CRNPattern != want || given.Principal != "User:"+sa.ID {
		t.Errorf("got %+v, want %s", given, want)
	}
	as.want(t, 0, "provider-integration", "list")
	golden(t, "role-bindings", strings.ReplaceAll(same.Replace(c.want(t, 0, "access", "role-binding", "list", "--principal", "User:"+sa.ID).out), given.ID, "rb-0123456789abcdef"))
	if keys := read[[]listedKey](t, c.want(t, 0, "access", "api-key", "list", "--account", sa.ID, "-o", "json")); len(keys) != 2 {
		t.Errorf("got %+v, want both keys", keys)
	}
	if got := c.want(t, 0, "access", "api-key", "list"); !strings.Contains(got.out, key.Key) || strings.Contains(got.out, key.Secret) {
		t.Errorf("got %q, want the key without its secret", got.out)
	}

	c.want(t, 0, "access", "role-binding", "delete", given.ID, "--force")
	as.want(t, 3, "provider-integration", "list")
	c.want(t, 0, "access", "api-key", "delete", key.Key, "--force")
	as.want(t, 8, "provider-integration", "list")
	c.want(t, 0, "access", "service-account", "delete", sa.ID, "--force")
	c.want(t, 4, "access", "service-account", "describe", sa.ID)
}

func TestAUserIsMadeChangedAndDescribed(t *testing.T) {
	t.Parallel()
	c := at(apitest.Serve(t), apitest.Admin)
	user := read[person](t, c.want(t, 0, "access", "user", "create", "Ada", "--identity", "https://issuer.example,rolebridge,ada", "-o", "json"))
	c.want(t, 0, "access", "user", "update", user.ID, "--name", "Ada L.")
	same := strings.NewReplacer(user.ID, "u-12345678")
	golden(t, "user", same.Replace(c.want(t, 0, "access", "user", "describe", user.ID).out))
	if got := read[person](t, c.want(t, 0, "access", "user", "update", user.ID, "--identity", "", "-o", "json")); len(got.Identities) != 0 || got.Name != "Ada L." {
		t.Errorf("got %+v, want no identities", got)
	}
	for _, wrong := range []struct{ args, want string }{
		{"user update " + user.ID, "nothing to change"},
		{"user create Ben --identity x", "ISSUER,AUDIENCE,SUBJECT"},
		{"role-binding create --role Assigner", "--principal"},
		{"role-binding create --principal u-1 --role Owner", "--role: want"},
	} {
		args := append([]string{"access"}, strings.Fields(wrong.args)...)
		if got := c.want(t, 2, args...); !strings.Contains(got.err, wrong.want) {
			t.Errorf("%s: got %q, want a text about %q", wrong.args, got.err, wrong.want)
		}
	}
	at(&apitest.Site{URL: c.env[envURL]}, apitest.Assigner).want(t, 3, "access", "user", "create", "Eve")
}

// serveState runs an api without keys of its own over the plane's Kafka.
func (p *plane) serveState(t *testing.T) (url string) {
	t.Helper()
	codec, err := events.NewCodec(p.topics)
	if err != nil {
		t.Fatal(err)
	}
	table := events.NewTable(p.topics, []kgo.Opt{p.seeds}, events.WithReceipts(), events.WithLog(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- table.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("table: %v", err)
		}
	})
	cl, err := kgo.NewClient(append(api.ProducerOptions(), p.seeds)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	log := slog.New(slog.DiscardHandler)
	s, err := api.New(api.Defaults(), table, api.NewProducer(cl, codec, log), api.Keys{}, prometheus.NewRegistry(), log)
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(s.Handler())
	t.Cleanup(listener.Close)
	select {
	case <-table.Ready():
	case <-time.After(time.Minute):
		t.Fatal("the replica is not ready after a minute")
	}
	return listener.URL
}

func TestTheFirstKeyOpensTheAPIOnceItIsMadeAndUntilItIsReplaced(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.apply(t)
	p.decide(t)
	url := p.serveState(t)
	first := read[firstKey](t, p.want(t, 0, "bootstrap", "org-1", "--admin", "u-admin", "-o", "json"))
	as := func(k firstKey) *cli {
		return &cli{env: map[string]string{envURL: url, envKey: k.Key, envSecret: k.Secret}}
	}
	// The replica of the api follows the decision in its own time.
	opens := func(k firstKey, want int) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; {
			got := as(k).run(t, "access", "user", "list")
			if got.code == want && (want != 0 || strings.Contains(got.out, "u-admin")) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("got exit code %d, want %d\n%s%s", got.code, want, got.out, got.err)
			}
		}
	}
	opens(first, 0)
	if got := p.want(t, 5, "bootstrap", "org-1", "--admin", "u-admin"); !strings.Contains(got.err, "has its first key") || got.out != "" {
		t.Errorf("a second bootstrap: got %q and %q", got.out, got.err)
	}
	if got := p.want(t, 2, "bootstrap", "org-1"); !strings.Contains(got.err, "--admin") {
		t.Errorf("got %q", got.err)
	}
	second := read[firstKey](t, p.want(t, 0, "bootstrap", "org-1", "--admin", "u-admin", "--replace", "-o", "json"))
	opens(second, 0)
	opens(first, 8)
	// And with it, the rest.
	sa := read[person](t, as(second).want(t, 0, "access", "service-account", "create", "loader", "-o", "json"))
	as(second).want(t, 0, "access", "role-binding", "create", "--principal", sa.ID, "--role", "Assigner", "--environment", "env-*")
}

func TestARoleOfTheWholeOrganizationTakesNoNarrowerScope(t *testing.T) {
	t.Parallel()
	got := at(apitest.Serve(t), apitest.Admin).want(t, 2, "access", "role-binding", "create", "--principal", "u-x", "--role", "OrganizationAdmin", "--provider-integration", "cspi-00001")
	if !strings.Contains(got.err, "--provider-integration: OrganizationAdmin") || got.out != "" {
		t.Errorf("got %q and %q", got.out, got.err)
	}
}

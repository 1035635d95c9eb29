package main

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/certtest"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAConnectorIsBoundToResourcesAndWorkloads(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	flags := []string{
		"--resource", "s3://lake/raw/orders:write", "--resource", "s3://refs:read", "--resource", "dynamodb://eu-west-1/orders:read-write",
		"--oidc", "issuer=https://oidc.example.com/a=b,audience=rolebridge,subject=repo:acme,sink:ref", "--spiffe", "spiffe://acme.example/sink",
		"--source-identity",
	}
	got := c.want(t, 0, append([]string{"connector", "bind", i.ID, "lcc-1"}, flags...)...)
	if strings.Contains(got.out, "Token") || !strings.Contains(got.err, "connector=lcc-1&integration="+i.ID) {
		t.Errorf("bound without a token: got %q and %q, want the address that it asks", got.out, got.err)
	}
	said := c.want(t, 0, "connector", "describe", i.ID, "lcc-1").out
	for _, want := range []string{
		"s3://lake/raw/orders:write", "s3://refs/:read", "dynamodb://eu-west-1/orders:read-write",
		"issuer=https://oidc.example.com/a=b,audience=rolebridge,subject=repo:acme,sink:ref", "spiffe://acme.example/sink", "Source Identity",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%s is not in\n%s", want, said)
		}
	}
	both := c.want(t, 0, "connector", "bind", i.ID, "lcc-2", "--spiffe", "spiffe://acme.example/2", "--token", "--token-expires-in", "1h")
	if !strings.Contains(both.out, "| Token ") {
		t.Errorf("a token was asked for: got %q", both.out)
	}
	if got := c.want(t, 0, "connector", "describe", i.ID, "lcc-2"); strings.Contains(got.out, "never") {
		t.Errorf("the token has an end: got %q", got.out)
	}
	for _, bad := range [][]string{
		{"--resource", "lake/raw:write"},
		{"--resource", "s3://lake"},
		{"--resource", "dynamodb://orders:read"},
		{"--resource", "s3://lake/p:own"},
		{"--resource", "s3://LAKE/p:read"},
		{"--oidc", "issuer=https://i"},
		{"--oidc", "x"},
		{"--oidc", "issuer=http://i,audience=a,subject=s"},
		{"--spiffe", "https://i"},
		{"--token=false"},
		{"--token-expires-in", "-1h"},
	} {
		c.want(t, 2, append([]string{"connector", "bind", i.ID, "lcc-3"}, bad...)...)
	}
}

func TestAConnectorIsBoundListedAndUnbound(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	if got := c.want(t, 0, "connector", "list", i.ID); got.out != "None found.\n" {
		t.Errorf("got %q", got.out)
	}
	var b bound
	if err := json.Unmarshal([]byte(c.want(t, 0, "connector", "bind", i.ID, "lcc-1", "-o", "json").out), &b); err != nil {
		t.Fatal(err)
	}
	if b.Connector != "lcc-1" || b.Integration != i.ID || len(b.Token) < 43 {
		t.Errorf("got %+v", b)
	}
	people := c.want(t, 0, "connector", "bind", i.ID, "lcc-2")
	if !strings.Contains(people.out, "| Token ") || !strings.Contains(people.err, creds.EnvTokenFile) {
		t.Errorf("got %q and %q", people.out, people.err)
	}
	var uses []use
	if err := json.Unmarshal([]byte(c.want(t, 0, "connector", "list", i.ID, "-o", "json").out), &uses); err != nil {
		t.Fatal(err)
	}
	if len(uses) != 2 || uses[0].Connector != "lcc-1" || uses[0].BoundBy != "u-admin-a" {
		t.Errorf("got %+v", uses)
	}
	if got := c.want(t, 0, "pi", "describe", i.ID); !strings.Contains(got.out, "ACTIVE") || !strings.Contains(got.out, "/connector=lcc-2") {
		t.Errorf("got %s", got.out)
	}
	c.want(t, 5, "connector", "bind", i.ID, "lcc-1")

	var next bound
	rotated := c.want(t, 0, "connector", "rotate-token", i.ID, "lcc-1", "--overlap", "1h", "-o", "json")
	if err := json.Unmarshal([]byte(rotated.out), &next); err != nil || next.Token == "" || next.Token == b.Token {
		t.Errorf("rotated: got %s, %v; want another token", rotated.out, err)
	}
	c.want(t, 2, "connector", "rotate-token", i.ID, "lcc-1", "--overlap", "169h")
	if got := c.want(t, 0, "connector", "describe", i.ID, "lcc-1"); strings.Count(got.out, "added ") != 2 || strings.Count(got.out, "ends never") != 1 {
		t.Errorf("described after a rotation: %s", got.out)
	}
	c.want(t, 0, "connector", "unbind", i.ID, "lcc-1")
	c.want(t, 4, "connector", "unbind", i.ID, "lcc-1")
}

func TestAKeyFileStandsInForTheEnvironment(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := &cli{}
	c.want(t, 0, "pi", "list", "--url", s.URL, "--environment", "env-abcdef", "--key-file", file(t, "key", apitest.Admin+":"+apitest.Secret+"\n"))
	got := c.want(t, 2, "pi", "list", "--url", s.URL, "--environment", "env-abcdef", "--key-file", file(t, "key", apitest.Secret))
	if strings.Contains(got.err, apitest.Secret) {
		t.Errorf("the secret is in %q", got.err)
	}
}

func TestCredentialsAreThoseOfACredentialProcess(t *testing.T) {
	t.Parallel()
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "token" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":"unauthenticated","message":"the token is not valid"}`))
			return
		}
		_, _ = w.Write([]byte(`{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00Z"}`))
	}))
	defer broker.Close()
	c := &cli{env: map[string]string{creds.EnvURL: broker.URL}}
	var session map[string]any
	if err := json.Unmarshal([]byte(c.want(t, 0, "credentials", "--token-file", file(t, "token", "token\n")).out), &session); err != nil {
		t.Fatal(err)
	}
	if session["Version"] != 1.0 || session["AccessKeyId"] != "A" || session["SessionToken"] != "T" {
		t.Errorf("got %v", session)
	}
	if got := c.want(t, 8, "credentials", "--token-file", file(t, "token", "wrong-one")); strings.Contains(got.err, "wrong-one") {
		t.Errorf("the token is in %q", got.err)
	}
	c.want(t, 2, "credentials")
	c.want(t, 2, "credentials", "--token-file", file(t, "token", "token"), "--patience", "2h")
	(&cli{}).want(t, 2, "credentials")
}

func TestAWorkloadsCredentialsNameTheirBinding(t *testing.T) {
	t.Parallel()
	authority := certtest.New(t, "prod.example.com")
	broker := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := r.Header.Get("Authorization")
		if len(r.TLS.PeerCertificates) > 0 {
			shown += r.TLS.PeerCertificates[0].URIs[0].String()
		}
		if got := shown + " " + r.URL.RawQuery; got != "ey.a.b connector=lcc-1&integration=cspi-1" && got != "spiffe://prod.example.com/x connector=lcc-1&integration=cspi-1" {
			t.Errorf("the broker was shown %q", got)
		}
		_, _ = w.Write([]byte(`{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00Z"}`))
	}))
	broker.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{authority.Server(t)}, MinVersion: tls.VersionTLS12}
	broker.StartTLS()
	defer broker.Close()
	c := &cli{env: map[string]string{creds.EnvURL: broker.URL}}
	token, client := file(t, "token", "ey.a.b"), certtest.Write(t, t.TempDir(), authority.Client(t, "spiffe://prod.example.com/x"))
	binding := []string{"credentials", "--integration", "cspi-1", "--connector", "lcc-1", "--ca-file", file(t, "ca.pem", string(authority.PEM()))}
	with := func(more ...string) []string { return append(slices.Clone(binding), more...) }
	c.want(t, 0, with("--token-file", token)...)
	c.want(t, 0, with("--client-cert", client.Cert, "--client-key", client.Key)...)
	c.env[creds.EnvToken] = "of the environment, which a certificate goes before when it is asked for"
	c.want(t, 0, with("--client-cert", client.Cert, "--client-key", client.Key)...)
	for _, wrong := range [][]string{
		with("--client-cert", client.Cert), with("--client-key", client.Key),
		with("--client-cert", client.Cert, "--client-key", client.Key, "--token-file", token),
		{"credentials", "--token-file", token, "--integration", "cspi-1"},
		{"credentials", "--token-file", token, "--connector", "lcc-1"},
		{"credentials", "--client-cert", client.Cert, "--client-key", client.Key},
	} {
		c.want(t, 2, wrong...)
	}
}

func TestTopicsAreMadeAndDriftIsReported(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	args := []string{"topics", "apply", "--brokers", strings.Join(cluster.ListenAddrs(), ","), "--prefix", "x.", "--partitions", "2", "--replication", "1"}
	c := &cli{}
	if got := c.want(t, 0, args...); !strings.Contains(got.out, `Created topic "x.state".`) {
		t.Errorf("got %q", got.out)
	}
	if got := c.want(t, 0, args...); !strings.Contains(got.out, "All topics are as they should be.") {
		t.Errorf("got %q", got.out)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: new("1000")}}, "x.events"); err != nil {
		t.Fatal(err)
	}
	if got := c.want(t, 5, args...); !strings.Contains(got.out, "Differs: x.events: retention.ms is 1000, want 2592000000.") {
		t.Errorf("got %q", got.out)
	}
	c.want(t, 2, "topics", "apply", "--brokers", "x:1", "--partitions", "0")
	if got := c.want(t, 2, append(args[:len(args)-1:len(args)-1], "3", "--prefix", "y.")...); !strings.Contains(got.err, "replication factor 3: the cluster has fewer brokers") {
		t.Errorf("got %q", got.err)
	}
}

func TestPolicyVerbsFitIntoCI(t *testing.T) {
	t.Parallel()
	c := &cli{}
	const platform = "arn:aws:iam::111122223333:role/cspi-12345"
	final := c.want(t, 0, "policy", "render", "final-trust", "--principal", platform, "--external-id", "an-external-id").out
	good := file(t, "trust.json", final)
	wide := file(t, "wide.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`)
	expect := []string{"--principal", platform, "--external-id", "an-external-id"}

	if got := c.want(t, 0, append([]string{"policy", "lint", good}, expect...)...); !strings.Contains(got.out, "nothing to complain about") {
		t.Errorf("got %s", got.out)
	}
	if got := c.want(t, 5, append([]string{"policy", "lint", good, wide}, expect...)...); !strings.Contains(got.out, "wide.json:1:") || !strings.Contains(got.out, "[wildcard-principal]") {
		t.Errorf("got %s", got.out)
	}
	c.want(t, 0, append([]string{"policy", "lint", wide, "--fail-on", "never"}, expect...)...)
	narrow := file(t, "narrow.json", strings.Replace(final, "sts:TagSession", "sts:SetSourceIdentity", 1))
	c.want(t, 0, append([]string{"policy", "lint", narrow}, expect...)...)
	c.want(t, 5, append([]string{"policy", "lint", narrow, "--fail-on", "warning"}, expect...)...)
	for _, form := range []string{"json", "sarif"} {
		if got := c.want(t, 5, "policy", "lint", wide, "--format", form); !json.Valid([]byte(got.out)) {
			t.Errorf("%s: got %s", form, got.out)
		}
	}
	c.stdin = final
	c.want(t, 0, append([]string{"policy", "lint", "-"}, expect...)...)

	c.want(t, 0, "policy", "evaluate", good, "--principal", platform, "--external-id", "an-external-id")
	c.want(t, 3, "policy", "evaluate", good, "--principal", platform)
	c.want(t, 3, "policy", "evaluate", good, "--principal", platform, "--external-id", "another", "--format", "json")
	c.want(t, 2, "policy", "evaluate", good, "--principal", "somebody")
	c.want(t, 2, "policy", "evaluate", file(t, "broken.json", "{"), "--principal", platform)
	c.want(t, 2, "policy", "evaluate", "no-such-file", "--principal", platform)

	question, err := json.Marshal(map[string]any{"trustPolicy": json.RawMessage(final), "principalArn": platform, "externalId": "an-external-id"})
	if err != nil {
		t.Fatal(err)
	}
	c.stdin = string(question) + "\nnot a question\n"
	answers := strings.Split(strings.TrimSpace(c.want(t, 0, "policy", "evaluate", "--batch").out), "\n")
	if len(answers) != 2 || !strings.Contains(answers[0], `"decision":"allow"`) || !strings.Contains(answers[1], `"decision":"invalid"`) {
		t.Errorf("got %q", answers)
	}

	c.want(t, 2, "policy", "render", "something")
	c.want(t, 2, "policy", "render", "s3-sink", "--bucket", "No_Bucket")
	for _, form := range []string{"json", "terraform", "cloudformation", "cli"} {
		got := c.want(t, 0, "policy", "render", "s3-sink", "--bucket", "orders", "--format", form, "--role-name", "r", "--policy-name", "p")
		if !strings.Contains(got.out, "arn:aws:s3:::orders") {
			t.Errorf("%s: got %s", form, got.out)
		}
	}
}

func TestAKeysetIsRotatedInThreeSteps(t *testing.T) {
	c, file := &cli{}, filepath.Join(t.TempDir(), "keyset.json")
	c.want(t, 0, "keyset", "create", file)
	c.want(t, 5, "keyset", "create", file)
	old, _, _ := strings.Cut(c.want(t, 0, "keyset", "list", file).out, " ")
	added, _, _ := strings.Cut(c.want(t, 0, "keyset", "add", file).out, " ")
	if got := c.want(t, 0, "keyset", "list", file).out; got != old+" seals and opens\n"+added+" opens\n" {
		t.Errorf("after add: %q", got)
	}
	c.want(t, 2, "keyset", "remove", file, old)
	c.want(t, 0, "keyset", "promote", file, added)
	c.want(t, 0, "keyset", "remove", file, old)
	if got := c.want(t, 0, "keyset", "list", file).out; got != added+" seals and opens\n" {
		t.Errorf("in the end: %q", got)
	}
	c.want(t, 2, "keyset", "promote", file, "1")
	c.want(t, 2, "keyset", "promote", file, "first")
	c.want(t, 2, "keyset", "add", file+"x")
}

func TestAFileIsAnArgumentOrAFlag(t *testing.T) {
	t.Parallel()
	c := &cli{}
	wide := file(t, "wide.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`)
	const platform = "arn:aws:iam::111122223333:role/cspi-12345"
	for _, args := range [][]string{{"lint", wide}, {"lint", "-f", wide}, {"lint", "--file", wide, wide}} {
		if got := c.want(t, 5, append([]string{"policy"}, args...)...); strings.Count(got.out, "[wildcard-principal]") != len(args)/2 {
			t.Errorf("%v: got %s", args, got.out)
		}
	}
	c.want(t, 2, "policy", "lint")
	c.want(t, 2, "policy", "lint", "-f", "no-such-file")
	c.want(t, 0, "policy", "evaluate", "-f", wide, "--principal", platform)
	c.want(t, 2, "policy", "evaluate", "-f", wide, wide, "--principal", platform)
	c.want(t, 2, "policy", "evaluate", "--principal", platform)
}

func TestAnAnswerIsReadable(t *testing.T) {
	t.Parallel()
	c := &cli{}
	const platform = "arn:aws:iam::111122223333:role/cspi-12345"
	trust := file(t, "trust.json", `{"Version":"2012-10-17","Statement":[
  {"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"stolen"}}},
  {"Effect":"Allow","Principal":{"AWS":"`+platform+`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"an-id"},"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`)
	var all strings.Builder
	for _, question := range []struct {
		code int
		args []string
	}{
		{0, []string{"--external-id", "an-id", "--context", "aws:SourceIp=192.0.2.1"}},
		{0, []string{"--external-id", "an-id"}},
		{3, []string{"--external-id", "an-id", "--context", "aws:SourceIp=10.1.2.3"}},
		{3, nil},
		{3, []string{"--external-id", "stolen"}},
		{3, []string{"--external-id", "an-id", "--tag", "team=a", "--context", "aws:SourceIp=192.0.2.1"}},
		{2, []string{"--action", "nothing"}},
	} {
		got := c.want(t, question.code, append([]string{"policy", "evaluate", "-f", trust, "--principal", platform}, question.args...)...)
		all.WriteString("$ " + strings.Join(question.args, " ") + "\n" + got.out)
	}
	golden(t, "evaluate", all.String())
	c.want(t, 2, "policy", "evaluate", "-f", trust, "--principal", platform, "--context", "nonsense")
}

func TestABatchAnswersEveryLineInItsPlace(t *testing.T) {
	t.Parallel()
	question := func(id string) string {
		return `{"trustPolicy":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}},` +
			`"principalArn":"arn:aws:iam::111122223333:role/r","externalId":` + id + `,"tags":null,"other":{"ignored":true}}`
	}
	lines := []struct{ line, decision string }{
		{question(`"x"`), "allow"},
		{question(`null`), "implicit-deny"},
		{strings.Repeat("x", 5<<20), "invalid"}, // more than fits into any buffer
		{question(`"x"`) + "\r", "allow"},
		{"", "invalid"},
		{`{"principalArn":7}`, "invalid"},
		{strings.Replace(question(`"x"`), `"tags":null`, `"tags":{}`, 1), "implicit-deny"}, // TagSession, too
		{"\xff", "invalid"},
		{question(`"X"`), "implicit-deny"}, // without a line end
	}
	var in []string
	for _, l := range lines {
		in = append(in, l.line)
	}
	c := &cli{stdin: strings.Join(in, "\n")}
	got := strings.Split(strings.TrimSuffix(c.want(t, 0, "policy", "evaluate", "--batch").out, "\n"), "\n")
	if len(got) != len(lines) {
		t.Fatalf("%d answers to %d lines", len(got), len(lines))
	}
	for n, l := range lines {
		var a struct {
			Decision  string
			Statement *int
			Findings  []any
		}
		if err := json.Unmarshal([]byte(got[n]), &a); err != nil || a.Decision != l.decision || a.Findings == nil || (a.Statement != nil) != (a.Decision == "allow") {
			t.Errorf("line %d: got %.200s, want %s", n+1, got[n], l.decision)
		}
	}
}

func TestEveryVerbHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	c := &cli{}
	for _, verb := range []string{
		"pi create", "pi list", "pi describe", "pi update", "pi validate", "pi report", "pi rotate-external-id", "pi delete", "connector bind", "connector unbind",
		"connector list", "connector describe", "connector rotate-token", "credentials", "topics apply", "organization create", "organization configure", "policy lint", "policy evaluate", "policy render",
	} {
		if got := c.want(t, 0, append(strings.Fields(verb), "--help")...); !strings.Contains(got.out, "Examples:") {
			t.Errorf("%s: got %s", verb, got.out)
		}
	}
	if got := c.want(t, 0, "version"); !strings.HasPrefix(got.out, "rolebridge ") {
		t.Errorf("got %q", got.out)
	}
}

func TestAConnectorWithoutATokenThatWorksIsToldSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of   wire.Connector
		want string
	}{
		{wire.Connector{}, "none works any more: rolebridge connector rotate-token"},
		{wire.Connector{Workloads: []integration.Workload{{SPIFFE: "spiffe://acme.example/sink"}}}, ""},
	} {
		if rows := connectorRows(c.of); !slices.Contains(rows, row{"Tokens", c.want}) {
			t.Errorf("of %+v: got %v, want %q of its tokens", c.of, rows, c.want)
		}
	}
}

package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

func TestAnErrorNamesWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	draft := read[shown](t, c.want(t, 0, "pi", "create", "drafted", "-o", "json"))
	for _, one := range []struct{ want, args string }{
		{"--customer-role-arn: want", "pi create x --customer-role-arn arn:aws:iam::1:role/x"},
		{"--gcp-service-account: is AwsIntegrationConfig and cannot change", "pi update " + draft.ID + " --gcp-service-account x@y.iam.gserviceaccount.com"},
		{"--environment: want", "pi create x --environment -"},
		{"<name>: has 61 characters", "pi create " + strings.Repeat("x", 61)},
		{"--cloud: ", "pi create x --cloud other"},
		{"--cloud: want aws, gcp or azure", "pi list --cloud other"},
		{"--resource s3://lake/p:own: want one of", "connector bind " + i.ID + " lcc-1 --resource s3://lake/p:read --resource s3://lake/p:own"},
		{"--oidc issuer=http://i,audience=a,subject=s: want an https URL", "connector bind " + i.ID + " lcc-1 --spiffe spiffe://a.b/c --oidc issuer=http://i,audience=a,subject=s"},
		{"--spiffe x: want spiffe://", "connector bind " + i.ID + " lcc-1 --oidc issuer=https://i.example,audience=a,subject=s --spiffe x"},
		{"--token-expires-in: is more than ten years away", "connector bind " + i.ID + " lcc-1 --token-expires-in 11y"},
		{"--overlap: want 0 to", "connector rotate-token " + i.ID + " lcc-1 --overlap 8d"},
		{"--crn-pattern: ", "access role-binding create --principal u-1 --role Assigner --crn-pattern x"},
		{"--role: want one of", "access role-binding create --principal u-1 --role Owner"},
		{"--expires-in", "access api-key create u-admin-a --expires-in -1h"},
	} {
		if one.want[:9] == "--overlap" {
			c.want(t, 0, "connector", "bind", i.ID, "lcc-1")
		}
		got := c.want(t, 2, strings.Fields(one.args)...)
		if !strings.Contains(got.err, one.want) || strings.Contains(got.err, "Error: /") {
			t.Errorf("%s: got %q, want %q", one.args, got.err, one.want)
		}
	}
}

func TestEveryErrorShowsItsCodeInTheSameWay(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	p := newPlane(t)
	p.apply(t)
	p.decide(t)
	for text, got := range map[string]result{
		"Error: integration cspi-unknown1 does not exist (not_found)\n":                  c.want(t, 4, "pi", "describe", "cspi-unknown1"),
		"Error: organization org-9 does not exist (not_found)\n":                         p.want(t, 4, "organization", "configure", "org-9", "--quota", "5"),
		"Error: context \"x\" does not exist; see rolebridge context list (not_found)\n": withBook(t).want(t, 4, "context", "use", "x"),
	} {
		if got.err != text {
			t.Errorf("got %q, want %q", got.err, text)
		}
	}
}

func TestAServerThatIsAwayIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + closed.Addr().String()
	_ = closed.Close()
	c := &cli{env: map[string]string{envURL: address, envKey: "K", envSecret: "S", envEnvironment: "e"}}
	for _, args := range [][]string{{"pi", "list"}, {"events", "tail"}} {
		got := c.want(t, 7, args...)
		if !strings.Contains(got.err, "Error: nothing answers at "+address+": connection refused\n") || !strings.Contains(got.err, envURL) || strings.Contains(got.err, "dial tcp") {
			t.Errorf("%v: got %q", args, got.err)
		}
	}
	if got := c.want(t, 7, "credentials", "explain", "cspi-1", "--operations-url", address); !strings.Contains(got.err, "telemetry.listen") {
		t.Errorf("got %q", got.err)
	}
	c.env[envURL] = "http://no-such-host.invalid"
	if got := c.want(t, 7, "pi", "list"); !strings.Contains(got.err, "no-such-host.invalid") || strings.Contains(got.err, "Get ") {
		t.Errorf("got %q", got.err)
	}
}

func TestAnEmptyListOfAnotherEnvironmentSaysThatThereAreOthers(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	create(t, c, "--customer-role-arn", roleARN)
	got := c.want(t, 0, "pi", "list", "--environment", "env-abcdeg")
	if got.out != "None found.\n" || !strings.Contains(got.err, `"env-abcdeg"`) {
		t.Errorf("got %q and %q", got.out, got.err)
	}
	if got := c.want(t, 0, "pi", "list", "--environment", "env-abcdeg", "-o", "json"); got.err != "" {
		t.Errorf("help for people was printed for a machine: %s", got.err)
	}
	if got := at(s, apitest.Other).want(t, 0, "pi", "list"); got.err != "" {
		t.Errorf("there are no others, and got %q", got.err)
	}
}

func TestABindingThatGetsNoCredentialsYetSaysSo(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	good, _ := create(t, c, "--customer-role-arn", roleARN)
	if got := c.want(t, 0, "connector", "bind", good.ID, "lcc-1"); strings.Contains(got.err, "Warning") {
		t.Errorf("got %q", got.err)
	}
	s.Trust(func(integration.TrustAsked) integration.Report {
		return apitest.Report(integration.Check{Name: integration.CheckWithoutID, Outcome: integration.Fail, Reason: "Admitted"})
	})
	bad := read[shown](t, c.want(t, 0, "pi", "create", "x", "--customer-role-arn", roleARN+"2", "-o", "json"))
	got := c.want(t, 0, "connector", "bind", bad.ID, "lcc-1")
	if !strings.Contains(got.err, "gets no credentials yet: trust of "+bad.ID+" is insecure") || !strings.Contains(got.err, "validate "+bad.ID+" --environment env-abcdef --wait") {
		t.Errorf("got %q", got.err)
	}
	if got := c.want(t, 5, "pi", "report", bad.ID); !strings.Contains(got.out, "go on until they expire: an hour at most") {
		t.Errorf("got %q", got.out)
	}
	// In use, and does not work: the status alone would not tell.
	if got := c.want(t, 0, "pi", "list"); !regexp.MustCompile(`\| ACTIVE +\| insecure +\|`).MatchString(got.out) || !regexp.MustCompile(`\| ACTIVE +\| valid +\|`).MatchString(got.out) {
		t.Errorf("got %s", got.out)
	}
	if got := c.want(t, 0, "pi", "describe", bad.ID); !regexp.MustCompile(`\| Trust +\| insecure`).MatchString(got.out) {
		t.Errorf("got %s", got.out)
	}
}

func TestATokenBesideAWorkloadIdentityIsWarnedOf(t *testing.T) {
	t.Parallel()
	c := at(apitest.Serve(t), apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	c.want(t, 0, "connector", "bind", i.ID, "lcc-1", "--oidc", "issuer=https://i.example,audience=a,subject=s")
	for n, want := range []bool{true, false} {
		if got := c.want(t, 0, "connector", "rotate-token", i.ID, "lcc-1"); strings.Contains(got.err, "Warning: connector lcc-1 shows a workload identity") != want {
			t.Errorf("rotation %d: got %q, want a warning: %t", n, got.err, want)
		}
	}
	c.want(t, 4, "connector", "rotate-token", i.ID, "lcc-2")
}

func TestWhatADocumentNeedsIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"final-trust":                             "final-trust as json needs --principal, --external-id",
		"s3-sink":                                 "s3-sink as json needs --bucket",
		"s3-sink --format terraform":              "s3-sink as terraform needs --bucket, --role-name, --policy-name",
		"dynamodb-source --table t":               "dynamodb-source as json needs --region, --account",
		"first-trust --format cli":                "first-trust as cli needs --role-name",
		"s3-sink --bucket No_Bucket":              "bucket: \"No_Bucket\": want",
		"final-trust --external-id x --principal": "flag needs an argument",
	} {
		if got := (&cli{}).want(t, 2, append([]string{"policy", "render"}, strings.Fields(args)...)...); !strings.Contains(got.err, want) {
			t.Errorf("%s: got %q, want %q", args, got.err, want)
		}
	}
}

func TestAnIDThatIsAPathIsRefused(t *testing.T) {
	t.Parallel()
	c := at(apitest.Serve(t), apitest.Admin)
	for _, args := range []string{
		"pi describe ../../x", "pi describe ..", "pi report a/b", "pi delete x?y --force", "connector list ..", "connector describe cspi-12345 ../x",
		"access user describe ../x", "access api-key create a/b",
	} {
		if got := c.want(t, 2, strings.Fields(args)...); !strings.Contains(got.err, "is no id: want <") {
			t.Errorf("%s: got %q", args, got.err)
		}
	}
	c.want(t, 0, "pi", "create", "a name/with: all? of it") // a name is no id
}

func TestAFlagThatIsAlmostRightIsSuggested(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"pi list --enviroment x":  "did you mean --environment?",
		"pi create --thickness x": "see: rolebridge provider-integration create --help",
	} {
		if got := (&cli{}).want(t, 2, strings.Fields(args)...); !strings.Contains(got.err, want) {
			t.Errorf("%s: got %q, want %q", args, got.err, want)
		}
	}
}

func TestTablesFitTheScreenAndAreWholeElsewhere(t *testing.T) {
	t.Parallel()
	i := wire.IntegrationV2{
		ID: "cspi-0123456789abcdef0123456789", DisplayName: "orders", Provider: "aws", Status: "ACTIVE", Trust: integration.TrustValid,
		Environment: wire.EnvironmentV2{ID: "env-abcdef"},
		Config: wire.Config{
			Kind: string(integration.KindAWS), IAMRoleARN: new("arn:aws:iam::111122223333:role/cspi-0123456789abcdef0123456789"),
			ExternalID: new("12345678-2312-4000-a000-001a7b789000"), CustomerIAMRoleARN: new("arn:aws:iam::000000000000:role/path/my-test-aws-role"),
		},
		Usages: []string{
			"crn://rolebridge/organization=org-a/environment=env-abcdef/provider-integration=cspi-0123456789abcdef0123456789/connector=lcc-1",
			"crn://rolebridge/organization=org-a/environment=env-abcdef/provider-integration=cspi-0123456789abcdef0123456789/connector=lcc-2",
		},
	}
	if got := strings.ReplaceAll(broken(i.Config.Customer(), 17), "\n", ""); got != i.Config.Customer() {
		t.Errorf("got %s, want what is broken to be all there", got)
	}
	for _, wide := range []int{0, 110, 120, 160, 400} {
		var many, one bytes.Buffer
		if err := printIntegrations(screen{&many, wide}, human, []wire.IntegrationV2{i}); err != nil {
			t.Fatal(err)
		}
		if err := printIntegration(screen{&one, wide}, human, i, nil); err != nil {
			t.Fatal(err)
		}
		for _, got := range []string{many.String(), one.String()} {
			if got := width(got); wide > 0 && got > wide {
				t.Errorf("on a screen of %d columns: got %d", wide, got)
			}
			if !strings.Contains(got, i.ID) {
				t.Errorf("%d: the id is not whole in\n%s", wide, got)
			}
		}
		if whole := strings.Contains(many.String(), i.Usages[1]); whole != (wide == 0) {
			t.Errorf("%d columns: usages are whole: %t\n%s", wide, whole, many.String())
		}
		if wide == 120 {
			golden(t, "list-120", many.String())
		}
	}
}

func TestNothingIsColouredOrDrawnWithBoxes(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	for _, args := range []string{"pi list", "pi describe " + i.ID, "pi report " + i.ID, "pi history " + i.ID, "--help", "pi --help", "access user list", "quota describe"} {
		got := c.want(t, 0, strings.Fields(args)...)
		for _, r := range got.out + got.err {
			if r == '\x1b' || r >= '\u2500' && r <= '\u259f' {
				t.Errorf("%s: %q is in what was printed", args, r)
				break
			}
		}
	}
}

func TestADeletionCanBeWaitedFor(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	got := c.want(t, 0, "pi", "delete", i.ID, "--force", "--wait")
	if !strings.Contains(got.err, "no connector gets credentials any more") || !strings.Contains(got.err, "the platform's role is being removed") {
		t.Errorf("got %q", got.err)
	}
	i, _ = create(t, c, "--customer-role-arn", roleARN)
	s.Mapping(func(integration.MappingAsked) integration.Finding { return nil }) // never removed
	if got := c.want(t, 7, "pi", "delete", i.ID, "--force", "--wait", "--wait-timeout", "300ms"); !strings.Contains(got.err, "not removed yet") || got.out != "" {
		t.Errorf("got %q and %q", got.out, got.err)
	}
}

func TestTheVersionIsAFlagToo(t *testing.T) {
	t.Parallel()
	if verb, flag := (&cli{}).want(t, 0, "version"), (&cli{}).want(t, 0, "--version"); verb.out != flag.out || !strings.HasPrefix(verb.out, "rolebridge ") {
		t.Errorf("got %q and %q", verb.out, flag.out)
	}
}

func TestASuggestionIsOneThatHelps(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	create(t, c, "--customer-role-arn", roleARN)
	if got := c.want(t, 3, "quota", "update", "--provider-integrations", "5"); !strings.Contains(got.err, "organization configure <organization> --quota") || strings.Contains(got.err, "Ask an administrator") {
		t.Errorf("a quota: got %q", got.err)
	}
	c.want(t, 0, "access", "user", "list")
	if got := at(s, apitest.Stranger).want(t, 3, "access", "user", "create", "x"); !strings.Contains(got.err, "Ask an administrator") {
		t.Errorf("anything else: got %q", got.err)
	}

	of := map[string]string{
		"ROLEBRIDGE_KEY and ROLEBRIDGE_SECRET": "", "--key-file ": file(t, "key", apitest.Admin+":wrong"), "the context prod": "",
	}
	for from, flag := range of {
		wrong := at(s, apitest.Admin)
		wrong.env[envSecret], wrong.env[envContexts] = "wrong", filepath.Join(t.TempDir(), "config.yaml")
		args := []string{"pi", "list"}
		switch {
		case flag != "":
			args = append(args, "--key-file", flag)
		case strings.HasPrefix(from, "the context"):
			wrong.want(t, 0, "context", "create", "prod")
			delete(wrong.env, envKey)
			delete(wrong.env, envSecret)
		}
		if got := wrong.want(t, 8, args...); !strings.Contains(got.err, "asked with the API key "+apitest.Admin+" of "+from) || strings.Contains(got.err, "HTTP Basic") {
			t.Errorf("%s: got %q", from, got.err)
		}
	}

	exchanged := at(s, apitest.Admin)
	exchanged.env[envKey], exchanged.env[envSecret] = apitest.Secret, apitest.Admin
	if got := exchanged.want(t, 8, "pi", "list"); strings.Contains(got.err, apitest.Secret) || !strings.Contains(got.err, "the API key of "+envKey) {
		t.Errorf("key and secret exchanged: got %q, want no secret in it", got.err)
	}

	got := c.want(t, 0, "pi", "list", "--cloud", "gcp")
	if want := "Environment \"env-abcdef\" has 1 provider integration, none of gcp; leave --cloud out to list them.\n"; got.err != want || got.out != "None found.\n" {
		t.Errorf("a filter: got %q and %q, want %q", got.out, got.err, want)
	}
	if got := c.want(t, 0, "pi", "list", "--cloud", "gcp", "--environment", "env-other"); !strings.Contains(got.err, "Is that the right environment?") {
		t.Errorf("another environment: got %q", got.err)
	}
}

func TestWhatIsBesideAnEmptyListIsCountedAndNotFetched(t *testing.T) {
	t.Parallel()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if r.URL.Query().Has("provider") {
			_, _ = io.WriteString(w, `{"metadata":{"total_size":0},"data":[]}`)
			return
		}
		_, _ = io.WriteString(w, `{"metadata":{"total_size":70000,"next":"https://h/pim/v2/integrations?page_token=more"},"data":[{"id":"cspi-12345"}]}`)
	}))
	t.Cleanup(s.Close)
	c := &cli{env: map[string]string{envURL: s.URL, envKey: "K", envSecret: "hidden", envEnvironment: "env-1"}}
	got := c.want(t, 0, "pi", "list", "--cloud", "gcp")
	if !strings.Contains(got.err, "has 70000 provider integrations, none of gcp") {
		t.Errorf("got %q", got.err)
	}
	if len(asked) != 2 || asked[1] != "environment=env-1&page_size=1" {
		t.Errorf("asked for %q, want the list and a page of one", asked)
	}
}

func TestWhatGoesBeforeAContextThatWasChosenIsSaid(t *testing.T) {
	t.Parallel()
	c := withBook(t)
	c.env[envURL], c.env[envKey], c.env[envSecret] = "https://one.example.com", "KEY1", "hush-hush"
	c.want(t, 0, "context", "create", "one")
	if got := c.want(t, 0, "context", "use", "one"); got.err != "" {
		t.Errorf("variables that say the same: got %q", got.err)
	}
	c.want(t, 0, "context", "create", "two", "--url", "https://two.example.com")
	got := c.want(t, 0, "context", "use", "two")
	if !strings.Contains(got.err, "Warning: the environment goes before the context") || !strings.HasSuffix(got.err, "--context: ROLEBRIDGE_URL.\n") {
		t.Errorf("another address: got %q", got.err)
	}
	c.env[envSecret], c.env[envContext] = "hush", "one"
	if got := c.want(t, 0, "context", "use", "two"); !strings.HasSuffix(got.err, ": ROLEBRIDGE_CONTEXT, ROLEBRIDGE_URL, ROLEBRIDGE_SECRET.\n") || strings.Contains(got.err, "hush") {
		t.Errorf("all of them: got %q", got.err)
	}
	delete(c.env, envURL)
	delete(c.env, envKey)
	delete(c.env, envSecret)
	delete(c.env, envContext)
	if got := c.want(t, 0, "context", "use", "two"); got.err != "" || got.out != "Using context \"two\".\n" {
		t.Errorf("none: got %q and %q", got.out, got.err)
	}
}

func TestCobrasOwnVerbsRefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"help nonsense":            `unknown command "nonsense" for "rolebridge"`,
		"help pi nonsense":         `unknown command "nonsense" for "rolebridge provider-integration"`,
		"completion foo":           `unknown command "foo" for "rolebridge completion"`,
		"completion bsh":           `did you mean "bash"?`,
		"completion bash nonsense": "the arguments do not fit",
	} {
		if got := (&cli{}).want(t, 2, strings.Fields(args)...); !strings.Contains(got.err, want) || got.out != "" {
			t.Errorf("%s: got %q and %q, want %q", args, got.out, got.err, want)
		}
	}
	for args, want := range map[string]string{
		"help": "Ask the API:", "help pi list": "List provider integrations, by id.", "completion": "zsh", "help completion bash": "source <(rolebridge completion bash)",
	} {
		if got := (&cli{}).want(t, 0, strings.Fields(args)...); !strings.Contains(got.out, want) {
			t.Errorf("%s: got %q, want %q", args, got.out, want)
		}
	}
}

func TestAnErrorWithoutAServerNamesWhatWasTypedToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keyset := filepath.Join(dir, "keyset.json")
	(&cli{}).want(t, 0, "keyset", "create", keyset)
	first, _, _ := strings.Cut((&cli{}).want(t, 0, "keyset", "list", keyset).out, " ")
	trust := file(t, "trust.json", `{"Version":"2012-10-17","Statement":[]}`)
	for _, one := range []struct{ args, want, never string }{
		{"signing-key create " + dir + "/k --actor u-1", "Error: --name", "signers"},
		{"signing-key create " + dir + "/k --name a", "Error: --actor: empty", "signers"},
		{"signing-key create " + dir + "/k --name a --actor u-1 --organization *x", "Error: --organization", "signers"},
		{"keyset promote " + keyset + " 1", "has no key 1; see keyset list", "Manager"},
		{"keyset remove " + keyset + " 1", "has no key 1; see keyset list", "Manager"},
		{"keyset remove " + keyset + " " + first, "stays until another does: rolebridge keyset promote", "Manager"},
		{"policy evaluate " + trust + " --principal x", "Error: --principal: ", "principalArn"},
	} {
		if got := (&cli{}).want(t, 2, strings.Fields(one.args)...); !strings.Contains(got.err, one.want) || strings.Contains(got.out+got.err, one.never) {
			t.Errorf("%s: got %q and %q, want %q", one.args, got.out, got.err, one.want)
		}
	}
}

func TestAKafkaThatIsAwayIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	c := &cli{env: map[string]string{envBrokers: "127.0.0.1:1"}}
	for _, args := range []string{"dlq list", "dlq show 1@1", "topics apply", "state export " + filepath.Join(t.TempDir(), "s"), "bootstrap o --admin u"} {
		got := c.want(t, 7, strings.Fields(args)...)
		if !strings.HasPrefix(got.err, "Error: kafka: ") || !strings.Contains(got.err, "They are those of --brokers, KAFKA_BROKERS or kafka.brokers") {
			t.Errorf("%s: got %q", args, got.err)
		}
	}
	for args, want := range map[string]string{"--prefix " + strings.Repeat("x", 101): "topics.prefix", "--partitions 0": "topics.partitions"} {
		if got := c.want(t, 2, append([]string{"dlq", "list"}, strings.Fields(args)...)...); !strings.Contains(got.err, want) {
			t.Errorf("%s: got %q, want %q", args, got.err, want)
		}
	}
}

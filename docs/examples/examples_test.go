package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

const (
	administrator = "u-admin"
	// patience is for a machine that is very busy: most answers come within a second.
	patience = 2 * time.Minute
)

// installation is a set of topics on a real Kafka, and a decider.
type installation struct {
	t      *testing.T
	topics events.Topics
	codec  *events.Codec // of the platform's own commands
	kafka  string
	cl     *kgo.Client
}

// install makes one; proof is the decider's, and client says how it reaches Kafka.
func install(t *testing.T, prefix string, seeds []string, proof lifecycle.Proof, client ...kgo.Opt) *installation {
	t.Helper()
	in := &installation{t: t, topics: events.Topics{Prefix: prefix, Partitions: 4}, kafka: strings.Join(seeds, ",")}
	client = append(client, kgo.SeedBrokers(seeds...))
	var err error
	in.codec, err = events.NewCodec(in.topics)
	in.must(err)
	in.cl, err = kgo.NewClient(append(slices.Clone(client), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	in.must(err)
	t.Cleanup(in.cl.Close)
	_, err = events.Apply(t.Context(), kadm.NewClient(in.cl), in.topics, 1)
	in.must(err)

	c := lifecycle.Defaults()
	c.Topics, c.Client, c.Instance = in.topics, client, "a"
	c.Proof = proof
	w, err := lifecycle.New(c, in.codec, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	in.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			in.must(err)
		case <-time.After(patience):
			t.Error("the decider does not stop")
		}
	})
	return in
}

func (in *installation) must(err error) {
	in.t.Helper()
	if err != nil {
		in.t.Fatal(err)
	}
}

// found makes an organization that may have one integration.
func (in *installation) found(o integration.OrganizationID) {
	in.t.Helper()
	one := 1
	for id, ask := range []integration.Ask{integration.CreateOrganization{Admin: administrator}, integration.ConfigureOrganization{IntegrationQuota: &one}} {
		r, err := in.codec.CommandRecord(integration.Command{
			Source: "/test", ID: strconv.Itoa(id), Organization: o, Actor: "platform:test", Time: time.Now(), Ask: ask,
		})
		in.must(err)
		in.must(in.cl.ProduceSync(in.t.Context(), r).FirstErr())
	}
}

// records reads everything committed on a topic so far.
func (in *installation) records(topic string) (all []*kgo.Record) {
	in.t.Helper()
	for p := range in.topics.Partitions {
		_, err := events.Replay(in.t.Context(), in.cl, topic, p, func(r *kgo.Record) error {
			all = append(all, r)
			return nil
		})
		in.must(err)
	}
	return all
}

// answers are the events that answer a command.
func (in *installation) answers(o integration.OrganizationID, source, id string) (all []integration.Event) {
	in.t.Helper()
	for _, r := range in.records(in.topics.Events()) {
		e, err := in.codec.Event(r)
		in.must(err)
		if e.Organization == o && e.Answers != nil && e.Answers.Source == source && e.Answers.ID == id {
			all = append(all, e)
		}
	}
	return all
}

// example is one of the programs.
type example struct {
	name    string
	file    string
	command func(t *testing.T) []string
	// home says whether its Kafka client finds an organization's partition as Java's does.
	home bool
}

// library is the partition that librdkafka chooses for a key (CRC-32), which kcat and Python's client are made of.
func library(o integration.OrganizationID, partitions int32) int32 {
	return int32(crc32.ChecksumIEEE([]byte(o)) % uint32(partitions))
}

func all() []example {
	return []example{
		{"go", "go/main.go", func(t *testing.T) []string {
			t.Helper()
			program := filepath.Join(t.TempDir(), "example")
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./go").CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			return []string{program}
		}, true},
		{"python", "python/create_integration.py", func(t *testing.T) []string {
			t.Helper()
			return []string{testenv.PythonKit(t), "python/create_integration.py"}
		}, false},
		{"java", "java/CreateIntegration.java", func(t *testing.T) []string {
			t.Helper()
			kit, classes := testenv.JavaKit(t), t.TempDir()
			compile := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(kit.Java), "javac"), "-cp", kit.Jars+"/*", "-d", classes, "java/CreateIntegration.java")
			if out, err := compile.CombinedOutput(); err != nil {
				t.Fatalf("compile: %v\n%s", err, out)
			}
			return []string{kit.Java, "-XX:TieredStopAtLevel=1", "-cp", kit.Jars + "/*:" + classes, "CreateIntegration"}
		}, true},
		{"kcat", "kcat/create-integration.sh", func(t *testing.T) []string {
			t.Helper()
			testenv.Kcat(t)
			testenv.JQ(t)
			testenv.OpenSSL(t)
			return []string{"bash", "kcat/create-integration.sh"}
		}, false},
	}
}

// outcome is how a program ended.
type outcome struct {
	exit     int
	out, err string
}

// run runs an example to its end.
func (in *installation) run(argv, env []string, args ...string) outcome {
	in.t.Helper()
	ctx, cancel := context.WithTimeout(in.t.Context(), patience+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:len(argv):len(argv)], args...)...)
	cmd.Env = append(append(os.Environ(), "KAFKA_BROKERS="+in.kafka, "ROLEBRIDGE_PREFIX="+in.topics.Prefix, "ROLEBRIDGE_ACTOR="+administrator,
		"ANSWER_WITHIN="+strconv.Itoa(int(patience.Seconds()))), env...)
	cmd.WaitDelay = 5 * time.Second
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	err := cmd.Run()
	exit := &exec.ExitError{}
	if err != nil && !errors.As(err, &exit) {
		in.t.Fatalf("%q: %v\n%s", argv, err, told.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), strings.TrimSpace(out.String()), strings.TrimSpace(told.String())}
}

const role = "arn:aws:iam::000000000001:role/orders"

func TestEveryExampleAsksAndGetsItsAnswer(t *testing.T) {
	in := install(t, testenv.Prefix(t), testenv.Kafka(t), nil)
	for _, e := range all() {
		t.Run(e.name, func(t *testing.T) {
			in := *in
			in.t = t
			in.asks(e)
		})
	}
	in.validate()
}

// asks lets an example ask for what is granted, for the same again, and for what is refused.
func (in *installation) asks(e example) {
	t, argv := in.t, e.command(in.t)
	t.Helper()
	organization := in.organization(e)
	in.found(organization)
	o, source := string(organization), "/examples/"+e.name

	first := in.run(argv, []string{"COMMAND_ID=c-1"}, o, "env-1", `or"ders, ä`, role)
	answers := in.answers(organization, source, "c-1")
	if len(answers) != 1 {
		t.Fatalf("%d events answer the command, want one; the program said %+v", len(answers), first)
	}
	made, ok := answers[0].Fact.(integration.Created)
	if want := fmt.Sprint(answers[0].Integration, " ", made.ExternalID); !ok || first.exit != 0 || first.out != want || made.Name != `or"ders, ä` {
		t.Errorf("the program said %+v and made %+v, want exit 0 and %q", first, made, want)
	}
	if again := in.run(argv, []string{"COMMAND_ID=c-1"}, o, "env-1", `or"ders, ä`, role); again.exit != 0 || again.out != first.out || len(in.answers(organization, source, "c-1")) != 1 {
		t.Errorf("a retry said %+v, the first attempt %+v; want the same answer, given once", again, first)
	}
	for _, c := range []struct {
		args  []string
		code  integration.Code
		field string
	}{
		{[]string{o, "env-1", "orders", role + "-2"}, integration.CodeQuota, ""},
		{[]string{o, "env-1", "orders", role}, integration.CodeExists, "/config/customer_iam_role_arn"},
		{[]string{o, "env-1", "orders", "arn:aws:iam::1:role/x-x-x-x-x"}, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		{[]string{o + "-unknown", "env-1", "orders", role}, integration.CodeNotFound, ""},
	} {
		got := in.run(argv, nil, c.args...)
		if begin := fmt.Sprintf("refused: %s: %s ", c.code, c.field); got.exit != c.code.Answer().Exit || got.out != "" || !strings.Contains(got.err, begin) {
			t.Errorf("%q: got %+v, want exit %d and %q", c.args, got, c.code.Answer().Exit, begin)
		}
	}
	in.unread(e, argv, organization)
	in.arrived(e, organization)
}

// organization is one whose partition the example's client does not find by itself, if there are such for it.
func (in *installation) organization(e example) integration.OrganizationID {
	for n := 0; ; n++ {
		if o := integration.OrganizationID(fmt.Sprintf("org-%s-%d", e.name, n)); library(o, in.topics.Partitions) != in.topics.Home(o) {
			return o
		}
	}
}

// unread lets an example send what no reader can read: nobody answers, and the record is where the page says.
func (in *installation) unread(e example, argv []string, o integration.OrganizationID) {
	t := in.t
	t.Helper()
	got := in.run(argv, []string{"COMMAND_ID=c-long", "ANSWER_WITHIN=2"}, string(o), "env-1", strings.Repeat("x", 5000), role)
	if got.exit != integration.CodeTimeout.Answer().Exit || !strings.Contains(got.err, "try again with COMMAND_ID=c-long, or look into "+in.topics.Prefix+"dlq") {
		t.Errorf("what cannot be read ended with %+v", got)
	}
	polltest.Until(t, "a dead letter of "+e.name+" names /display_name", func() bool {
		return slices.ContainsFunc(in.records(in.topics.DeadLetters()), func(r *kgo.Record) bool {
			h := headers(r)
			return string(r.Key) == string(o) && h[events.HeaderTopic] == in.topics.Commands() && strings.Contains(h[events.HeaderReason], "/display_name")
		})
	})
}

// arrived looks where the example's commands came, and that those which came elsewhere were sent on.
func (in *installation) arrived(e example, o integration.OrganizationID) {
	t := in.t
	t.Helper()
	at := map[int32]int{}
	for _, r := range in.records(in.topics.Commands()) {
		if string(r.Key) == string(o) && !bytes.Contains(r.Value, []byte("organization")) || headers(r)["content-type"] == "application/cloudevents+json" && string(r.Key) == string(o) {
			at[r.Partition]++
		}
	}
	home, elsewhere := at[in.topics.Home(o)], at[library(o, in.topics.Partitions)]
	if e.home != (elsewhere == 0) || home == 0 || !e.home && elsewhere < 5 {
		t.Errorf("%d commands came to the home partition, %d to where librdkafka puts them", home, elsewhere)
	}
}

func headers(r *kgo.Record) map[string]string {
	all := map[string]string{}
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

// claim is a question to the foreign validator.
type claim struct {
	As     string          `json:"as"`
	Record json.RawMessage `json:"record"`
}

// validate lets a validator that is not ours compare all that went over Kafka with the published bundle.
func (in *installation) validate() {
	t := in.t
	t.Helper()
	var claims []claim
	for _, topic := range []string{"commands", "events"} {
		for _, r := range in.records(in.topics.Prefix + topic) {
			record := json.RawMessage(r.Value)
			if h := headers(r); h["content-type"] != "application/cloudevents+json" {
				e := map[string]any{"data": record, "datacontenttype": h["content-type"]}
				for name, value := range h {
					if name, ok := strings.CutPrefix(name, "ce_"); ok {
						e[name] = value
					}
				}
				var err error
				record, err = json.Marshal(e)
				in.must(err)
			}
			if len(record) > 5000 { // what went to the dead letters
				continue
			}
			claims = append(claims, claim{topic, record}, claim{"", record})
		}
	}
	if len(claims) < 100 {
		t.Errorf("%d records are few", len(claims)/2)
	}
	for n, said := range in.validated(claims) {
		if said != "true" {
			t.Errorf("%s as %q: %s", claims[n].Record, claims[n].As, said)
		}
	}
}

// validated says of each claim "true", or what is wrong with it.
func (in *installation) validated(claims []claim) []string {
	t := in.t
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "schemas.json")
	in.must(os.WriteFile(bundle, events.SchemaBundle(), 0o600))
	var questions bytes.Buffer
	for _, c := range claims {
		in.must(json.NewEncoder(&questions).Encode(c))
	}
	cmd := exec.CommandContext(t.Context(), testenv.PythonKit(t), "testdata/validate.py", bundle)
	cmd.Stdin = &questions
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("validate: %v\n%s", err, told.String())
	}
	said := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(said) != len(claims) {
		t.Fatalf("%d answers to %d questions", len(said), len(claims))
	}
	return said
}

func TestAForeignValidatorRefusesWhatTheBundleForbids(t *testing.T) {
	t.Parallel()
	in := &installation{t: t}
	good := `{"specversion":"1.0","id":"1","source":"/s","type":"integration.create","organization":"o","actor":"a","data":{"environment":"e","display_name":"n","config":{"kind":"k"}}}`
	claims := []claim{{"commands", json.RawMessage(good)}, {"integration.create", json.RawMessage(`{"environment":"e","display_name":"n","config":{"kind":"k"}}`)}}
	want := len(claims)
	for _, change := range [][2]string{
		{`"integration.create"`, `"integration.created"`},
		{`"integration.create"`, `"integration.delete"`},
		{`"organization":"o",`, ``},
		{`"kind":"k"`, `"kind":"k","other":1`},
		{`"display_name":"n",`, ``},
		{`"actor":"a"`, `"actor":"a","time":"yesterday"`},
	} {
		claims = append(claims, claim{"commands", json.RawMessage(strings.Replace(good, change[0], change[1], 1))})
	}
	for n, said := range in.validated(claims) {
		if (said == "true") != (n < want) {
			t.Errorf("%s as %s: the validator says %s", claims[n].Record, claims[n].As, said)
		}
	}
}

func TestEveryExampleKnowsTheExitCodeOfEveryReason(t *testing.T) {
	t.Parallel()
	for _, e := range all() {
		text, err := os.ReadFile(e.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range integration.Codes() {
			found := regexp.MustCompile(`\b` + string(code) + `\W{1,4}(\d+)`).FindSubmatch(text)
			if want := strconv.Itoa(code.Answer().Exit); len(found) < 2 || string(found[1]) != want {
				t.Errorf("%s says %q of %s, want %s", e.file, found, code, want)
			}
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

func TestAKeyIsMadeRegisteredAndSignsWhatIsRequiredToBeSigned(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.apply(t)
	file := filepath.Join(t.TempDir(), "plane.pem")
	made := p.want(t, 0, "signing-key", "create", file, "--name", "plane", "--actor", "platform:cli", "--source", platformSource)
	signers, err := signature.ParseSigners([]byte(made.out))
	if err != nil {
		t.Fatalf("what is printed is no file of signers: %v\n%s", err, made.out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v; want mode 0600", info, err)
	}
	if got := p.want(t, 5, "signing-key", "create", file, "--name", "plane", "--actor", "platform:cli"); !strings.Contains(got.err, "never overwritten") {
		t.Errorf("a second time: %s", got.err)
	}
	p.decide(t, func(c *lifecycle.Config) {
		c.Proof = signature.Policy{Required: true, Signers: func() *signature.Signers { return signers }}
	})
	if got := p.want(t, 8, "organization", "create", "org-1", "--admin", "u-admin"); !strings.Contains(got.err, "has no signature") || !strings.Contains(got.err, "one of platform:cli. Set --signing-key") {
		t.Errorf("unsigned: %s", got.err)
	}
	if got := p.want(t, 0, "organization", "create", "org-1", "--admin", "u-admin", "--signing-key", file); got.out != "org-1: organization.created, version 1\n" {
		t.Errorf("signed: %s%s", got.out, got.err)
	}
	if got := p.want(t, 0, "bootstrap", "org-2", "--admin", "u-admin", "--signing-key", file); !strings.Contains(got.out, "org-2") {
		t.Errorf("signed: %s%s", got.out, got.err)
	}
	if got := p.want(t, 0, "bootstrap", "--help"); !strings.Contains(got.out, "acts as "+string(platformActor)) || !strings.Contains(got.out, "--actor "+string(platformActor)) {
		t.Errorf("bootstrap does not say as whom it asks: %s", got.out)
	}
	if got := p.want(t, 0, "signing-key", "show", file, "-o", "json"); !strings.Contains(made.out, jsonField(t, got.out, "public_key")) {
		t.Errorf("show: %s is not what was registered:\n%s", got.out, made.out)
	}
	for _, wrong := range []string{
		"create x.pem --actor u-1", "create x.pem --name a", "show " + file + "x", "sign " + file, "create",
	} {
		if got := p.want(t, 2, append([]string{"signing-key"}, strings.Fields(wrong)...)...); got.out != "" {
			t.Errorf("%s: printed %s", wrong, got.out)
		}
	}
	p.stdin = `{"specversion": "1.0", "time": "2026-01-01T00:00:00Z", "id": "c-1", "data": {"b": 1, "a": 2}}`
	signed := p.want(t, 0, "signing-key", "sign", file)
	if !strings.Contains(signed.out, `"data":{"a":2,"b":1}`) || len(jsonField(t, signed.out, "signature")) != 86 {
		t.Errorf("sign: %s", signed.out)
	}
}

func jsonField(t *testing.T, text, name string) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	value, _ := all[name].(string)
	return value
}

// makesKey is a line of the docs, or of a help, that makes a key.
var makesKey = regexp.MustCompile("signing-key create \\S+\\.pem((?: --[a-z]+ [^ `\"\n]+)+)")

func TestEveryKeyThatTheDocsMakeHasItsSourceToItself(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md")) // CLI.md has all helps
	if err != nil {
		t.Fatal(err)
	}
	dir, asPlatform, asAPI := t.TempDir(), 0, 0
	for _, page := range append(pages, filepath.Join("..", "..", "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range makesKey.FindAllStringSubmatch(string(text), -1) {
			flags := strings.Fields(strings.ReplaceAll(line[1], "'", ""))
			if !slices.Contains(flags, "--source") {
				t.Errorf("%s: a key without a list of sources: %s", page, line[0])
				continue
			}
			file := filepath.Join(dir, fmt.Sprint(filepath.Base(page), n))
			signers, err := signature.ParseSigners([]byte((&cli{}).want(t, 0, append([]string{"signing-key", "create", file}, flags...)...).out))
			if err != nil {
				t.Fatalf("%s: %v", line[0], err)
			}
			key, err := signature.ReadKey(file)
			if err != nil {
				t.Fatal(err)
			}
			if signers.Speaks(key.Public(), platformActor) {
				asPlatform++
				if !signers.WritesAs(key.Public(), platformSource) {
					t.Errorf("%s: %s cannot send what the verbs do", page, line[0])
				}
			}
			if signers.Speaks(key.Public(), "u-any") {
				asAPI++
				if !signers.WritesAs(key.Public(), events.SourceAPI) {
					t.Errorf("%s: %s cannot send what the api does", page, line[0])
				}
			}
		}
	}
	if asPlatform < 2 || asAPI < 1 {
		t.Errorf("found %d lines for the verbs and %d for the api, want 2 and 1 at least", asPlatform, asAPI)
	}
}

// twice answers the one command that comes: first that its producer is not proved, as when somebody else writes a command under
// its id, and then as what it is.
func (p *plane) twice(t *testing.T) {
	t.Helper()
	codec, err := events.NewCodec(p.topics)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(p.seeds, kgo.ConsumeTopics(p.topics.Commands()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, r := range cl.PollFetches(t.Context()).Records() {
			cmd, err := codec.Command(r)
			if err != nil {
				t.Error(err)
				return
			}
			answer := integration.Event{Organization: cmd.Organization, Time: time.Now(), Answers: &integration.Asked{Source: cmd.Source, ID: cmd.ID}}
			for _, fact := range []integration.Fact{
				integration.Refused{Command: cmd.Ask.Type(), Refusal: *integration.Refuse(integration.CodeUnproved, "forged")},
				integration.OrganizationCreated{Admin: "u-admin", IntegrationQuota: 100},
			} {
				answer.Fact = fact
				if fact.Type() == "organization.created" {
					answer.Version = 1
				}
				e, err := codec.EventRecord(answer)
				if err == nil {
					err = cl.ProduceSync(t.Context(), e).FirstErr()
				}
				if err != nil {
					t.Error(err)
				}
			}
		}
	}()
	t.Cleanup(func() { cl.Close(); <-done })
}

func TestAForgedCommandUnderTheSameIDIsNotTakenForTheAnswer(t *testing.T) {
	t.Parallel()
	for _, signed := range []bool{true, false} {
		p := newPlane(t)
		p.apply(t)
		p.twice(t)
		args := []string{"organization", "create", "org-1", "--admin", "u-admin"}
		if !signed { // then it is an answer like any other
			p.want(t, 8, args...)
			continue
		}
		file := filepath.Join(t.TempDir(), "plane.pem")
		p.want(t, 0, "signing-key", "create", file, "--name", "plane", "--actor", "platform:cli")
		p.want(t, 0, append(args, "--signing-key", file)...)
	}
}

func TestAKeyIsRegisteredForTheOrganizationsAndSourcesThatAreNamed(t *testing.T) {
	t.Parallel()
	c, dir := &cli{}, t.TempDir()
	made := c.want(t, 0, "signing-key", "create", filepath.Join(dir, "a"), "--name", "a", "--actor", "u-1", "--organization", "org-1", "--organization", "team-*", "--source", "/plane/*")
	if !strings.Contains(made.out, "organizations:\n        - org-1\n        - team-*\n      sources:\n        - /plane/*\n") {
		t.Errorf("got %s", made.out)
	}
	if _, err := signature.ParseSigners([]byte(made.out)); err != nil {
		t.Error(err)
	}
	if made := c.want(t, 0, "signing-key", "create", filepath.Join(dir, "b"), "--name", "b", "--actor", "u-1"); strings.Contains(made.out, "organizations") || strings.Contains(made.out, "sources") {
		t.Errorf("got %s, want none named, which is all", made.out)
	}
	c.want(t, 2, "signing-key", "create", filepath.Join(dir, "c"), "--name", "c", "--actor", "u-1", "--organization", "*x*")
	c.want(t, 2, "signing-key", "create", filepath.Join(dir, "d"), "--name", "d", "--actor", "u-1", "--source", "*")
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("got %v, %v, want two keys and nothing else", left, err)
	}
}

package signature_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/integration"
)

var (
	topics = events.Topics{Prefix: "t.", Partitions: 4}
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// producer writes signed commands, and deciders know its key.
type producer struct {
	t      testing.TB
	key    signature.Key
	plain  *events.Codec
	codec  *events.Codec
	policy signature.Policy
}

func newProducer(t testing.TB, actors ...string) *producer {
	t.Helper()
	codec, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	key := signature.NewKey()
	p := &producer{t: t, key: key, plain: codec, codec: codec.Signing(key)}
	p.register(actors, nil)
	return p
}

func (p *producer) register(actors, organizations []string) {
	p.t.Helper()
	text, err := json.Marshal(map[string]any{"signers": []any{map[string]any{ // JSON is YAML
		"name": "orders-plane", "public_key": p.key.Public().String(), "actors": actors, "organizations": organizations,
	}}})
	if err != nil {
		p.t.Fatal(err)
	}
	signers, err := signature.ParseSigners(text)
	if err != nil {
		p.t.Fatal(err)
	}
	p.policy = signature.Policy{Required: true, Signers: func() *signature.Signers { return signers }}
}

func asked() integration.Command {
	return integration.Command{
		Source: "/plane", ID: "c-1", Organization: "org-1", Actor: "u-admin", Time: now,
		Ask: integration.Create{Environment: "env-1", Name: "orders & <co> é", Config: integration.Config{Kind: integration.KindAWS}},
	}
}

func (p *producer) record(cmd integration.Command) *kgo.Record {
	p.t.Helper()
	r, err := p.codec.CommandRecord(cmd)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// check reads a record as a decider does, and judges it.
func (p *producer) check(r *kgo.Record) *integration.Refusal {
	p.t.Helper()
	cmd, err := p.plain.Command(r)
	if err != nil {
		p.t.Fatalf("the record is no command: %v", err)
	}
	return p.policy.Check(r, cmd, now)
}

// in is the producer in a subtest.
func (p *producer) in(t *testing.T) *producer {
	of := *p
	of.t = t
	return &of
}

func (p *producer) refused(r *kgo.Record, why string) {
	p.t.Helper()
	switch refusal := p.check(r); {
	case refusal == nil:
		p.t.Errorf("the command counts; want a refusal: %s", why)
	case refusal.Code != integration.CodeUnproved || !strings.Contains(refusal.Message, why):
		p.t.Errorf("refused with %v; want %s with %q", refusal, integration.CodeUnproved, why)
	}
}

// structured is the same event in structured mode, written as no canonical form would be.
func structured(t testing.TB, r *kgo.Record) *kgo.Record {
	t.Helper()
	text, err := events.Document(r)
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, text, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{
		Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: pretty.Bytes(),
		Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=utf-8")}},
	}
}

func TestASignedCommandCountsInBothModes(t *testing.T) {
	t.Parallel()
	p := newProducer(t, "u-admin")
	r := p.record(asked())
	if refusal := p.check(r); refusal != nil {
		t.Errorf("binary: %v", refusal)
	}
	if refusal := p.check(structured(t, r)); refusal != nil {
		t.Errorf("structured: %v", refusal)
	}
	// What Kafka clients and tracing add is nobody's claim.
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")})
	if refusal := p.check(r); refusal != nil {
		t.Errorf("with a trace: %v", refusal)
	}
}

func TestASignedEventOfAnotherToolCounts(t *testing.T) {
	t.Parallel()
	p := newProducer(t, "u-admin")
	unsigned, err := p.plain.CommandRecord(asked())
	if err != nil {
		t.Fatal(err)
	}
	r := structured(t, unsigned)
	for range 2 { // a second time signs anew
		if r.Value, err = p.key.SignEvent(r.Value); err != nil {
			t.Fatal(err)
		}
	}
	if refusal := p.check(r); refusal != nil {
		t.Error(refusal)
	}
	for _, text := range []string{"", "[]", "1", `{"a":1,"a":2}`, "{", `{"id":"no time"}`} {
		if out, err := p.key.SignEvent([]byte(text)); err == nil {
			t.Errorf("signed %q as %s, want an error", text, out)
		}
	}
}

// The signature in testdata was made by openssl from the bytes of RFC 8785 that another library made; see its README.
func TestASignatureOfOpenSSLCounts(t *testing.T) {
	t.Parallel()
	value, err := os.ReadFile("testdata/signed.json")
	if err != nil {
		t.Fatal(err)
	}
	signers, err := os.ReadFile("testdata/signers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := newProducer(t, "u-admin")
	known, err := signature.ParseSigners(signers)
	if err != nil {
		t.Fatal(err)
	}
	p.policy.Signers = func() *signature.Signers { return known }
	r := &kgo.Record{Value: value, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}}
	if refusal := p.check(r); refusal != nil {
		t.Error(refusal)
	}
}

func TestWhateverIsChangedAfterSigningIsRefused(t *testing.T) {
	p := newProducer(t, "*")
	const why = "is not that of this command"
	headers := p.record(asked()).Headers
	for n, h := range headers {
		name, ok := strings.CutPrefix(h.Key, "ce_")
		if !ok || name == "specversion" || name == "signature" || name == "signaturekey" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := p.in(t)
			r := p.record(asked())
			changed := map[string]string{"type": "organization.configure", "time": now.Add(time.Second).Format(time.RFC3339Nano)}[name]
			if changed == "" {
				changed = string(h.Value) + "x"
			}
			if name == "type" {
				r.Value = []byte("{}")
			}
			r.Headers[n].Value = []byte(changed)
			p.refused(r, why)
		})
	}
	t.Run("an attribute more", func(t *testing.T) {
		p := p.in(t)
		r := p.record(asked())
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_subject", Value: []byte("cspi-other1")})
		p.refused(r, why)
	})
	t.Run("data", func(t *testing.T) {
		p := p.in(t)
		r := p.record(asked())
		r.Value = bytes.Replace(r.Value, []byte("env-1"), []byte("env-2"), 1)
		p.refused(r, why)
	})
	t.Run("white space in the data means nothing", func(t *testing.T) {
		p := p.in(t)
		r := p.record(asked())
		r.Value = append([]byte(" \n"), r.Value...)
		if refusal := p.check(r); refusal != nil {
			t.Error(refusal)
		}
	})
	t.Run("the key's name", func(t *testing.T) {
		p := p.in(t)
		r := p.record(asked())
		setHeader(r, "ce_signaturekey", signature.NewKey().Public().ID())
		p.refused(r, "names no registered key")
	})
	for name, text := range map[string]string{"none": "", "short": "AAAA", "padded": strings.Repeat("A", 86) + "==", "no base64": strings.Repeat("!", 86)} {
		t.Run("a signature that is "+name, func(t *testing.T) {
			p := p.in(t)
			r := p.record(asked())
			setHeader(r, "ce_signature", text)
			p.refused(r, "want the 64 bytes")
		})
	}
	t.Run("another's signature", func(t *testing.T) {
		p := p.in(t)
		r, other := p.record(asked()), asked()
		other.ID = "c-2"
		setHeader(r, "ce_signature", header(p.record(other), "ce_signature"))
		p.refused(r, why)
	})
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func setHeader(r *kgo.Record, key, value string) {
	for n := range r.Headers {
		if r.Headers[n].Key == key {
			r.Headers[n].Value = []byte(value)
		}
	}
}

// Readers may differ in which of two members they take, so one of them could be signed and the other one decided.
func TestAnEventWithANameTwiceIsRefused(t *testing.T) {
	p := newProducer(t, "u-admin")
	for _, member := range []string{`"actor":"platform:x"`, `"data":{}`, `"time":"2026-03-01T12:00:00Z"`} {
		for name, put := range map[string]func(text []byte) []byte{
			"before": func(text []byte) []byte { return append([]byte("{"+member+","), text[1:]...) },
			"behind": func(text []byte) []byte { return append(text[:bytes.LastIndexByte(text, '}')], ","+member+"}"...) },
		} {
			t.Run(member+" "+name, func(t *testing.T) {
				r := structured(t, p.record(asked()))
				r.Value = put(r.Value)
				cmd, err := p.plain.Command(r)
				if err != nil {
					return // a dead letter
				}
				if refusal := p.policy.Check(r, cmd, now); refusal == nil || !strings.Contains(refusal.Message, "canonical form") {
					t.Errorf("got %v, want a refusal", refusal)
				}
			})
		}
	}
}

func TestACommandWithoutASignatureIsRefusedOnlyIfOneIsRequired(t *testing.T) {
	t.Parallel()
	p := newProducer(t, "u-admin")
	plain, err := p.plain.CommandRecord(asked())
	if err != nil {
		t.Fatal(err)
	}
	p.refused(plain, "has no signature")
	p.policy.Required = false
	if refusal := p.check(plain); refusal != nil {
		t.Errorf("none required: %v", refusal)
	}
	forged := p.record(asked())
	forged.Value = bytes.Replace(forged.Value, []byte("env-1"), []byte("env-2"), 1)
	p.refused(forged, "is not that of this command")
	p.policy.Signers = nil
	if refusal := p.check(forged); refusal != nil {
		t.Errorf("without registered keys: %v", refusal)
	}
	p.policy.Required = true
	p.refused(p.record(asked()), "names no registered key")
}

func TestASignerActsOnlyAsWhomItIsRegisteredFor(t *testing.T) {
	for _, c := range []struct {
		actors []string
		actor  integration.Principal
		may    bool
	}{
		{[]string{"u-admin"}, "u-admin", true},
		{[]string{"u-admin"}, "u-admin2", false},
		{[]string{"sa-1", "u-*"}, "u-admin", true},
		{[]string{"sa-*"}, "u-admin", false},
		{[]string{"*"}, "u-admin", true},
		{[]string{"*"}, "platform:plane", false}, // the platform is never meant by accident
		{[]string{"p*"}, "platform:plane", false},
		{[]string{"platform:*"}, "platform:plane", true},
		{[]string{"platform:plane"}, "platform:plane", true},
		{[]string{"platform:plane"}, "platform:plane2", false},
		{[]string{"platform:*"}, "u-admin", false},
	} {
		t.Run(fmt.Sprint(c.actors, " as ", c.actor), func(t *testing.T) {
			p, cmd := newProducer(t, c.actors...), asked()
			cmd.Actor = c.actor
			if c.may {
				if refusal := p.check(p.record(cmd)); refusal != nil {
					t.Error(refusal)
				}
				return
			}
			p.refused(p.record(cmd), "may not act as "+string(c.actor))
		})
	}
	p := newProducer(t, "*")
	p.register([]string{"*"}, []string{"org-2", "eu-*"})
	p.refused(p.record(asked()), "may not act in organization org-1")
	cmd := asked()
	cmd.Organization = "eu-7"
	if refusal := p.check(p.record(cmd)); refusal != nil {
		t.Error(refusal)
	}
}

// Ids are told apart by source: who could name another's source could take that one's ids.
func TestASignerSendsOnlyFromItsOwnSources(t *testing.T) {
	t.Parallel()
	all := map[string]*producer{}
	var entries []signature.Signer
	for name, sources := range map[string][]string{
		"plane": {"/plane"}, "fleet": {"/fleet/*", "/shared"}, "other": {"/shared"}, "rest": nil,
	} {
		p := newProducer(t, "*")
		all[name] = p
		entries = append(entries, signature.Signer{Name: name, PublicKey: p.key.Public().String(), Actors: []string{"*"}, Sources: sources})
	}
	text, err := yaml.Marshal(map[string]any{"signers": entries})
	if err != nil {
		t.Fatal(err)
	}
	signers, err := signature.ParseSigners(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		signer, source string
		may            bool
	}{
		{"plane", "/plane", true},
		{"plane", "/plane/", false}, // only "*" is a beginning
		{"plane", "/Plane", false},
		{"plane", "/fleet/1", false},
		{"plane", "/nobodys", false},
		{"fleet", "/fleet/1", true},
		{"fleet", "/fleet", false},
		{"fleet", "/plane", false},
		{"fleet", "/shared", true},
		{"other", "/shared", true},
		{"rest", "/nobodys", true}, // a list that is absent
		{"rest", "/plane", false},
		{"rest", "/plane2", true},
		{"rest", "/fleet/1", false},
		{"rest", "/shared", false},
	} {
		p, cmd := all[c.signer], asked()
		p.policy.Signers = func() *signature.Signers { return signers }
		cmd.Source = c.source
		if may := signers.WritesAs(p.key.Public(), c.source); may != c.may {
			t.Errorf("%s writes as %s: %t, want %t", c.signer, c.source, may, c.may)
		}
		if !c.may {
			p.refused(p.record(cmd), fmt.Sprintf("signer %s may not send commands of source %q", c.signer, c.source))
		} else if refusal := p.check(p.record(cmd)); refusal != nil {
			t.Errorf("%s as %s: %v", c.signer, c.source, refusal)
		}
	}
	if signers.WritesAs(signature.NewKey().Public(), "/nobodys") {
		t.Error("a key that is not registered may write")
	}
}

// Who may name a source by a beginning could take the ids of the key that has it to itself.
func TestListsOfSourcesThatMeetAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, second string // their sources, and more of the entry
		want          string // "" is none
	}{
		{`[/rolebridge/api]`, `[/roleb*]`, `signers[0].sources: "/rolebridge/api" of "first" is within "/roleb*" of "second" (signers[1])`},
		{`[/other, "/roleb*"]`, `[/rolebridge/api]`, `signers[1].sources: "/rolebridge/api" of "second" is within "/roleb*" of "first" (signers[0])`},
		{`["/plane/*"]`, `["/plane/eu/*"]`, `"/plane/eu/*" of "second" is within "/plane/*" of "first"`},
		{`["/plane*"]`, `[/plane]`, `"/plane" of "second" is within "/plane*" of "first"`},
		{`["/plane/*", /plane/eu]`, `["/plane/*"]`, `"/plane/eu" of "first" is within "/plane/*" of "second"`},
		{`["/plane/*"], organizations: [eu]`, `[/plane/1], organizations: [us]`, `"/plane/1" of "second" is within "/plane/*" of "first"`},
		{`["/plane/*", /shared]`, `["/plane/*", /shared]`, ``}, // as while a key is exchanged
		{`["/plane/*", /plane/eu]`, `[/plane]`, ``},            // one entry's own may meet
		{`[/plane]`, `[/plane2]`, ``},
		{`["/plane/*"]`, `["/planes/*"]`, ``},
	} {
		_, err := signature.ParseSigners(fmt.Appendf(nil, "signers:\n- {name: first, public_key: %s, actors: [u-1], sources: %s}\n- {name: second, public_key: %s, actors: [u-1], sources: %s}\n",
			signature.NewKey().Public(), c.first, signature.NewKey().Public(), c.second))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s and %s: %v", c.first, c.second, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s and %s: got %v, want %s", c.first, c.second, err, c.want)
		}
	}
}

// A receipt recognises a repetition for as long as receipts are kept; after that the signature must not count any more.
func TestASignatureCountsForLessTimeThanReceiptsAreKept(t *testing.T) {
	t.Parallel()
	if signature.MaxAge+signature.MaxSkew >= integration.ReceiptLife {
		t.Fatalf("a command may be %v old and receipts are kept for %v: it could be decided twice", signature.MaxAge, integration.ReceiptLife)
	}
	p := newProducer(t, "u-admin")
	for age, why := range map[time.Duration]string{
		signature.MaxAge:                 "",
		signature.MaxAge + time.Second:   "counts for 144h0m0s",
		-signature.MaxSkew:               "",
		-signature.MaxSkew - time.Second: "which is to come",
	} {
		cmd := asked()
		cmd.Time = now.Add(-age)
		if why == "" {
			if refusal := p.check(p.record(cmd)); refusal != nil {
				t.Errorf("age %v: %v", age, refusal)
			}
			continue
		}
		p.refused(p.record(cmd), why)
	}
	cmd := asked()
	cmd.Time = time.Time{}
	p.refused(p.record(cmd), "attribute time is missing")
}

func TestAKeyIsReadAsItWasWrittenAndNeverPrinted(t *testing.T) {
	t.Parallel()
	key := signature.NewKey()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, key.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := signature.ReadKey(path)
	if err != nil || read.Public().String() != key.Public().String() || read.Public().ID() != key.Public().ID() {
		t.Errorf("read %v, %v; want the key that was written", read.Public(), err)
	}
	if public, err := signature.ParsePublicKey(key.Public().String()); err != nil || public.ID() != key.Public().ID() {
		t.Errorf("public key: %v, %v", public, err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "key", key)
	body := strings.Split(string(key.PEM()), "\n")[1]
	seed := body[len(body)-40:]
	for _, out := range []string{fmt.Sprintf("%v %+v %#v", key, key, key), log.String()} {
		if strings.Contains(out, seed) {
			t.Errorf("printed: %s", out)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := signature.ReadKey(path); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a key that others may read: %v", err)
	}
	if _, err := signature.ReadKey(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestFaultsOfRegisteredKeysAreAllNamed(t *testing.T) {
	t.Parallel()
	good := signature.NewKey().Public().String()
	if _, err := signature.ParseSigners(fmt.Appendf(nil, "signers:\n- {name: a, public_key: %s, actors: [u-1]}\n---\nsigners: []\n", good)); err == nil || !strings.Contains(err.Error(), "a second document") {
		t.Errorf("two documents: got %v", err)
	}
	_, err := signature.ParseSigners(fmt.Appendf(nil, `signers:
- {public_key: "no base64!", actors: [u-1]}
- {name: a, public_key: %s, actors: ["u-*-x"], organizations: [""], sources: ["/a/*/b"]}
- {name: b, public_key: %s, sources: ["*"]}
- {name: c, sources: []}
- {name: d, sources: ["/*"]}
`, good, good))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"signers[0].name", "signers[0].public_key: want base64", "signers[1].actors", "signers[1].organizations", "signers[1].sources",
		"signers[2].actors: empty", "signers[2].public_key: is that of a too", "signers[2].sources: \"*\" and \"/*\" would take all", "signers[3].sources: empty",
		"signers[4].sources: \"*\" and \"/*\" would take all",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	for _, text := range []string{"", "signers: []", "keys: []", "signers: [{name: a, secret: x}]", "[", "signers: 1"} {
		if s, err := signature.ParseSigners([]byte(text)); err == nil {
			t.Errorf("%q: %v, want an error", text, s)
		}
	}
}

// Nobody without the key makes a command that counts and says something else.
func FuzzCheck(f *testing.F) {
	p := newProducer(f, "*")
	r := p.record(asked())
	want, err := p.plain.Command(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(structured(f, r).Value)
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		r := &kgo.Record{Topic: r.Topic, Value: value, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}}
		cmd, err := p.plain.Command(r)
		if err != nil {
			_ = p.policy.Check(r, want, now) // it need not be a command at all
			return
		}
		if p.policy.Check(r, cmd, now) != nil {
			return
		}
		if cmd.Digest != want.Digest || cmd.Source != want.Source || cmd.ID != want.ID || cmd.Actor != want.Actor ||
			cmd.Organization != want.Organization || !cmd.Time.Equal(want.Time) {
			t.Errorf("a command that nobody signed counts: %+v", cmd)
		}
	})
}

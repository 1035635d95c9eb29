package signature_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/integration"
)

// fixed is a key that is the same in every process: inputs of a fuzzer go from one to another.
func fixed(f *testing.F, n byte) signature.Key {
	f.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	key, err := signature.ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		f.Fatal(err)
	}
	return key
}

// FuzzTheSignersFile: a file that is taken lets a key speak for the platform only if an actor of the file is the platform's, and
// never one that it does not name; a source that stands in a list is that of the keys that list it; the text of a refusal is bounded.
func FuzzTheSignersFile(f *testing.F) {
	key, other := fixed(f, 1).Public(), fixed(f, 2).Public()
	entry, err := signature.Signer{Name: "api", PublicKey: key.String(), Actors: []string{"*"}, Sources: []string{"/s"}}.Entry()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(entry), strings.Replace(string(entry), "*", "platform:*", 1), strings.Replace(string(entry), "name: api", "name: \"\\e[2J\"", 1), string(entry) + string(entry), "", "signers: []", "[", "signers: &a [*a]",
		"signers: [{name: a, public_key: AAAA, actors: [\"*\"]}]", "signers: [{name: a, public_key: " + key.String() + ", actors: [\"\", \"**\"]}]", "signers: [{name: a, public_key: !!binary x, actors: [\"u-1\"]}]",
		"signers: [{name: a, public_key: " + key.String() + ", actors: [p*, \"*\"], organizations: [], sources: []}]",
		"signers: [{name: a, public_key: " + key.String() + ", actors: [u], sources: [/a/b, \"/s*\"]}, {name: b, public_key: " + other.String() + ", actors: [u], sources: [\"/a/*\"]}]",
		"signers: [{name: a, public_key: " + key.String() + ", actors: [u], sources: [/a/b, \"/s*\"]}, {name: b, public_key: " + other.String() + ", actors: [u], sources: [\"/s*\"]}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := signature.ParseSigners(text)
		if err != nil {
			if len(err.Error()) > 10_000+1000*len(text) {
				t.Fatalf("%q: an error of %d bytes", text, len(err.Error()))
			}
			return
		}
		var said struct {
			Signers []struct {
				Actors, Sources []string
				PublicKey       string `yaml:"public_key"`
			}
		}
		if err := yaml.Unmarshal(text, &said); err != nil {
			t.Fatal(err)
		}
		named := false
		for _, s := range said.Signers {
			named = named || slices.ContainsFunc(s.Actors, func(actor string) bool { return integration.Principal(actor).IsPlatform() })
		}
		if all.Speaks(key, "platform:console") && !named {
			t.Fatalf("%q lets a key speak for the platform, which it does not name", text)
		}
		for _, owner := range said.Signers {
			for _, pattern := range owner.Sources {
				source := strings.TrimSuffix(pattern, "*")
				for _, s := range said.Signers {
					k, err := signature.ParsePublicKey(s.PublicKey)
					if err != nil {
						t.Fatalf("%q is taken with the key %q: %v", text, s.PublicKey, err)
					}
					if all.WritesAs(k, source) && !slices.Contains(s.Sources, pattern) && (s.PublicKey != owner.PublicKey) {
						t.Fatalf("%q lets %s write as %q, which is another's %q", text, s.PublicKey, source, pattern)
					}
				}
			}
		}
		if _, known := all.Find(other); (known || all.Speaks(other, "u-1") || all.WritesAs(other, "/s")) && !bytes.Contains(text, []byte(other.String()[40:50])) {
			t.Fatalf("%q lets a key speak that it does not name", text)
		}
	})
}

// FuzzAKey: a key that is read is written and read the same, in both its forms; no error shows it.
func FuzzAKey(f *testing.F) {
	key := fixed(f, 1)
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(foreign)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(key.PEM()), key.Public().String(), "", "AAAA", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), string(key.PEM()) + "x", "\n" + string(key.PEM()),
		strings.Replace(string(key.PEM()), "PRIVATE KEY-----\n", "PRIVATE KEY-----\nA: b\n\n", 1), key.Public().String() + "=",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := signature.ParseKey(text); err == nil {
			if again, err := signature.ParseKey(k.PEM()); err != nil || again.Public().ID() != k.Public().ID() {
				t.Fatalf("%q is written and read as another key: %v", text, err)
			}
		} else if long := bytes.TrimSpace(text); len(long) > 40 && strings.Contains(err.Error(), string(long)) {
			t.Fatalf("the error shows the key: %v", err)
		}
		if p, err := signature.ParsePublicKey(string(text)); err == nil {
			if again, err := signature.ParsePublicKey(p.String()); err != nil || again.ID() != p.ID() {
				t.Fatalf("%q is written and read as another key: %v", text, err)
			}
		}
	})
}

// FuzzSignEvent: what is signed is in its canonical form, is signed the same again, and counts as a command if it can be read as
// one of an actor and a time that do.
func FuzzSignEvent(f *testing.F) {
	p := newProducer(f, "*")
	f.Add(structured(f, p.record(asked())).Value)
	for _, seed := range []string{"", "{}", "[]", "null", `{"time":"x"}`, `{"time":"2026-03-01T12:00:00Z","time":"x"}`, `{"time":"2026-03-01T12:00:00Z","signature":"x","signaturekey":5}`, `{"time":"x","a":1e400}`, `{"time":"x","a":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := p.key.SignEvent(text)
		if err != nil {
			return
		}
		if twice, err := p.key.SignEvent(once); err != nil || !bytes.Equal(twice, once) {
			t.Fatalf("signed again %q is %q, %v", once, twice, err)
		}
		r := &kgo.Record{Value: once, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}}
		cmd, err := p.plain.Command(r)
		if err != nil || cmd.Time.IsZero() || cmd.Actor.IsPlatform() {
			return
		}
		if refused := p.policy.Check(r, cmd, cmd.Time); refused != nil && !strings.Contains(refused.Message, "source") {
			t.Fatalf("%q was signed and does not count: %v", once, refused)
		}
	})
}

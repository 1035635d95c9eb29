// Package secrettest looks for secrets in what a program wrote.
//
// It is for tests only, and it does not guess what may be a secret: a test adds those of its run, and says where to look.
// Nor does it trust itself: each [Place] can write on purpose, by the way that the program writes there, and a secret that
// is not found again then is a fault of the test.
//
// The life of a search: secrets are added while the program runs ([Secrets.Add], [Secrets.AddPEM]), each in the forms that
// it takes when it leaks: whole, in halves, in base64 and in hexadecimal digits; [Secrets.Check] then looks for all of them
// in all places.
package secrettest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"sync"
	"testing"
)

// shortest is the least length of a secret, and of a half that is looked for: what is shorter is found by chance.
const shortest = 16

// Secrets are those of one run. They may be added by several goroutines.
type Secrets struct {
	mu    sync.Mutex
	forms map[string][]string // by name
}

// Add adds a secret. One that has fewer than 16 characters fails the test: it was not got.
func (s *Secrets) Add(t testing.TB, name, text string) {
	t.Helper()
	if len(text) < shortest {
		t.Errorf("%s has %d characters: it was not got", name, len(text))
		return
	}
	s.add(name, append(encoded([]byte(text)), text)...)
	if half := len(text) / 2; half >= shortest {
		s.add(name, text[:half], text[half:])
	}
}

func (s *Secrets) add(name string, forms ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forms == nil {
		s.forms = map[string][]string{}
	}
	s.forms[name] = append(s.forms[name], forms...)
}

func encoded(raw []byte) []string {
	return []string{base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), hex.EncodeToString(raw)}
}

// AddJWT adds a token of an issuer: its signature, since who has the rest has nothing.
func (s *Secrets) AddJWT(t testing.TB, name, token string) {
	t.Helper()
	s.Add(t, name, token[strings.LastIndexByte(token, '.')+1:])
	s.add(name, token)
}

// AddPEM adds a key as PEM: each of its whole lines, and the bytes in it.
func (s *Secrets) AddPEM(t testing.TB, name string, text []byte) {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Errorf("%s is no PEM", name)
		return
	}
	s.add(name, encoded(block.Bytes)...)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); len(line) == 64 { // a whole line of PEM
			s.add(name, line)
		}
	}
}

// Len is how many secrets there are.
func (s *Secrets) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

// Place is something that a program wrote.
type Place struct {
	Name string
	// Read returns all that was written until now.
	Read func(t testing.TB) []byte
	// Witness is something that must be there, so that not nothing is looked at.
	Witness string
	// Plant writes a text by the way that the program writes there.
	Plant func(t testing.TB, text string)
}

// Check fails for each secret that stands in a place. Then it plants each form of each of them in each place, and fails for
// those that it does not find there.
func (s *Secrets) Check(t testing.TB, places ...Place) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range places {
		text := p.Read(t)
		if !bytes.Contains(text, []byte(p.Witness)) {
			t.Errorf("%s: %d bytes without %q: not all was looked at", p.Name, len(text), p.Witness)
		}
		for name, form := range s.found(text) {
			t.Errorf("%s stands in %s, after %q", name, p.Name, before(text, form))
		}
	}
	for _, p := range places {
		for _, forms := range s.forms {
			for _, form := range forms {
				p.Plant(t, form)
			}
		}
		text := p.Read(t)
		for name, forms := range s.forms {
			for n, form := range forms {
				if !bytes.Contains(text, []byte(form)) {
					t.Errorf("form %d of %s was written to %s on purpose and is not found there", n, name, p.Name)
				}
			}
		}
	}
}

// found names the secrets that stand in a text, each with a form of it.
func (s *Secrets) found(text []byte) map[string]string {
	all := map[string]string{}
	for name, forms := range s.forms {
		for _, form := range forms {
			if bytes.Contains(text, []byte(form)) {
				all[name] = form
				break
			}
		}
	}
	return all
}

// before is what stands before a text that was found.
func before(text []byte, found string) []byte {
	at := bytes.Index(text, []byte(found))
	return text[max(0, at-120):at]
}

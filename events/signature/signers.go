package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/strictyaml"
)

// A signed command's time must lie between these bounds of the decider's clock. Older ones could be sent a second time
// after the receipt of the first is dropped.
const (
	MaxAge  = integration.ReceiptLife - 24*time.Hour
	MaxSkew = 5 * time.Minute
)

// MaxSigners bounds how many keys are registered.
const MaxSigners = 1000

// Signers are the registered keys. Safe for concurrent use; it never changes.
type Signers struct {
	byID map[string]signer
	// claimed are the sources of all lists: whoever has none may not use them.
	claimed []string
}

// Signer registers one key: whom it may act as, where, and as which source.
type Signer struct {
	// Name is for logs and refusals.
	Name string `yaml:"name"`
	// PublicKey as [PublicKey.String] writes it.
	PublicKey string `yaml:"public_key"`
	// Actors are principals, or beginnings of them with "*"; the platform is meant only by name.
	Actors []string `yaml:"actors"`
	// Organizations are those in which it may act, or beginnings with "*"; nil is all.
	Organizations []string `yaml:"organizations,omitempty"`
	// Sources are what its commands may name as their source, or beginnings with "*". Ids are told apart by source, so a
	// source in a list belongs to those that list it, in all organizations, and two lists that meet have the same text
	// there; nil is whatever no list names.
	Sources []string `yaml:"sources,omitempty"`
}

// signer is one registered key, ready to check.
type signer struct {
	Signer
	key PublicKey
}

// anyone matches every text, or every one that begins with what stands before it.
const anyone = "*"

// mayActAs reports whether the signer speaks for p. The platform itself must be meant by name: "*" is everybody else.
func (s signer) mayActAs(p integration.Principal) bool {
	return slices.ContainsFunc(s.Actors, func(pattern string) bool {
		if p.IsPlatform() && !integration.Principal(pattern).IsPlatform() {
			return false
		}
		return matches(pattern, string(p))
	})
}

func (s signer) mayAskIn(o integration.OrganizationID) bool {
	return s.Organizations == nil || among(s.Organizations, string(o))
}

// mayWriteAs reports whether a signer's commands may come from source.
func (s *Signers) mayWriteAs(by signer, source string) bool {
	if by.Sources != nil {
		return among(by.Sources, source)
	}
	return !among(s.claimed, source)
}

func among(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, text) })
}

func matches(pattern, text string) bool {
	if prefix, open := strings.CutSuffix(pattern, anyone); open {
		return strings.HasPrefix(text, prefix)
	}
	return pattern == text
}

// signersFile is what [ParseSigners] reads.
type signersFile struct {
	Signers []Signer `yaml:"signers"`
}

// within finds the entry by whose list takes in a source of entry n and does not have it as it stands there. wider is empty if
// none does. Their organizations count for nothing: then a source has the same owners everywhere.
func (f signersFile) within(n int, source string) (by int, wider string) {
	for m, other := range f.Signers {
		for _, pattern := range other.Sources {
			prefix, open := strings.CutSuffix(pattern, anyone)
			if m != n && open && pattern != source && strings.HasPrefix(source, prefix) {
				return m, pattern
			}
		}
	}
	return 0, ""
}

// ParseSigners reads registered keys from YAML:
//
//	signers:
//	  - name: api
//	    public_key: MCowBQYDK2VwAyEA…   # as `rolebridge signing-key show` prints it
//	    actors: ["*"]                    # whom it may act as; the platform only by name, e.g. "platform:*"
//	    organizations: ["*"]             # where; all when absent
//	    sources: ["/rolebridge/api"]     # what it may name as source; when absent, what no other list names
//
// It names all faults at once.
func ParseSigners(text []byte) (*Signers, error) {
	var file signersFile
	if err := strictyaml.Decode(text, &file); err != nil {
		return nil, fmt.Errorf("signers: want a list of signers, each with name, public_key, actors, and perhaps organizations and sources: %w", err)
	}
	if n := len(file.Signers); n == 0 || n > MaxSigners {
		return nil, fmt.Errorf("signers: %d: want 1 to %d", n, MaxSigners)
	}
	all := &Signers{byID: map[string]signer{}}
	var faults []error
	for n, s := range file.Signers {
		fault := func(field, want string) { faults = append(faults, fmt.Errorf("signers[%d].%s: %s", n, field, want)) }
		if s.Name == "" {
			fault("name", "empty: want a name for logs")
		}
		if len(s.Actors) == 0 {
			fault("actors", "empty: want principals, or \"*\" for all but the platform")
		}
		for field, patterns := range map[string][]string{"actors": s.Actors, "organizations": s.Organizations, "sources": s.Sources} {
			if slices.Contains(patterns, "") || slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(strings.TrimSuffix(p, anyone), anyone) }) {
				fault(field, "want texts with a \"*\" at the end at most")
			}
		}
		if s.Sources != nil && len(s.Sources) == 0 {
			fault("sources", "empty: leave the list out for sources that no other list names")
		}
		if slices.ContainsFunc(s.Sources, func(p string) bool { return strings.TrimLeft(p, "/") == anyone }) {
			fault("sources", "\"*\" and \"/*\" would take all sources from all others: leave the list out for those that no other list names")
		}
		for _, source := range s.Sources {
			if by, wider := file.within(n, source); wider != "" {
				fault("sources", fmt.Sprintf("%.100q of %.100q is within %.100q of %.100q (signers[%d]): want lists that do not meet, or the same text in both while a key is exchanged",
					source, s.Name, wider, file.Signers[by].Name, by))
			}
		}
		key, err := ParsePublicKey(s.PublicKey)
		if err != nil {
			fault("public_key", err.Error())
			continue
		}
		if other, twice := all.byID[key.ID()]; twice {
			fault("public_key", "is that of "+other.Name+" too")
		}
		all.byID[key.ID()] = signer{s, key}
		all.claimed = append(all.claimed, s.Sources...)
	}
	return all, errors.Join(faults...)
}

// Entry is how the key is registered, as a file for [ParseSigners] or a part of one.
func (s Signer) Entry() ([]byte, error) {
	text, err := yaml.Marshal(signersFile{[]Signer{s}})
	if err != nil {
		return nil, err
	}
	_, err = ParseSigners(text)
	return text, err
}

// Find returns the name of the signer with that key.
func (s *Signers) Find(key PublicKey) (name string, ok bool) {
	found, ok := s.byID[key.ID()]
	return found.Name, ok
}

// Speaks reports whether the signer with that key may act as actor.
func (s *Signers) Speaks(key PublicKey, actor integration.Principal) bool {
	found, ok := s.byID[key.ID()]
	return ok && found.mayActAs(actor)
}

// WritesAs reports whether commands of the signer with that key may come from source.
func (s *Signers) WritesAs(key PublicKey, source string) bool {
	found, ok := s.byID[key.ID()]
	return ok && s.mayWriteAs(found, source)
}

// Policy judges commands.
type Policy struct {
	// Required refuses commands without a signature.
	Required bool
	// Signers returns the registered keys as they are now. Nil is for an installation without any: no signature is looked
	// at, since none can be judged.
	Signers func() *Signers
}

// Check returns why the command in a record does not prove that its producer may act as its actor, or nil. cmd is what
// the record was read as. A signature that is there is judged even if none is required: it was put there to count.
func (p Policy) Check(r *kgo.Record, cmd integration.Command, now time.Time) *integration.Refusal {
	if p.Signers == nil && !p.Required {
		return nil
	}
	signed, of, err := canonical(r)
	switch {
	case err != nil:
		return refuse("%v", err)
	case of == claim{} && !p.Required:
		return nil
	case of == claim{}:
		return refuse("the command has no signature, and this installation decides signed commands only")
	}
	signers := p.signers()
	by, known := signers.byID[of.Key]
	if !known {
		return refuse("attribute signaturekey names no registered key: %.64q", of.Key)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(of.Signature)
	if err != nil || len(raw) != ed25519.SignatureSize {
		return refuse("attribute signature: want the %d bytes of an Ed25519 signature in base64url, without padding", ed25519.SignatureSize)
	}
	switch {
	case !ed25519.Verify(by.key.key, signed, raw):
		return refuse("the signature is not that of this command by %s", by.Name)
	case cmd.Time.IsZero():
		return refuse("attribute time is missing: a signature counts for %v", MaxAge)
	case cmd.Time.Before(now.Add(-MaxAge)):
		return refuse("the command is of %s; a signature counts for %v", cmd.Time.UTC().Format(time.RFC3339), MaxAge)
	case cmd.Time.After(now.Add(MaxSkew)):
		return refuse("the command is of %s, which is to come: is the producer's clock right?", cmd.Time.UTC().Format(time.RFC3339))
	case !by.mayActAs(cmd.Actor):
		return refuse("signer %s may not act as %s", by.Name, cmd.Actor)
	case !by.mayAskIn(cmd.Organization):
		return refuse("signer %s may not act in organization %s", by.Name, cmd.Organization)
	case !signers.mayWriteAs(by, cmd.Source):
		return refuse("signer %s may not send commands of source %.200q", by.Name, cmd.Source)
	}
	return nil
}

// signers are the keys that are registered now, none if the installation has none.
func (p Policy) signers() *Signers {
	if p.Signers == nil {
		return &Signers{}
	}
	return p.Signers()
}

func refuse(format string, args ...any) *integration.Refusal {
	return integration.Refuse(integration.CodeUnproved, format, args...)
}

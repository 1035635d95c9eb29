package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxCount bounds what only ever rises, as versions, epochs and attempts do: the largest integer that every reader of JSON keeps
// as it is (RFC 8259, section 6). No decider comes near it.
const MaxCount = 1<<53 - 1

// The rules below are those by which [Decide] refuses, held against what it has left behind. They are for aggregates that come
// from elsewhere than the decider's own log; a property test holds them against every state that decisions lead to.
//
// A state outlives the rules that it was made by: one that becomes stricter for what is asked for must not do so here, or nobody
// could move what was made before. So names are held against what they always had to be.

func checkText(field, text string, least, most int) *Refusal {
	if n := utf8.RuneCountInString(text); n < least || n > most || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return refuseField(field, "want %d to %d characters that can be printed", least, most)
	}
	return nil
}

// Sound says what no decision could have left in o; nil when nothing is. The field is its place in the record.
func (o Organization) Sound() *Refusal {
	if r := checkIdentifier("/id", string(o.ID)); r != nil {
		return r
	}
	if r := checkCount("/version", o.Version, 1); r != nil {
		return r
	}
	if o.Quota < 0 || o.Quota > MaxQuota {
		return refuseField("/integration_quota", "want 0 to %d", MaxQuota)
	}
	if n := len(o.RoleBindings); n > MaxRoleBindings {
		return refuseField("/role_bindings", "has %d role bindings; at most %d are allowed", n, MaxRoleBindings)
	}
	seen := make(map[RoleBinding]bool, len(o.RoleBindings))
	for n, b := range o.RoleBindings {
		at := fmt.Sprintf("/role_bindings/%d", n)
		if r := b.check(); r != nil {
			return within(at, r)
		}
		if seen[b] {
			return refuseField(at, "is there twice")
		}
		seen[b] = true
	}
	if o.admins() == 0 {
		return refuseField("/role_bindings", "name no OrganizationAdmin")
	}
	if k := o.FirstKey; k != nil {
		if r := checkPrincipal("/first_key/account", k.Account); r != nil {
			return r
		}
		return checkKeyID("/first_key/key", k.Key)
	}
	return nil
}

// externalID is how an external ID is made: a UUID in lower case. Clients of the api read nothing else.
var externalID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func checkExternalID(field, id string) *Refusal {
	if !externalID.MatchString(id) {
		return refuseField(field, "want a UUID in lower case")
	}
	return nil
}

// Sound says what no decision could have left in i; nil when nothing is. The field is its place in the record. A verdict on the
// customer's role is not looked at: it is a worker's word, and the next proof, which has a due time, replaces it. How far away
// that and other times are, only a clock tells: see [Integration.Resumed].
func (i Integration) Sound() *Refusal {
	for _, r := range []*Refusal{
		checkID("/id", i.ID), checkIdentifier("/organization", string(i.Organization)), checkIdentifier("/environment", string(i.Environment)),
		checkText("/display_name", i.Name, 1, MaxName), i.Config.Check("/config"), checkExternalID("/external_id", i.ExternalID),
		checkCount("/version", i.Version, 1), checkCount("/epoch", i.Epoch, 0),
		checkCount("/mapping/attempt", i.Mapping.Attempt, 0), checkCount("/mapping/tries", int64(i.Mapping.Tries), 0),
		checkCount("/trust/attempt", i.Trust.Attempt, 0), checkCount("/trust/tries", int64(i.Trust.Tries), 0),
		checkPrincipal("/created_by", i.CreatedBy),
	} {
		if r != nil {
			return r
		}
	}
	if i.Config != i.Config.canonical() {
		return refuseField("/config/"+i.Config.Kind.CustomerField(), "want it in lower case, as it is stored")
	}
	for _, sound := range []func() *Refusal{i.soundMapping, i.soundTrust, i.soundRotation} {
		if r := sound(); r != nil {
			return r
		}
	}
	return i.soundConnectors()
}

// soundMapping checks the platform's identity and when it, or trust that comes through it, is looked at again. Without that time
// nothing would be.
func (i Integration) soundMapping() *Refusal {
	const field = "/mapping/platform"
	switch platform := i.Mapping.Platform; {
	case platform == "":
		if i.Mapping.Status == MappingReady || i.Trust.Status != TrustUnknown {
			return refuseField(field, "is missing; without the platform's identity no mapping is ready, and no trust was asked for")
		}
	case i.Config.Kind == KindAWS:
		if arn, ok := ParseRoleARN(platform); !ok || arn.Name != string(i.ID) {
			return refuseField(field, "want a role's ARN that ends in /%s: the platform names its role after the integration", i.ID)
		}
	default:
		if r := checkText(field, platform, 1, maxARN); r != nil {
			return r
		}
	}
	switch rests := i.Mapping.Status == MappingReady && i.Config.Draft(); {
	case rests && !i.Due.IsZero():
		return refuseField("/due", "want none: a draft whose mapping is ready waits for its customer")
	case !rests && i.Due.IsZero():
		return refuseField("/due", "is missing: nothing would be looked at again")
	}
	return nil
}

func (i Integration) soundTrust() *Refusal {
	t := i.Trust
	if t.Status != TrustUnknown && i.Config.Draft() {
		return refuseField("/trust/status", "want unknown: a draft has no customer who could trust")
	}
	if t.Asked && t.Status == TrustUnknown || t.Again && !t.Asked {
		return refuseField("/trust", "was never asked for, and is asked for, or again")
	}
	if n := t.Doubts; n < 0 || n > cleanRounds {
		return refuseField("/trust/doubts", "want 0 to %d", cleanRounds)
	}
	if n := len(t.History); n > maxHistory {
		return refuseField("/trust/history", "has %d changes; at most %d are kept", n, maxHistory)
	}
	return nil
}

func (i Integration) soundRotation() *Refusal {
	n := i.Rotation
	switch {
	case n == nil:
		return nil
	case i.Config.Draft() || i.Config.Kind != KindAWS || i.Deleting():
		return refuseField("/rotation", "only of a customer's role is the external ID exchanged")
	case n.Other == i.ExternalID:
		return refuseField("/rotation/other_external_id", "is the current one")
	}
	for _, r := range []*Refusal{
		checkExternalID("/rotation/other_external_id", n.Other), checkPrincipal("/rotation/started_by", n.StartedBy), checkCount("/rotation/tries", int64(n.Tries), 0),
	} {
		if r != nil {
			return r
		}
	}
	return nil
}

func (i Integration) soundConnectors() *Refusal {
	switch n := len(i.Connectors); {
	case n > MaxConnectors:
		return refuseField("/connectors", "has %d connectors; at most %d are allowed", n, MaxConnectors)
	case n > 0 && (i.Config.Draft() || i.Deleting()):
		return refuseField("/connectors", "nothing is bound to a draft, or to what is being deleted")
	}
	if r := i.fits(0); r != nil {
		return within("/connectors", r)
	}
	seen := map[string]bool{}
	for c, b := range i.Connectors {
		if r := checkIdentifier("/connectors", string(c)); r != nil {
			return r
		}
		at := "/connectors/" + string(c)
		if r := b.sound(i.Config); r != nil {
			return within(at, r)
		}
		for n, t := range b.Tokens {
			if seen[t.Hash] {
				return refuseField(fmt.Sprintf("%s/tokens/%d/sha256", at, n), "is there twice")
			}
			seen[t.Hash] = true
		}
	}
	return nil
}

func (b Binding) sound(c Config) *Refusal {
	if r := checkPrincipal("/bound_by", b.BoundBy); r != nil {
		return r
	}
	if r := checkEach("tokens", b.Tokens, MaxTokens); r != nil {
		return r
	}
	if r := checkEach("workloads", b.Workloads, MaxWorkloads); r != nil {
		return r
	}
	if b.SourceIdentity && c.Kind != KindAWS {
		return refuseField("/source_identity", "sessions of %s have none", c.Kind)
	}
	return checkEach("resources", b.Resources, MaxResources)
}

// check is what is left of the rules of [TokenClaim.check] when the token has been taken. One that was bound before tokens
// had proofs has none, and opens nothing.
func (t Token) check(at string) *Refusal {
	if !hexDigest.MatchString(t.Hash) || t.Hash == TokenHash("") {
		return refuseField(at+"/sha256", "want the SHA-256 of a token: 64 hexadecimal digits in lower case")
	}
	if t.Proof != "" && !hexDigest.MatchString(t.Proof) {
		return refuseField(at+"/proof", "want 64 hexadecimal digits in lower case")
	}
	return nil
}

// Sound says what no decision could have left in a; nil when nothing is. The field is its place in the record.
func (a Account) Sound() *Refusal {
	for _, r := range []*Refusal{
		checkPrincipal("/id", a.ID), checkIdentifier("/organization", string(a.Organization)), checkText("/display_name", a.Name, 1, MaxName),
		checkText("/description", a.Description, 0, maxDescription), checkEach("identities", a.Identities, MaxIdentities), checkCount("/version", a.Version, 1),
		checkPrincipal("/created_by", a.CreatedBy),
	} {
		if r != nil {
			return r
		}
	}
	if a.ID.IsPlatform() {
		return refuseField("/id", "the platform's own principals have no accounts")
	}
	if n := len(a.Keys); n > MaxKeys {
		return refuseField("/keys", "has %d keys; at most %d are allowed", n, MaxKeys)
	}
	for id, k := range a.Keys {
		if r := checkKeyID("/keys", id); r != nil {
			return r
		}
		if r := k.sound(); r != nil {
			return within("/keys/"+string(id), r)
		}
	}
	return nil
}

func (k APIKey) sound() *Refusal {
	if !hexDigest.MatchString(k.Proof) {
		return refuseField("/proof", "want 64 hexadecimal digits in lower case")
	}
	if r := checkText("/display_name", k.Name, 0, MaxName); r != nil {
		return r
	}
	if r := checkText("/description", k.Description, 0, maxDescription); r != nil {
		return r
	}
	return checkPrincipal("/created_by", k.CreatedBy)
}

// Sound says what no decision could have left in r; nil when nothing is. It may be of an organization that never was, under any
// name: a refusal of its commands is remembered too.
func (r Receipt) Sound() *Refusal { return checkCount("/version", r.Version, 0) }

// Fits says why i cannot be in s beside what is there, as no decision would have put it; nil when it can. s must not have i yet.
func (s *State) Fits(i Integration) *Refusal {
	switch {
	case i.Deleting():
		return nil
	case s.Count() >= MaxQuota:
		return refuseField("", "the organization has more than %d integrations", MaxQuota)
	}
	if !i.Config.Draft() {
		if other, taken := s.customer(customerKeyOf(i.Environment, i.Config)); taken {
			return refuseField("/config/"+i.Config.Kind.CustomerField(), "is mapped in this environment already, by %s", other)
		}
	}
	for c, b := range i.Connectors {
		for n, t := range b.Tokens {
			if other, taken := s.token(t.Hash); taken {
				return refuseField(fmt.Sprintf("/connectors/%s/tokens/%d/sha256", c, n), "is a token of %s already", other.integration)
			}
		}
	}
	return nil
}

// FitsAccount says why a cannot be in s beside what is there, as no decision would have put it; nil when it can. s must not have
// a yet.
func (s *State) FitsAccount(a Account) *Refusal {
	all := s.everyAccount()
	if len(all) >= MaxAccounts {
		return refuseField("", "the organization has more than %d accounts", MaxAccounts)
	}
	for _, other := range all {
		for n, who := range a.Identities {
			if slices.Contains(other.Identities, who) {
				return refuseField(fmt.Sprintf("/identities/%d", n), "proves account %s already", other.ID)
			}
		}
		for id := range a.Keys {
			if _, taken := other.Keys[id]; taken {
				return refuseField("/keys/"+string(id), "is a key of account %s already", other.ID)
			}
		}
	}
	return nil
}

func checkCount(field string, n, least int64) *Refusal {
	if n < least || n > MaxCount {
		return refuseField(field, "want %d to %d", least, MaxCount)
	}
	return nil
}

func checkKeyID(field string, id KeyID) *Refusal {
	if !keyIDs.MatchString(string(id)) {
		return refuseField(field, "want a key's id: 16 upper-case letters and digits")
	}
	return nil
}

// within puts the place of r below at.
func within(at string, r *Refusal) *Refusal {
	deeper := *r
	deeper.Field = at + r.Field
	return &deeper
}

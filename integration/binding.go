package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Binding lets one connector have sessions of the integration: who may ask, and what the session may reach. It is made
// with at least one token or one workload; once its tokens have expired it may be left with neither, and gives nothing
// until it gets a new one.
type Binding struct {
	Tokens []Token `json:"tokens,omitempty"` // at most [MaxTokens]
	Terms
	BoundAt time.Time `json:"bound_at"`
	BoundBy Principal `json:"bound_by"`
}

// Terms are what whoever binds a connector chooses beside its token.
type Terms struct {
	Workloads []Workload `json:"workloads,omitempty"` // at most [MaxWorkloads], all different
	// Resources narrow the sessions; none leaves them as wide as the customer's role. At most [MaxResources], all different.
	Resources []Resource `json:"resources,omitempty"`
	// SourceIdentity sets the source identity of the sessions to their name. It stays with a session whatever role it
	// assumes next, but the customer's trust policy has to allow sts:SetSourceIdentity.
	SourceIdentity bool `json:"source_identity,omitempty"`
}

// Bounds of a binding. With [MaxConnectors] they would allow records that are too large for Kafka, so all bindings of
// an integration share maxBindings, in bytes.
const (
	MaxTokens    = 3
	MaxWorkloads = 5
	MaxResources = 20
	// MaxProbed is how many resources one proof looks at: a call or two each, of those that the customer's account allows us.
	MaxProbed   = 10
	maxBindings = 700_000
)

// UnmarshalJSON also reads what was written before bindings had several tokens: such a token has no proof, and opens
// nothing before it is rotated.
func (b *Binding) UnmarshalJSON(text []byte) error {
	type plain Binding
	var old struct {
		plain
		TokenHash string `json:"token_sha256"`
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return err
	}
	*b = Binding(old.plain)
	if old.TokenHash != "" {
		b.Tokens = append(b.Tokens, Token{Hash: old.TokenHash, AddedAt: old.BoundAt})
	}
	return nil
}

// Token returns the token with this hash, also one that has expired.
func (b Binding) Token(hash string) (t Token, ok bool) {
	n := slices.IndexFunc(b.Tokens, func(t Token) bool { return t.Hash == hash })
	if n < 0 {
		return Token{}, false
	}
	return b.Tokens[n], true
}

// withToken returns a copy of b with one more token. Of the others none lives longer than until.
func (b Binding) withToken(t Token, until time.Time) Binding {
	tokens := make([]Token, 0, MaxTokens)
	for _, old := range b.Tokens {
		if old.ExpiresAt.IsZero() || old.ExpiresAt.After(until) {
			old.ExpiresAt = until
		}
		if old.Alive(t.AddedAt) {
			tokens = append(tokens, old)
		}
	}
	tokens = append(tokens, t)
	b.Tokens = tokens
	return b
}

// withoutTokens returns a copy of b without the tokens of these hashes.
func (b Binding) withoutTokens(hashes []string) Binding {
	b.Tokens = slices.DeleteFunc(slices.Clone(b.Tokens), func(t Token) bool { return slices.Contains(hashes, t.Hash) })
	return b
}

// expired returns the hashes of the tokens that are over at now.
func (b Binding) expired(now time.Time) (hashes []string) {
	for _, t := range b.Tokens {
		if !t.Alive(now) {
			hashes = append(hashes, t.Hash)
		}
	}
	return hashes
}

// size is about how many bytes b has in its record, names of fields included.
func (b Binding) size() int {
	n := 200 + len(b.BoundBy) + 300*len(b.Tokens)
	for _, w := range b.Workloads {
		n += 80 + len(w.OIDC.Issuer) + len(w.OIDC.Audience) + len(w.OIDC.Subject) + len(w.SPIFFE)
	}
	for _, r := range b.Resources {
		n += 80 + len(r.S3.Bucket) + len(r.S3.Prefix) + len(r.DynamoDB.Table) + len(r.DynamoDB.Region)
	}
	return n
}

// SourceIdentity reports whether the sessions of any connector have a source identity.
func (i Integration) SourceIdentity() bool {
	for _, b := range i.Connectors {
		if b.SourceIdentity {
			return true
		}
	}
	return false
}

// Resources are those that the bindings name, each once, in the order of their connectors; at most most of them, and how
// many there are beyond.
func (i Integration) Resources(most int) (all []Resource, leftOut int) {
	seen := map[Resource]bool{}
	for _, c := range slices.Sorted(maps.Keys(i.Connectors)) {
		for _, r := range i.Connectors[c].Resources {
			if !seen[r] && len(all) < most {
				all = append(all, r)
			}
			seen[r] = true
		}
	}
	return all, len(seen) - len(all)
}

// fits checks that i has room for n more bytes of bindings.
func (i Integration) fits(n int) *Refusal {
	for c, b := range i.Connectors {
		n += len(c) + b.size()
	}
	if n > maxBindings {
		return Refuse(CodeQuota, "the bindings of %s would have %d bytes; at most %d are allowed", i.ID, n, maxBindings)
	}
	return nil
}

// check says what is wrong with the terms of a binding to a customer of config c; what the resources become is a matter of
// that cloud, which in speaks for.
func (t Terms) check(c Config, in Inputs) *Refusal {
	if r := checkEach("workloads", t.Workloads, MaxWorkloads); r != nil {
		return r
	}
	if t.SourceIdentity && c.Kind != KindAWS {
		return refuseField("/source_identity", "sessions of %s have none", c.Kind)
	}
	return t.checkResources(c, in)
}

// term is one of a list in the terms.
type term interface {
	comparable
	check(at string) *Refusal
}

// checkEach refuses a list that is too long, that names something twice, or that holds what is refused by itself.
func checkEach[T term](field string, list []T, most int) *Refusal {
	if n := len(list); n > most {
		return refuseField("/"+field, "has %d %s; at most %d are allowed", n, field, most)
	}
	for n, one := range list {
		at := fmt.Sprintf("/%s/%d", field, n)
		if slices.Contains(list[:n], one) {
			return refuseField(at, "is there twice")
		}
		if r := one.check(at); r != nil {
			return r
		}
	}
	return nil
}

func (t Terms) checkResources(c Config, in Inputs) *Refusal {
	if len(t.Resources) == 0 {
		return nil
	}
	if r := checkEach("resources", t.Resources, MaxResources); r != nil {
		return r
	}
	if in.SessionPolicy == nil {
		return Refuse(CodeUnavailable, "this decider cannot narrow sessions")
	}
	policy, r := in.SessionPolicy(c, t.Resources)
	if r != nil {
		return r
	}
	if n := len([]rune(policy)); n > MaxSessionPolicy {
		return refuseField("/resources", "make a session policy of %d characters; at most %d are allowed", n, MaxSessionPolicy)
	}
	return nil
}

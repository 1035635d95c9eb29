package creds

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/rolebridge/rolebridge/cloud/aws/scope"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// plan is what a token leads to: a binding as it was when the plan was made, and the slot of its session. The values of
// a replica are immutable and replaced when something changes, so comparing pointers tells whether a plan still holds.
type plan struct {
	hash    tokenHash
	token   integration.Token // as the replica has it; none in the plan of a binding's workloads
	binding events.Binding
	slot    *slot
}

// tokenHash is the SHA-256 of a token.
type tokenHash [sha256.Size]byte

// hashOf hashes a token. Ours have 64 characters at most, and room for those is on the stack.
func hashOf(token string) tokenHash {
	var room [64]byte
	return sha256.Sum256(append(room[:0], token...))
}

// String is the hash in lower-case hexadecimal.
func (h tokenHash) String() string {
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], h[:])
	return string(digits[:])
}

// holds reports whether the plan was made of exactly this binding.
func (p *plan) holds(b events.Binding) bool { return p.binding == b }

// text is the hash in hexadecimal: the plan has it already, if there is one.
func (p *plan) text(of tokenHash) string {
	if p == nil {
		return of.String()
	}
	return p.token.Hash
}

// plans remembers the plan of each token that was read, so that a warm read hashes no recipe and takes no lock.
type plans struct{ byToken *xsync.Map[tokenHash, *plan] }

func newPlans() plans { return plans{xsync.NewMap[tokenHash, *plan]()} }

// get returns nil when there is no plan.
func (p plans) get(h tokenHash) *plan {
	found, _ := p.byToken.Load(h)
	return found
}

func (p plans) put(next *plan) { p.byToken.Store(next.hash, next) }

// sweep forgets the plans of tokens that lead nowhere any more.
func (p plans) sweep(alive func(*plan) bool) {
	p.byToken.Range(func(h tokenHash, at *plan) bool {
		if !alive(at) {
			p.byToken.Delete(h)
		}
		return true
	})
}

// recipe is what the session of a binding depends on. Resources that no policy can be made of any more give nothing, for
// without the policy the session would be wider than what was bound.
func (b *Broker) recipe(of events.Binding) (Recipe, error) {
	i, grant := of.Integration, of.Grant()
	policy, refusal := scope.Policy(i.Config, grant.Resources)
	if refusal != nil {
		return Recipe{}, integration.Refuse(integration.CodeDenied, "no credentials: %s: %s", refusal.Field, refusal.Message)
	}
	r := Recipe{
		Organization: i.Organization, Integration: i.ID, Connector: of.Connector, Epoch: i.Epoch,
		Chain: []string{i.Mapping.Platform, i.Config.Customer}, ExternalID: i.ExternalID,
		SessionName: sessionName(of.Connector, i.ID), Policy: policy, Region: b.cfg.Region, Duration: b.cfg.Duration,
	}
	if grant.SourceIdentity {
		r.SourceIdentity = r.SessionName
	}
	// A trust policy without TagSession refuses a tagged session as a whole.
	if i.Trust.TagSession() {
		r.Tags = map[string]string{
			"organization": string(i.Organization), "environment": string(i.Environment), "integration": string(i.ID),
			"connector": string(of.Connector),
		}
	}
	return r, nil
}

// platform is the recipe of the first hop, which is cached apart so that an integration's bindings share it.
func (r Recipe) platform() Recipe {
	return Recipe{
		Organization: r.Organization, Integration: r.Integration, Epoch: r.Epoch, Chain: r.Chain[:1],
		SessionName: string(r.Integration), Region: r.Region, Duration: r.Duration,
	}
}

// maxSessionName is STS's bound of RoleSessionName (STS API reference); the characters are [\w+=,.@-].
const maxSessionName = 64

// sessionName is what a customer finds in CloudTrail: connector@integration. One that is too long is cut, and a hash of
// the connector keeps names apart.
func sessionName(c integration.ConnectorID, id integration.ID) string {
	name := string(c) + "@" + string(id)
	if len(name) <= maxSessionName {
		return name
	}
	sum := sha256.Sum256([]byte(c))
	tail := "=" + hex.EncodeToString(sum[:6]) + "@" + string(id)
	return string(c)[:maxSessionName-len(tail)] + tail
}

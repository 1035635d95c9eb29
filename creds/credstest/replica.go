// Package credstest helps to test the credential broker: the contract of its stores as a suite, a cloud that refuses what
// the real one refuses, and a replica of the state that a test writes by hand.
//
// It is for tests only. It is no stand-in for AWS on the wire: that is cloud/sandbox. Nothing in it is shared between
// tests: each makes its own, changes it through its methods, and lets it go.
package credstest

import (
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Replica is a [creds.Bindings] that a test writes. As in the real one values are immutable: a change is a new value.
type Replica struct {
	ready chan struct{}

	mu            sync.RWMutex
	organizations map[integration.OrganizationID]*integration.Organization
	integrations  map[integration.ID]*integration.Integration
	tokens        map[string][]events.Holder // prepared, because reads are measured
}

// NewReplica returns an empty replica that is ready.
func NewReplica() *Replica {
	r := NewLoadingReplica()
	r.FinishLoading()
	return r
}

// NewLoadingReplica returns a replica that is not ready before FinishLoading.
func NewLoadingReplica() *Replica {
	return &Replica{
		ready:         make(chan struct{}),
		organizations: map[integration.OrganizationID]*integration.Organization{},
		integrations:  map[integration.ID]*integration.Integration{}, tokens: map[string][]events.Holder{},
	}
}

// FinishLoading makes the replica ready.
func (r *Replica) FinishLoading() { close(r.ready) }

// Ready implements [creds.Bindings].
func (r *Replica) Ready() <-chan struct{} { return r.ready }

// Holders implements [creds.Bindings].
func (r *Replica) Holders(hash string) []events.Holder {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.tokens[hash]
}

// Binding implements [creds.Bindings].
func (r *Replica) Binding(id integration.ID, c integration.ConnectorID) (events.Binding, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i, ok := r.integrations[id]
	if !ok {
		return events.Binding{}, false
	}
	if _, ok = i.Connectors[c]; !ok {
		return events.Binding{}, false
	}
	o, ok := r.organizations[i.Organization]
	return events.Binding{Organization: o, Integration: i, Connector: c}, ok
}

// Organization implements [creds.Replica].
func (r *Replica) Organization(id integration.OrganizationID) (*integration.Organization, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	o, ok := r.organizations[id]
	return o, ok
}

// Integration implements [creds.Replica].
func (r *Replica) Integration(id integration.ID) (*integration.Integration, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i, ok := r.integrations[id]
	return i, ok
}

// All implements [creds.Replica].
func (r *Replica) All(yield func(*integration.Integration) bool) {
	r.mu.RLock()
	all := slices.Collect(maps.Values(r.integrations))
	r.mu.RUnlock()
	for _, i := range all {
		if !yield(i) {
			return
		}
	}
}

// Trusted adds an integration of organization o whose trust is proved, with tags when a proof saw them admitted.
func (r *Replica) Trusted(o integration.OrganizationID, id integration.ID, platform, customer, externalID string, tags bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.organizations[o]; !ok {
		r.organizations[o] = &integration.Organization{ID: o, InsecureRoles: integration.InsecureBlock}
	}
	r.integrations[id] = &integration.Integration{
		ID: id, Organization: o, Environment: "env", ExternalID: externalID, Version: 1,
		Config:  integration.Config{Kind: integration.KindAWS, Customer: customer},
		Mapping: integration.Mapping{Status: integration.MappingReady, Platform: platform},
		Trust:   integration.Trust{Status: integration.TrustValid, Tags: tags},
	}
}

// Proved puts in place what follows from a report of the trust worker.
func (r *Replica) Proved(id integration.ID, report integration.Report) {
	r.Change(id, func(i *integration.Integration) {
		s := integration.NewState()
		s.SetIntegration(*i)
		integration.Evolve(s, integration.Event{
			Organization: i.Organization, Integration: id, Version: i.Version, Time: time.Now(), Fact: integration.Validated{Report: report},
		})
		*i, _ = s.Integration(id)
	})
}

// Bind gives a connector a token in place of what it had.
func (r *Replica) Bind(id integration.ID, c integration.ConnectorID, token secret.Text) {
	r.ChangeBinding(id, c, func(o integration.OrganizationID, b *integration.Binding) {
		b.Tokens = []integration.Token{Token(o, id, c, token)}
	})
}

// Token is what the state knows of a connector's token.
func Token(o integration.OrganizationID, id integration.ID, c integration.ConnectorID, token secret.Text) integration.Token {
	claim := integration.ClaimToken(o, id, c, token.Reveal())
	return integration.Token{Hash: claim.Hash, Proof: claim.Proof, AddedAt: time.Now()}
}

// ChangeBinding puts a changed copy of a binding in place, or makes it. change must replace slices, not write to them.
func (r *Replica) ChangeBinding(id integration.ID, c integration.ConnectorID, change func(integration.OrganizationID, *integration.Binding)) {
	r.Change(id, func(i *integration.Integration) {
		i.Connectors = maps.Clone(i.Connectors)
		if i.Connectors == nil {
			i.Connectors = map[integration.ConnectorID]integration.Binding{}
		}
		b, bound := i.Connectors[c]
		if !bound {
			b.BoundAt = time.Now()
		}
		change(i.Organization, &b)
		i.Connectors[c] = b
	})
}

// Unbind takes a connector's token away.
func (r *Replica) Unbind(id integration.ID, c integration.ConnectorID) {
	r.Change(id, func(i *integration.Integration) {
		i.Connectors = maps.Clone(i.Connectors)
		delete(i.Connectors, c)
	})
}

// Revoke raises the epoch.
func (r *Replica) Revoke(id integration.ID) {
	r.Change(id, func(i *integration.Integration) { i.Epoch++ })
}

// Change puts a changed copy of an integration in place.
func (r *Replica) Change(id integration.ID, change func(*integration.Integration)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.integrations[id]
	next := *was
	next.Version++
	change(&next)
	r.integrations[id] = &next
	r.index(was, false)
	r.index(&next, true)
}

// ChangeOrganization puts a changed copy of an organization in place.
func (r *Replica) ChangeOrganization(id integration.OrganizationID, change func(*integration.Organization)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := *r.organizations[id]
	change(&next)
	r.organizations[id] = &next
	for _, i := range r.integrations {
		if i.Organization == id {
			r.index(i, false)
			r.index(i, true)
		}
	}
}

// index takes the holders of i's tokens out of the index, or puts them into it. Called with the lock.
func (r *Replica) index(i *integration.Integration, in bool) {
	for c, b := range i.Connectors {
		for _, t := range b.Tokens {
			all := slices.DeleteFunc(slices.Clone(r.tokens[t.Hash]), func(h events.Holder) bool {
				of, _ := h.Binding()
				return of.Integration.ID == i.ID && of.Connector == c
			})
			if in {
				all = append(all, events.HolderOf(events.Binding{Organization: r.organizations[i.Organization], Integration: i, Connector: c}))
			}
			r.tokens[t.Hash] = all
		}
	}
}

// NewToken is a connector's token, different from all others.
func NewToken() secret.Text { return secret.New(rand.Text() + rand.Text()) }

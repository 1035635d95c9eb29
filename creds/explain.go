package creds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// Gate is one of the places where a connector's credentials may end.
type Gate string

// The gates, in the order in which a read passes them.
const (
	GateBinding Gate = "binding"
	GateMapping Gate = "mapping"
	GateTrust   Gate = "trust"
	GateCache   Gate = "cache"
	GateCloud   Gate = "cloud"
)

// State is what a gate says.
type State string

// The states of a gate.
const (
	Open    State = "open"    // lets credentials through
	Shut    State = "shut"    // refuses
	Failing State = "failing" // does not answer now
	Empty   State = "empty"   // has nothing yet; the next read fills it
)

// GateState is one line of an [Explanation]. It never holds a secret.
type GateState struct {
	Gate   Gate   `json:"gate"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
}

// Explanation says for one connector where its credentials come from, or where they end.
type Explanation struct {
	Organization integration.OrganizationID `json:"organization"`
	Environment  integration.EnvironmentID  `json:"environment"`
	Integration  integration.ID             `json:"integration"`
	// Connector is empty when none is bound.
	Connector integration.ConnectorID `json:"connector,omitempty"`
	// Answer is what the next read with a valid token gets: "ok", or the code of the refusal. A read that has to ask the
	// cloud first is "ok" here while nothing speaks against it.
	Answer string      `json:"answer"`
	Gates  []GateState `json:"gates"`
}

// Replica is the state, as far as explaining needs it; [events.Table] is one.
type Replica interface {
	Ready() <-chan struct{}
	Organization(integration.OrganizationID) (*integration.Organization, bool)
	Integration(integration.ID) (*integration.Integration, bool)
	All(yield func(*integration.Integration) bool)
}

// Explainer tells people on call which gate gives what answer in this replica, each of which has a memory of its own. It
// asks no cloud and changes nothing. Safe for concurrent use.
type Explainer struct {
	broker  *Broker
	replica Replica
}

// NewExplainer returns an explainer of b, whose bindings come from the same replica.
func NewExplainer(b *Broker, r Replica) *Explainer { return &Explainer{b, r} }

// maxExplained bounds one answer: one connector id may be bound in many integrations.
const maxExplained = 1000

// Explain explains each connector of the integration with this id, or else each binding of a connector with this id, of
// whatever organization. Errors: [integration.CodeUnavailable] while the state is loading, [integration.CodeNotFound].
func (e *Explainer) Explain(ctx context.Context, of string) ([]Explanation, error) {
	select {
	case <-e.replica.Ready():
	default:
		return nil, errLoading
	}
	var all []Explanation
	if i, ok := e.replica.Integration(integration.ID(of)); ok {
		for _, c := range slices.Sorted(maps.Keys(i.Connectors)) {
			all = append(all, e.one(ctx, i, c))
		}
		if len(all) == 0 {
			all = append(all, e.one(ctx, i, ""))
		}
		return all[:min(len(all), maxExplained)], nil
	}
	for i := range e.replica.All {
		if c := integration.ConnectorID(of); len(all) < maxExplained {
			if _, bound := i.Connectors[c]; bound {
				all = append(all, e.one(ctx, i, c))
			}
		}
	}
	if len(all) == 0 {
		return nil, integration.Refuse(integration.CodeNotFound, "no integration and no bound connector is called %q", of)
	}
	return all, nil
}

// one explains one binding.
func (e *Explainer) one(ctx context.Context, i *integration.Integration, c integration.ConnectorID) Explanation {
	x := Explanation{Organization: i.Organization, Environment: i.Environment, Integration: i.ID, Connector: c, Answer: outcomeOK}
	o, ok := e.replica.Organization(i.Organization)
	if !ok {
		o = &integration.Organization{ID: i.Organization}
	}
	of := events.Binding{Organization: o, Integration: i, Connector: c}
	x.Gates = []GateState{bindingGate(i, c, time.Now()), mappingGate(i), trustGate(i, o)}
	if x.Gates[0].State == Shut {
		x.Answer = string(integration.CodeUnauthenticated)
		return x
	}
	if err := gate(of); err != nil {
		x.Answer = readOutcome(err)
		return x
	}
	cache, cloud, err := e.broker.look(ctx, of)
	x.Gates = append(x.Gates, cache, cloud)
	if err != nil && cache.State != Open {
		x.Answer = readOutcome(final(err))
	}
	return x
}

// bindingGate says who may ask: until when each token works, and which workloads.
func bindingGate(i *integration.Integration, c integration.ConnectorID, now time.Time) GateState {
	b, ok := i.Connectors[c]
	if !ok {
		return GateState{GateBinding, Shut, "no connector is bound: rolebridge connector bind"}
	}
	g := GateState{GateBinding, Shut, fmt.Sprintf("bound %s by %s", b.BoundAt.UTC().Format(time.RFC3339), b.BoundBy)}
	for _, t := range b.Tokens {
		switch {
		case !t.Alive(now):
			continue
		case t.ExpiresAt.IsZero():
			g.Detail += "; a token without end"
		default:
			g.Detail += "; a token until " + t.ExpiresAt.UTC().Format(time.RFC3339)
		}
		g.State = Open
	}
	for _, w := range b.Workloads {
		g.State = Open
		if w.SPIFFE != "" {
			g.Detail += "; workload " + w.SPIFFE
		} else {
			g.Detail += fmt.Sprintf("; workload %q of %s for %q", w.OIDC.Subject, w.OIDC.Issuer, w.OIDC.Audience)
		}
	}
	if g.State == Shut {
		g.Detail += "; its tokens have expired: rolebridge connector rotate-token"
	}
	return g
}

func mappingGate(i *integration.Integration) GateState {
	g := GateState{GateMapping, Open, string(i.Mapping.Status) + ": " + i.Mapping.Platform}
	switch {
	case i.Deleting():
		g.State, g.Detail = Shut, "the integration is being deleted"
	case i.Mapping.Platform == "":
		g.State, g.Detail = Shut, fmt.Sprintf("%s after %d tries: %s", i.Mapping.Status, i.Mapping.Tries, i.Mapping.Reason)
	}
	return g
}

func trustGate(i *integration.Integration, o *integration.Organization) GateState {
	t := i.Trust
	g := GateState{GateTrust, Shut, string(t.Status)}
	if t.Status == integration.TrustValid || t.Status == integration.TrustInsecure && o.InsecureRoles == integration.InsecureWarn {
		g.State = Open
	}
	if !t.LastValid.IsZero() {
		g.Detail += ", last valid " + t.LastValid.UTC().Format(time.RFC3339)
	}
	if t.Report != nil {
		for _, c := range t.Report.Checks {
			if c.Outcome == integration.Fail || c.Outcome == integration.Errored {
				g.Detail += fmt.Sprintf(", %s %s (%s)", c.Name, c.Outcome, c.Reason)
			}
		}
	}
	return g
}

// look says what the caches hold for a binding and how the cloud answered last. err is what a read would end with that
// finds nothing in the caches.
func (b *Broker) look(ctx context.Context, of events.Binding) (cache, last GateState, err error) {
	cache = GateState{GateCache, Empty, "memory: nothing"}
	last = GateState{GateCloud, Empty, "not asked by this replica"}
	r, err := b.recipe(of)
	if err != nil {
		cache.Detail = err.Error()
		return cache, last, err
	}
	k := r.Key()
	now := time.Now()
	b.book.mu.Lock()
	s := b.book.slots[k]
	if s != nil {
		if p := s.session.Load(); p.valid(now) {
			cache.State = Open
			cache.Detail = fmt.Sprintf("memory: session %s until %s, renewed from %s", r.SessionName,
				p.Expires.UTC().Format(time.RFC3339), p.refreshAt.UTC().Format(time.RFC3339))
			last.State, last.Detail = Open, "issued "+p.At.UTC().Format(time.RFC3339)
		}
		switch {
		case s.refusal != nil && now.Before(s.refusedUntil):
			err = s.refusal
			last.State = Shut
			last.Detail = fmt.Sprintf("%s; asked again after %s", s.refusal.answer.Message, s.refusedUntil.UTC().Format(time.RFC3339))
		case s.failures > 0:
			err = errLate
			last.State = Failing
			last.Detail = fmt.Sprintf("%d failures in a row; asked again after %s", s.failures, s.retryAt.UTC().Format(time.RFC3339))
		case s.flight != nil && last.State == Empty:
			last.Detail = "being asked"
		}
	}
	b.book.mu.Unlock()

	switch issued, failed := b.store.Get(ctx, k); {
	case failed == nil && issued.Expires.After(now):
		cache.Detail += "; store: until " + issued.Expires.UTC().Format(time.RFC3339)
		cache.State = Open
	case failed == nil, errors.Is(failed, ErrNotFound):
		cache.Detail += "; store: nothing"
	case errors.Is(failed, ErrUnreadable):
		cache.Detail += "; store: an entry that cannot be opened"
	default:
		cache.Detail += "; store: does not answer"
		if cache.State == Empty {
			cache.State = Failing
		}
	}
	return cache, last, err
}

// ExplainPath is where [Explainer] answers, on the listener of people on call and not on the connectors'.
const ExplainPath = "/explain"

// ServeHTTP answers GET [ExplainPath]?of=<integration or connector> with a list of [Explanation] as JSON.
func (e *Explainer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Content-Type"] = jsonType
	w.Header()["Cache-Control"] = noStore
	of := r.URL.Query().Get("of")
	if of == "" {
		refuse(w, integration.Refuse(integration.CodeInvalid, "name an integration or a connector: ?of=…"), http.StatusBadRequest)
		return
	}
	all, err := e.Explain(r.Context(), of)
	if refusal, ok := errors.AsType[*integration.Refusal](err); ok {
		refuse(w, refusal, refusal.Code.Answer().HTTP)
		return
	}
	text, err := json.Marshal(all)
	if err != nil {
		refuse(w, integration.Refuse(integration.CodeInternal, "internal error"), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text) // who does not listen has gone
}

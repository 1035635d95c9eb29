package apitest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/cloud/aws/scope"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
)

// PlatformAccount owns the roles that the fake mapping worker makes.
const PlatformAccount = "111122223333"

// ControlPlane decides commands and is the replica of what was decided. Safe for concurrent use.
type ControlPlane struct {
	codec *events.Codec
	ready chan struct{}

	mu      sync.Mutex
	states  map[integration.OrganizationID]*integration.State
	changed chan struct{}
	log     []integration.Event // of all organizations; an event's place is its offset
	silent  bool                // commands are taken and not decided
	down    error               // commands are not taken
	mapping func(integration.MappingAsked) integration.Finding
	trust   func(integration.TrustAsked) integration.Report
	sent    []integration.Command
	forgot  int // events of the log that are gone
	prover  dryrun.Prover
	tokens  api.Tokens
	trail   api.Trail
	ahead   time.Duration // of the clock by which is decided
}

// New returns a control plane without organizations, whose workers find everything in order.
func New(t testing.TB) *ControlPlane {
	t.Helper()
	codec, err := events.NewCodec(events.Topics{Prefix: "t.", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := &ControlPlane{
		codec: codec, ready: make(chan struct{}), changed: make(chan struct{}),
		states: map[integration.OrganizationID]*integration.State{},
	}
	c.Mapping(nil)
	c.Trust(nil)
	close(c.ready)
	return c
}

// Found makes an organization with one administrator.
func (c *ControlPlane) Found(t testing.TB, o integration.OrganizationID, admin integration.Principal) {
	t.Helper()
	c.Do(t, o, "platform:test", integration.CreateOrganization{Admin: admin})
}

// Do decides a command that must not be refused.
func (c *ControlPlane) Do(t testing.TB, o integration.OrganizationID, actor integration.Principal, ask integration.Ask) {
	t.Helper()
	cmd := integration.Command{Source: "/apitest", ID: rand.Text(), Organization: o, Actor: actor, Time: time.Now(), Ask: ask}
	if err := c.Send(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if r, _ := c.Answer(o, integration.Asker{Source: cmd.Source, ID: cmd.ID}); r.Refusal != nil {
		t.Fatalf("%s: %v", ask.Type(), r.Refusal)
	}
}

// Later moves the clock by which is decided on by d.
func (c *ControlPlane) Later(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// Expire ends an API key, as its time would.
func (c *ControlPlane) Expire(t testing.TB, o integration.OrganizationID, id integration.KeyID) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.state(o).Accounts() {
		k, ok := a.Keys[id]
		if !ok {
			continue
		}
		k.ExpiresAt = time.Now().Add(-time.Second)
		next := *a
		next.Keys = maps.Clone(a.Keys)
		next.Keys[id] = k
		c.state(o).SetAccount(next)
		return
	}
	t.Errorf("no key %s to expire", id)
}

// Silent takes commands from now on without deciding them.
func (c *ControlPlane) Silent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = true
}

// Down refuses commands from now on with err; nil takes them again.
func (c *ControlPlane) Down(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = err
}

// Mapping says how the mapping worker answers: a nil finding leaves the order unanswered. A nil function makes roles.
func (c *ControlPlane) Mapping(answer func(integration.MappingAsked) integration.Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mapping = answer
}

// Trust says what the trust worker finds: a report without checks leaves the order unanswered. A nil function finds
// everything in order.
func (c *ControlPlane) Trust(probe func(integration.TrustAsked) integration.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trust = probe
}

// DryRuns says who makes dry runs on sites that are started from now on. Without it they are not offered.
func (c *ControlPlane) DryRuns(p dryrun.Prover) { c.prover = p }

// Tokens says who verifies bearer tokens on sites that are started from now on. Without it none is taken.
func (c *ControlPlane) Tokens(v api.Tokens) { c.tokens = v }

// Trail says who is told of failed logins and changes on sites that are started from now on. Without it nobody is.
func (c *ControlPlane) Trail(trail api.Trail) { c.trail = trail }

func (c *ControlPlane) options() (all []api.Option) {
	all = append(all, api.WithEvents(c.Events()))
	if c.prover != nil {
		all = append(all, api.WithDryRuns(c.prover))
	}
	if c.trail != nil {
		all = append(all, api.WithTrail(c.trail))
	}
	if c.tokens != nil {
		all = append(all, api.WithTokens(c.tokens))
	}
	return all
}

// Report makes a report of which all checks pass but the given ones.
func Report(but ...integration.Check) integration.Report {
	now := time.Now().UTC()
	r := integration.Report{StartedAt: now, FinishedAt: now}
	for _, name := range []integration.CheckName{
		integration.CheckPlatformIdentity, integration.CheckPlatformRole, integration.CheckWithExternalID, integration.CheckWithoutID,
		integration.CheckWrongID, integration.CheckTagSession, integration.CheckAccount, integration.CheckMaxSession,
	} {
		check := integration.Check{Name: name, Outcome: integration.Pass}
		for _, other := range but {
			if other.Name == name {
				check = other
			}
		}
		r.Checks = append(r.Checks, check)
	}
	return r
}

// Sent returns the commands taken so far.
func (c *ControlPlane) Sent() []integration.Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sent)
}

// Finding hands in what a worker found later.
func (c *ControlPlane) Finding(o integration.OrganizationID, id integration.ID, attempt int64, found integration.Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state(o)
	c.apply(s, integration.DecideResult(s, integration.Result{Organization: o, Integration: id, Attempt: attempt, Finding: found}, c.inputs()))
	c.publish()
}

// Send decides a command as lifecycle would, once it went through the codec as on Kafka.
func (c *ControlPlane) Send(_ context.Context, cmd integration.Command) error {
	record, err := c.codec.CommandRecord(cmd)
	if err != nil {
		return integration.Refuse(integration.CodeInvalid, "%v", err)
	}
	if cmd, err = c.codec.Command(record); err != nil {
		return integration.Refuse(integration.CodeInvalid, "%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return c.down
	}
	c.sent = append(c.sent, cmd)
	if c.silent {
		return nil
	}
	s := c.state(cmd.Organization)
	decided, err := integration.Decide(s, cmd, c.inputs())
	if err != nil {
		return nil // answered before: lifecycle drops such a command, too
	}
	c.apply(s, decided)
	c.publish()
	return nil
}

func (c *ControlPlane) state(o integration.OrganizationID) *integration.State {
	if c.states[o] == nil {
		c.states[o] = integration.NewState()
	}
	return c.states[o]
}

// apply applies events and what the workers answer to them, until nothing is left to do.
func (c *ControlPlane) apply(s *integration.State, list []integration.Event) {
	for len(list) > 0 {
		e := list[0]
		list = list[1:]
		integration.Evolve(s, e)
		c.log = append(c.log, e)
		result := integration.Result{Organization: e.Organization, Integration: e.Integration}
		switch fact := e.Fact.(type) {
		case integration.MappingAsked:
			result.Attempt, result.Finding = fact.Attempt, c.mapped(e.Integration, fact)
		case integration.TrustAsked:
			report := Report()
			if c.trust != nil {
				report = c.trust(fact)
			}
			if result.Attempt = fact.Attempt; len(report.Checks) > 0 {
				result.Finding = integration.TrustWasProbed{Report: report}
			}
		}
		if result.Finding != nil {
			list = append(list, integration.DecideResult(s, result, c.inputs())...)
		}
	}
}

func (c *ControlPlane) mapped(id integration.ID, order integration.MappingAsked) integration.Finding {
	switch {
	case c.mapping != nil:
		return c.mapping(order)
	case order.Operation == integration.RemoveMapping:
		return integration.MappingWasRemoved{}
	default:
		return integration.MappingWasMade{Platform: fmt.Sprintf("arn:aws:iam::%s:role/%s", PlatformAccount, id)}
	}
}

func (c *ControlPlane) publish() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *ControlPlane) inputs() integration.Inputs {
	var raw [16]byte
	_, _ = rand.Read(raw[:])
	h := hex.EncodeToString(raw[:])
	return integration.Inputs{
		Now: time.Now().Add(c.ahead).UTC(), Jitter: 0.5, SessionPolicy: scope.Policy, Accounts: []string{PlatformAccount},
		ID:         integration.ID(integration.IDPrefix + strings.ToLower(rand.Text()[:8])),
		ExternalID: fmt.Sprintf("%s-%s-4%s-a%s-%s", h[:8], h[8:12], h[13:16], h[17:20], h[20:]),
	}
}

// Ready is closed from the start.
func (c *ControlPlane) Ready() <-chan struct{} { return c.ready }

// Organization returns an organization; this and what follows is as in [events.Table].
func (c *ControlPlane) Organization(id integration.OrganizationID) (*integration.Organization, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.state(id).Organization()
	return &o, ok
}

// Integration returns an integration of any organization.
func (c *ControlPlane) Integration(id integration.ID) (*integration.Integration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.integration(id)
}

func (c *ControlPlane) integration(id integration.ID) (*integration.Integration, bool) {
	for _, s := range c.states {
		if i, ok := s.Integration(id); ok {
			return &i, true
		}
	}
	return nil, false
}

// List yields the integrations of an environment that are not being deleted and come after an id, by id.
func (c *ControlPlane) List(o integration.OrganizationID, e integration.EnvironmentID, after integration.ID) iter.Seq[*integration.Integration] {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*integration.Integration
	for _, i := range maps.Collect(c.state(o).Integrations()) {
		if i != nil && i.Environment == e && !i.Deleting() && i.ID > after {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b *integration.Integration) int { return cmp.Compare(a.ID, b.ID) })
	return slices.Values(all)
}

// Listed is how many integrations of an environment are not being deleted.
func (c *ControlPlane) Listed(o integration.OrganizationID, e integration.EnvironmentID) int {
	return len(slices.Collect(c.List(o, e, "")))
}

// Used is how many integrations of an organization count against its quota.
func (c *ControlPlane) Used(o integration.OrganizationID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state(o).Count()
}

// Account returns an account.
func (c *ControlPlane) Account(o integration.OrganizationID, p integration.Principal) (*integration.Account, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.state(o).Account(p)
	return &a, ok
}

// Accounts returns the accounts of an organization, by id.
func (c *ControlPlane) Accounts(o integration.OrganizationID) []*integration.Account {
	return c.accounts(func(a *integration.Account) bool { return a.Organization == o })
}

// KeyOwners returns the accounts that have an API key of this id.
func (c *ControlPlane) KeyOwners(id integration.KeyID) []*integration.Account {
	return c.accounts(func(a *integration.Account) bool {
		_, ok := a.Keys[id]
		return ok
	})
}

// TokenOwners returns the accounts that tokens about h may prove.
func (c *ControlPlane) TokenOwners(h events.TokenHolder) []*integration.Account {
	return c.accounts(func(a *integration.Account) bool {
		return slices.ContainsFunc(a.Identities, func(who integration.OIDC) bool {
			return who.Issuer == h.Issuer && who.Subject == h.Subject
		})
	})
}

func (c *ControlPlane) accounts(wanted func(*integration.Account) bool) []*integration.Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*integration.Account
	for _, s := range c.states {
		for _, a := range s.Accounts() {
			if wanted(a) {
				all = append(all, a)
			}
		}
	}
	slices.SortFunc(all, func(a, b *integration.Account) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Answer returns the answer to a command if there is one.
func (c *ControlPlane) Answer(o integration.OrganizationID, a integration.Asker) (integration.Receipt, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state(o).Receipt(a)
}

// WaitAnswer waits for the answer to a command.
func (c *ControlPlane) WaitAnswer(ctx context.Context, o integration.OrganizationID, a integration.Asker) (r integration.Receipt, err error) {
	err = c.until(ctx, func() (ok bool) {
		r, ok = c.state(o).Receipt(a)
		return ok
	})
	return r, err
}

// WaitUntil waits until the integration satisfies done; i is nil when it does not exist.
func (c *ControlPlane) WaitUntil(ctx context.Context, id integration.ID, done func(i *integration.Integration) bool) error {
	return c.until(ctx, func() bool {
		i, _ := c.integration(id)
		return done(i)
	})
}

func (c *ControlPlane) until(ctx context.Context, done func() bool) error {
	for {
		c.mu.Lock()
		ok, changed := done(), c.changed
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

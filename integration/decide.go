package integration

import (
	"errors"
	"slices"
	"time"
)

// Inputs is all that a decision needs from the outside world, so that deciding stays pure.
type Inputs struct {
	Now time.Time
	// ID and ExternalID are fresh random values, for an integration that may be created or a rotation that may begin.
	ID         ID
	ExternalID string
	// Jitter in [0, 1) spreads timers.
	Jitter float64
	// Accounts are the platform's own at AWS, of which no role is a customer's.
	Accounts []string
	// SessionPolicy writes the policy that narrows the sessions of a customer to resources, or says which of them cannot
	// be, under /resources. It is a function of its arguments alone. Nil: resources are refused.
	SessionPolicy func(Config, []Resource) (string, *Refusal)
}

var (
	// ErrAnswered means that this very command was answered before; there is nothing to do.
	ErrAnswered = errors.New("integration: the command was answered before")
	// ErrReused means that another command with the same source and id was answered before.
	ErrReused = errors.New("integration: the command's id was used for another command")
)

// Decide answers one command with one or more events, of which the first is the answer; a refusal is an event too.
// It does not change s: the caller applies the events with [Evolve]. The only errors are [ErrAnswered] and [ErrReused].
//
// A command that is refused because its producer is not proved leaves no receipt, or whoever may write to the topic could
// use up the ids of others: sent again with a proof it is decided.
func Decide(s *State, cmd Command, in Inputs) ([]Event, error) {
	if r, ok := s.Receipt(Asker{cmd.Source, cmd.ID}); ok {
		if r.Digest != cmd.Digest {
			return nil, ErrReused
		}
		return nil, ErrAnswered
	}
	d := newDecision(s, cmd.Organization, in)
	d.answers = &Asked{Source: cmd.Source, ID: cmd.ID, Digest: cmd.Digest}
	refusal := cmd.Unproved
	if refusal == nil {
		refusal = d.decide(cmd)
	}
	if refusal == nil {
		return d.events, nil
	}
	return []Event{{
		Organization: cmd.Organization, Integration: cmd.Ask.About(), Time: in.Now,
		Answers: d.answers, Fact: Refused{Command: cmd.Ask.Type(), Refusal: *refusal},
	}}, nil
}

// decision collects events; each is applied to a scratch state at once, so that the next sees it.
type decision struct {
	state        *State
	organization OrganizationID
	in           Inputs
	answers      *Asked
	events       []Event
}

func newDecision(s *State, o OrganizationID, in Inputs) *decision {
	return &decision{state: s.Fork(), organization: o, in: in}
}

// emit records fact about integration id, or about the organization when id is empty.
func (d *decision) emit(id ID, fact Fact) {
	e := Event{Organization: d.organization, Integration: id, Version: 1, Time: d.in.Now, Answers: d.answers, Fact: fact}
	d.answers = nil
	if id == "" {
		if o, ok := d.state.Organization(); ok {
			e.Version = o.Version + 1
		}
	} else if i, ok := d.state.Integration(id); ok {
		e.Version = i.Version + 1
	}
	Evolve(d.state, e)
	d.events = append(d.events, e)
}

// emitAccount records fact about the account of p.
func (d *decision) emitAccount(p Principal, fact Fact) {
	e := Event{Organization: d.organization, Account: p, Version: 1, Time: d.in.Now, Answers: d.answers, Fact: fact}
	d.answers = nil
	if a, ok := d.state.Account(p); ok {
		e.Version = a.Version + 1
	}
	Evolve(d.state, e)
	d.events = append(d.events, e)
}

func (d *decision) decide(cmd Command) *Refusal {
	if r := checkPrincipal("/actor", cmd.Actor); r != nil {
		return r
	}
	if ask, ok := cmd.Ask.(CreateOrganization); ok {
		return d.createOrganization(cmd.Actor, ask)
	}
	if ask, ok := cmd.Ask.(Bootstrap); ok {
		return d.bootstrap(cmd.Actor, ask)
	}
	o, ok := d.state.Organization()
	if !ok {
		return Refuse(CodeNotFound, "organization %s does not exist", cmd.Organization)
	}
	switch ask := cmd.Ask.(type) {
	case ConfigureOrganization:
		return d.configure(o, cmd.Actor, ask)
	case CreateRoleBinding:
		return d.createRoleBinding(o, cmd.Actor, ask.RoleBinding)
	case DeleteRoleBinding:
		return d.deleteRoleBinding(o, cmd.Actor, ask.RoleBinding)
	case CreateAccount:
		return d.createAccount(o, cmd.Actor, ask)
	case UpdateAccount:
		return d.updateAccount(o, cmd.Actor, ask)
	case DeleteAccount:
		return d.deleteAccount(o, cmd.Actor, ask)
	case CreateKey:
		return d.createKey(o, cmd.Actor, ask)
	case DeleteKey:
		return d.deleteKey(o, cmd.Actor, ask)
	case Create:
		return d.create(o, cmd.Actor, ask)
	case Update:
		return d.with(o, cmd.Actor, ask.Integration, OpManage, func(i Integration) *Refusal { return d.update(i, ask) })
	case Validate:
		return d.with(o, cmd.Actor, ask.Integration, OpValidate, d.validate)
	case RevokeSessions:
		return d.with(o, cmd.Actor, ask.Integration, OpManage, d.revoke)
	case RotateExternalID:
		return d.with(o, cmd.Actor, ask.Integration, OpManage, func(i Integration) *Refusal { return d.rotate(i, cmd.Actor) })
	case AbortRotation:
		return d.with(o, cmd.Actor, ask.Integration, OpManage, func(i Integration) *Refusal { return d.abortRotation(i, cmd.Actor) })
	case Delete:
		return d.with(o, cmd.Actor, ask.Integration, OpManage, func(i Integration) *Refusal { return d.delete(i, cmd.Actor, ask) })
	case Bind:
		return d.with(o, cmd.Actor, ask.Integration, OpUse, func(i Integration) *Refusal { return d.bind(i, cmd.Actor, ask) })
	case RotateToken:
		return d.with(o, cmd.Actor, ask.Integration, OpUse, func(i Integration) *Refusal { return d.rotateToken(i, cmd.Actor, ask) })
	case Unbind:
		return d.with(o, cmd.Actor, ask.Integration, OpUse, func(i Integration) *Refusal { return d.unbind(i, ask) })
	}
	return Refuse(CodeInternal, "no decision for %s", cmd.Ask.Type())
}

// with finds the integration that is asked about and checks that the actor may do op to it. To an actor without any
// role in the integration's scope it does not exist.
func (d *decision) with(o Organization, actor Principal, id ID, op Operation, then func(Integration) *Refusal) *Refusal {
	if r := checkID("/integration", id); r != nil {
		return r
	}
	i, ok := d.state.Integration(id)
	scope := Scope{Environment: i.Environment, Integration: i.ID}
	if !ok || i.Deleting() || !o.Permits(actor, OpRead, scope) {
		return Refuse(CodeNotFound, "integration %s does not exist", id)
	}
	if !o.Permits(actor, op, scope) {
		return Refuse(CodeDenied, "%s may not %s integration %s", actor, op, id)
	}
	return then(i)
}

func (d *decision) create(o Organization, actor Principal, ask Create) *Refusal {
	if r := checkIdentifier("/environment", string(ask.Environment)); r != nil {
		return r
	}
	if !o.Permits(actor, OpCreate, Scope{Environment: ask.Environment}) {
		return Refuse(CodeDenied, "%s may not create integrations in environment %s", actor, ask.Environment)
	}
	if r := checkName(ask.Name); r != nil {
		return r
	}
	if r := ask.Config.Check("/config"); r != nil {
		return r
	}
	if r := ask.Config.NotOurs("/config", d.in.Accounts); r != nil {
		return r
	}
	if r := d.free(ask.Environment, ask.Config); r != nil {
		return r
	}
	if used := d.state.Count(); used >= o.Quota {
		return Refuse(CodeQuota, "the organization uses %d of %d integrations", used, o.Quota)
	}
	if _, taken := d.state.Integration(d.in.ID); taken {
		return Refuse(CodeUnavailable, "the new id is taken; try again")
	}
	d.emit(d.in.ID, Created{
		Environment: ask.Environment, Name: ask.Name, Config: ask.Config.canonical(), ExternalID: d.in.ExternalID, CreatedBy: actor,
	})
	d.askMapping(d.in.ID, EnsureMapping)
	return nil
}

// free checks that the customer's identity is not mapped in the environment yet.
func (d *decision) free(environment EnvironmentID, c Config) *Refusal {
	if c.Draft() {
		return nil
	}
	if id, taken := d.state.customer(customerKeyOf(environment, c)); taken {
		return &Refusal{
			Code: CodeExists, Field: "/config/" + c.Kind.CustomerField(),
			Message: "is mapped in this environment already, by " + string(id),
		}
	}
	return nil
}

func (d *decision) update(i Integration, ask Update) *Refusal {
	if ask.Config.canonical() == i.Config.canonical() && !i.Config.Draft() {
		// A client that lost the answer asks again with what is true already.
		d.emit(i.ID, Updated{Config: i.Config})
		return nil
	}
	if !i.Config.Draft() {
		return Refuse(CodeConflict, "only a draft can be updated; %s is %s", i.ID, i.Status())
	}
	if ask.Config.Kind != i.Config.Kind {
		return refuseField("/config/kind", "is %s and cannot change", i.Config.Kind)
	}
	if r := ask.Config.Check("/config"); r != nil {
		return r
	}
	if ask.Config.Draft() {
		return refuseField("/config/"+i.Config.Kind.CustomerField(), "is missing")
	}
	if r := ask.Config.NotOurs("/config", d.in.Accounts); r != nil {
		return r
	}
	if r := d.free(i.Environment, ask.Config); r != nil {
		return r
	}
	d.emit(i.ID, Updated{Config: ask.Config.canonical()})
	d.askMapping(i.ID, EnsureMapping)
	return nil
}

func (d *decision) validate(i Integration) *Refusal {
	if i.Config.Draft() {
		return Refuse(CodeConflict, "%s is a draft: the customer's identity is missing", i.ID)
	}
	d.emit(i.ID, ValidationRequested{})
	if i.Mapping.Status == MappingFailed {
		d.askMapping(i.ID, EnsureMapping)
	}
	if i.mapped() && !i.Trust.Asked {
		d.askTrust(i.ID)
	}
	return nil
}

func (d *decision) revoke(i Integration) *Refusal {
	d.emit(i.ID, SessionsRevoked{Epoch: i.Epoch + 1})
	return nil
}

func (d *decision) delete(i Integration, actor Principal, ask Delete) *Refusal {
	if n := len(i.Connectors); n > 0 && !ask.Force {
		return Refuse(CodeInUse, "%s is used by %d connector(s); unbind them or force the deletion", i.ID, n)
	}
	d.emit(i.ID, DeletionStarted{DeletedBy: actor, Forced: ask.Force})
	d.askMapping(i.ID, RemoveMapping)
	return nil
}

func (d *decision) createOrganization(actor Principal, ask CreateOrganization) *Refusal {
	if r := checkIdentifier("/organization", string(d.organization)); r != nil {
		return r
	}
	if !actor.IsPlatform() {
		return Refuse(CodeDenied, "only the platform creates organizations")
	}
	if r := (RoleBinding{Principal: ask.Admin, Role: OrganizationAdmin}).check(); r != nil {
		r.Field = "/admin"
		return r
	}
	if _, ok := d.state.Organization(); ok {
		return Refuse(CodeExists, "organization %s exists", d.organization)
	}
	d.emit("", OrganizationCreated{Admin: ask.Admin, IntegrationQuota: DefaultQuota})
	return nil
}

func (d *decision) configure(o Organization, actor Principal, ask ConfigureOrganization) *Refusal {
	if !o.Permits(actor, OpConfigure, Scope{}) {
		return Refuse(CodeDenied, "%s may not configure the organization", actor)
	}
	next := OrganizationConfigured{IntegrationQuota: o.Quota, InsecureRoles: o.InsecureRoles}
	if q := ask.IntegrationQuota; q != nil {
		if !actor.IsPlatform() {
			return Refuse(CodeDenied, "only the platform changes quotas")
		}
		if *q < 0 || *q > MaxQuota {
			return refuseField("/integration_quota", "want 0 to %d", MaxQuota)
		}
		next.IntegrationQuota = *q
	}
	switch ask.InsecureRoles {
	case "":
	case InsecureBlock, InsecureWarn:
		next.InsecureRoles = ask.InsecureRoles
	default:
		return refuseField("/insecure_roles", "want %s or %s", InsecureBlock, InsecureWarn)
	}
	d.emit("", next)
	return nil
}

func (d *decision) createRoleBinding(o Organization, actor Principal, b RoleBinding) *Refusal {
	if r := b.check(); r != nil {
		return r
	}
	if !o.mayGrant(actor, b) {
		return Refuse(CodeDenied, "%s may not give %s in this scope", actor, b.Role)
	}
	if len(o.RoleBindings) >= MaxRoleBindings && !slices.Contains(o.RoleBindings, b) {
		return Refuse(CodeQuota, "the organization has %d role bindings; at most %d are allowed", len(o.RoleBindings), MaxRoleBindings)
	}
	d.emit("", RoleBindingCreated{b})
	return nil
}

func (d *decision) deleteRoleBinding(o Organization, actor Principal, b RoleBinding) *Refusal {
	if r := b.check(); r != nil {
		return r
	}
	if !o.mayGrant(actor, b) {
		return Refuse(CodeDenied, "%s may not take %s in this scope", actor, b.Role)
	}
	if !slices.Contains(o.RoleBindings, b) {
		return Refuse(CodeNotFound, "no such role binding")
	}
	if b.Role == OrganizationAdmin && o.admins() == 1 {
		return Refuse(CodeConflict, "the organization would have no OrganizationAdmin left")
	}
	d.emit("", RoleBindingDeleted{b})
	return nil
}

// admins counts the organization's administrators.
func (o Organization) admins() (n int) {
	for _, b := range o.RoleBindings {
		if b.Role == OrganizationAdmin {
			n++
		}
	}
	return n
}

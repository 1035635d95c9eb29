package api

import (
	"net/http"
	"slices"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// people are the accounts of one kind.
type people struct {
	*Server
	of integration.AccountKind
}

// kindsOfAccount are their names on the wire.
var kindsOfAccount = map[integration.AccountKind]string{
	integration.User: wire.KindUser, integration.ServiceAccount: wire.KindServiceAccount,
}

func (p people) kind() string { return kindsOfAccount[p.of] }

// account returns an account of the caller's organization that the caller may see: its own, or any as an administrator.
func (s *Server) account(c *call, id integration.Principal) (*integration.Account, error) {
	a, ok := s.replica.Account(c.Organization, id)
	if !ok || !c.administers() && id != c.Principal {
		return nil, fail(integration.CodeNotFound, "account %.64s does not exist", id)
	}
	return a, nil
}

// find is account, of this kind only.
func (p people) find(c *call) (*integration.Account, error) {
	id := integration.Principal(c.PathValue("id"))
	a, err := p.account(c, id)
	if err == nil && a.Kind != p.of {
		return nil, fail(integration.CodeNotFound, "account %.64s does not exist", id)
	}
	return a, err
}

// list lists accounts: those of any of the given names, where some are given.
func (p people) list(c *call) (answer, error) {
	names := slices.DeleteFunc(c.URL.Query()["display_name"], func(name string) bool { return name == "" })
	var all []wire.Account
	for _, a := range p.replica.Accounts(c.Organization) {
		if a.Kind == p.of && (c.administers() || a.ID == c.Principal) && (len(names) == 0 || slices.Contains(names, a.Name)) {
			all = append(all, p.object(c, a))
		}
	}
	part, meta, err := iamPage(p.Server, c, p.kind(), all, func(a wire.Account) string { return a.ID }, "display_name")
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: wire.AccountList{APIVersion: wire.IAM, Kind: p.kind() + "List", Metadata: meta, Data: part}}, nil
}

func (p people) read(c *call) (answer, error) {
	a, err := p.find(c)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: p.object(c, a)}, nil
}

func (p people) create(c *call) (answer, error) {
	var body wire.AccountRequest
	if err := p.bodies.read(c.Request, bodyAccount, &body); err != nil {
		return answer{}, err
	}
	ask := integration.CreateAccount{Kind: p.of, Name: *body.DisplayName}
	if body.Description != nil {
		ask.Description = *body.Description
	}
	if body.Identities != nil {
		ask.Identities = *body.Identities
	}
	a, err := p.shown(c, http.StatusCreated, ask, func() error { return nil })
	if shown, ok := a.body.(wire.Account); ok {
		a.location = shown.Metadata.Self
	}
	return a, err
}

func (p people) update(c *call) (answer, error) {
	var body wire.AccountRequest
	if err := p.bodies.read(c.Request, bodyAccountUpdate, &body); err != nil {
		return answer{}, err
	}
	return p.shown(c, http.StatusOK, integration.UpdateAccount{
		Account: integration.Principal(c.PathValue("id")), Name: body.DisplayName, Description: body.Description, Identities: body.Identities,
	}, p.exists(c))
}

// shown makes a change of an account and shows it.
func (p people) shown(c *call, status int, ask integration.Ask, check func() error) (answer, error) {
	r, command, err := p.change(c, ask, check)
	if err != nil {
		return answer{command: command}, err
	}
	a, err := p.account(c, r.Account)
	if err != nil {
		return answer{command: command}, err
	}
	return answer{status: status, body: p.object(c, a), command: command}, nil
}

func (p people) delete(c *call) (answer, error) {
	_, command, err := p.change(c, integration.DeleteAccount{Account: integration.Principal(c.PathValue("id"))}, p.exists(c))
	return answer{status: http.StatusNoContent, command: command}, err
}

func (p people) exists(c *call) func() error {
	return func() error {
		_, err := p.find(c)
		return err
	}
}

func (p people) object(c *call, a *integration.Account) wire.Account {
	out := wire.Account{
		APIVersion: wire.IAM, Kind: p.kind(), ID: string(a.ID), Metadata: p.iamMeta(c, p.kind(), string(a.ID)),
		DisplayName: a.Name, Description: a.Description, Identities: slices.Clone(a.Identities),
	}
	if out.Identities == nil {
		out.Identities = []integration.OIDC{}
	}
	out.Metadata.CreatedAt, out.Metadata.UpdatedAt = a.CreatedAt, a.UpdatedAt
	return out
}

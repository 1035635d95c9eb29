package integration

import (
	"slices"
	"strings"
)

// bootstrap makes the first key of an organization, and the organization if it is missing: whoever holds that key can do
// the rest over the api. It is done once; with Replace, the key that it made is exchanged.
func (d *decision) bootstrap(actor Principal, ask Bootstrap) *Refusal {
	if r := checkIdentifier("/organization", string(d.organization)); r != nil {
		return r
	}
	if !actor.IsPlatform() {
		return Refuse(CodeDenied, "only the platform makes the first key of an organization")
	}
	first := RoleBinding{Principal: ask.Admin, Role: OrganizationAdmin}
	if r := first.check(); r != nil {
		r.Field = "/admin"
		return r
	}
	if r := ask.KeyClaim.check(d.in.Now); r != nil {
		return r
	}
	o, there := d.state.Organization()
	if there && o.FirstKey != nil && !ask.Replace {
		return Refuse(CodeExists, "organization %s has its first key, %s; replace it if it is lost", d.organization, o.FirstKey.Key)
	}
	a, known := d.state.Account(ask.Admin)
	if r := d.roomForKey(a, ask.Key, o.FirstKey); r != nil {
		return r
	}
	if !known {
		if r := d.roomForAccount(); r != nil {
			return r
		}
	}
	if !there {
		d.emit("", OrganizationCreated{Admin: ask.Admin, IntegrationQuota: DefaultQuota})
	} else if !slices.Contains(o.RoleBindings, first) {
		if len(o.RoleBindings) >= MaxRoleBindings {
			return Refuse(CodeQuota, "the organization has %d role bindings; at most %d are allowed", len(o.RoleBindings), MaxRoleBindings)
		}
		d.emit("", RoleBindingCreated{first})
	}
	if !known {
		d.emitAccount(ask.Admin, AccountCreated{Kind: User, Name: shortened(string(ask.Admin)), CreatedBy: actor})
	}
	if old := o.FirstKey; old != nil {
		if of, ok := d.state.Account(old.Account); ok {
			if _, ok := of.Keys[old.Key]; ok {
				d.emitAccount(old.Account, KeyDeleted{Key: old.Key, DeletedBy: actor})
			}
		}
	}
	d.emitAccount(ask.Admin, KeyCreated{KeyClaim: ask.KeyClaim.canonical(), CreatedBy: actor})
	d.emit("", Bootstrapped{FirstKey{Account: ask.Admin, Key: ask.Key}})
	return nil
}

// shortened makes a display name of a principal's id, which may be longer.
func shortened(s string) string { return s[:min(len(s), MaxName)] }

// mayManage checks that the actor may see and change accounts; to others those of others do not exist.
func (o Organization) mayManage(actor, of Principal) *Refusal {
	switch {
	case o.Permits(actor, OpAccounts, Scope{}):
		return nil
	case actor == of:
		return Refuse(CodeDenied, "%s may not change its own account", actor)
	}
	return noAccount(of)
}

func noAccount(p Principal) *Refusal {
	return Refuse(CodeNotFound, "account %.64s does not exist", p)
}

func (d *decision) createAccount(o Organization, actor Principal, ask CreateAccount) *Refusal {
	if !o.Permits(actor, OpAccounts, Scope{}) {
		return Refuse(CodeDenied, "%s may not create accounts", actor)
	}
	prefix, ok := prefixes[ask.Kind]
	if !ok {
		return refuseField("/kind", "want %s or %s", User, ServiceAccount)
	}
	id := ask.Account
	switch {
	case id == "":
		id = Principal(prefix + strings.TrimPrefix(string(d.in.ID), IDPrefix))
	case !actor.IsPlatform():
		return refuseField("/account", "is chosen here; only the platform names accounts")
	case id.IsPlatform():
		return refuseField("/account", "the platform's own principals have no accounts")
	}
	if r := checkPrincipal("/account", id); r != nil {
		return r
	}
	a := Account{ID: id, Name: ask.Name, Description: ask.Description, Identities: ask.Identities}
	if r := d.checkAccount(a); r != nil {
		return r
	}
	if _, taken := d.state.Account(id); taken {
		return &Refusal{Code: CodeExists, Field: "/account", Message: "is there already"}
	}
	if r := d.roomForAccount(); r != nil {
		return r
	}
	d.emitAccount(id, AccountCreated{
		Kind: ask.Kind, Name: ask.Name, Description: ask.Description, Identities: ask.Identities, CreatedBy: actor,
	})
	return nil
}

// checkAccount says what is wrong with what an asker chooses of an account.
func (d *decision) checkAccount(a Account) *Refusal {
	if r := checkName(a.Name); r != nil {
		return r
	}
	if r := checkDescription(a.Description); r != nil {
		return r
	}
	if n := len(a.Identities); n > MaxIdentities {
		return refuseField("/identities", "has %d identities; at most %d are allowed", n, MaxIdentities)
	}
	for n, who := range a.Identities {
		at := "/identities/" + string(rune('0'+n))
		if slices.Contains(a.Identities[:n], who) {
			return refuseField(at, "is there twice")
		}
		if r := who.check(at); r != nil {
			return r
		}
		for other, of := range d.state.everyAccount() {
			if other != a.ID && slices.Contains(of.Identities, who) {
				return &Refusal{Code: CodeExists, Field: at, Message: "proves another account of the organization already"}
			}
		}
	}
	return nil
}

func (d *decision) roomForAccount() *Refusal {
	if n := len(d.state.everyAccount()); n >= MaxAccounts {
		return Refuse(CodeQuota, "the organization has %d accounts; at most %d are allowed", n, MaxAccounts)
	}
	return nil
}

func (d *decision) updateAccount(o Organization, actor Principal, ask UpdateAccount) *Refusal {
	if r := o.mayManage(actor, ask.Account); r != nil {
		return r
	}
	a, ok := d.state.Account(ask.Account)
	if !ok {
		return noAccount(ask.Account)
	}
	if ask.Name != nil {
		a.Name = *ask.Name
	}
	if ask.Description != nil {
		a.Description = *ask.Description
	}
	if ask.Identities != nil {
		a.Identities = *ask.Identities
	}
	if r := d.checkAccount(a); r != nil {
		return r
	}
	d.emitAccount(a.ID, AccountUpdated{Name: a.Name, Description: a.Description, Identities: a.Identities})
	return nil
}

func (d *decision) deleteAccount(o Organization, actor Principal, ask DeleteAccount) *Refusal {
	if r := o.mayManage(actor, ask.Account); r != nil {
		return r
	}
	if _, ok := d.state.Account(ask.Account); !ok {
		return noAccount(ask.Account)
	}
	if o.admins() == 1 && slices.Contains(o.RoleBindings, RoleBinding{Principal: ask.Account, Role: OrganizationAdmin}) {
		return Refuse(CodeConflict, "the organization would have no OrganizationAdmin left")
	}
	d.emitAccount(ask.Account, AccountDeleted{DeletedBy: actor})
	for _, b := range o.RoleBindings {
		if b.Principal == ask.Account {
			d.emit("", RoleBindingDeleted{b})
		}
	}
	return nil
}

// mayManageKeys checks that the actor may make and delete keys of an account. Users do so for themselves; a service
// account does not, so that whoever stole its key cannot make others before it is deleted.
func (d *decision) mayManageKeys(o Organization, actor, of Principal) *Refusal {
	a, ok := d.state.Account(of)
	switch {
	case ok && actor == of && a.Kind == User:
		return nil
	case !ok && o.Permits(actor, OpAccounts, Scope{}):
		return noAccount(of)
	}
	return o.mayManage(actor, of)
}

// roomForKey checks that an account may have another key of this id; the key instead counts no longer.
func (d *decision) roomForKey(a Account, id KeyID, instead *FirstKey) *Refusal {
	n := len(a.Keys)
	if instead != nil && instead.Account == a.ID {
		if _, ok := a.Keys[instead.Key]; ok {
			n--
		}
	}
	if n >= MaxKeys {
		return Refuse(CodeQuota, "account %s has %d keys; at most %d are allowed", a.ID, n, MaxKeys)
	}
	if _, taken := d.owner(id); taken {
		return &Refusal{Code: CodeExists, Field: "/key", Message: "is a key of this organization already"}
	}
	return nil
}

// owner returns the account that has a key.
func (d *decision) owner(id KeyID) (Principal, bool) {
	for p, a := range d.state.everyAccount() {
		if _, ok := a.Keys[id]; ok {
			return p, true
		}
	}
	return "", false
}

func (d *decision) createKey(o Organization, actor Principal, ask CreateKey) *Refusal {
	if r := d.mayManageKeys(o, actor, ask.Account); r != nil {
		return r
	}
	if r := ask.KeyClaim.check(d.in.Now); r != nil {
		return r
	}
	a, _ := d.state.Account(ask.Account)
	if r := d.roomForKey(a, ask.Key, nil); r != nil {
		return r
	}
	d.emitAccount(a.ID, KeyCreated{KeyClaim: ask.KeyClaim.canonical(), CreatedBy: actor})
	return nil
}

func (d *decision) deleteKey(o Organization, actor Principal, ask DeleteKey) *Refusal {
	unknown := Refuse(CodeNotFound, "API key %.64s does not exist", ask.Key)
	of, ok := d.owner(ask.Key)
	if !ok {
		return unknown
	}
	if r := d.mayManageKeys(o, actor, of); r != nil {
		if r.Code == CodeNotFound {
			return unknown // as if there were none
		}
		return r
	}
	d.emitAccount(of, KeyDeleted{Key: ask.Key, DeletedBy: actor})
	return nil
}

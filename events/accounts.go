package events

import (
	"cmp"
	"maps"
	"slices"

	"github.com/rolebridge/rolebridge/integration"
)

// accounts finds the accounts of all organizations: by name, by the id of an API key, and by whose tokens prove them. An
// id of a key and a holder of tokens may be those of accounts in several organizations; which one is meant is for a proof
// to tell. Guarded by the table's lock.
type accounts struct {
	of      map[integration.OrganizationID]map[integration.Principal]*integration.Account
	keys    map[integration.KeyID][]*integration.Account
	holders map[TokenHolder][]*integration.Account
}

// TokenHolder is who the tokens of an issuer are about.
type TokenHolder struct{ Issuer, Subject string }

func newAccounts() accounts {
	return accounts{
		of:      map[integration.OrganizationID]map[integration.Principal]*integration.Account{},
		keys:    map[integration.KeyID][]*integration.Account{},
		holders: map[TokenHolder][]*integration.Account{},
	}
}

// put replaces an account, or removes it when a is nil.
func (all accounts) put(o integration.OrganizationID, p integration.Principal, a *integration.Account) {
	if was, ok := all.of[o][p]; ok {
		for key := range was.Keys {
			without(all.keys, key, was)
		}
		for _, who := range was.Identities {
			without(all.holders, TokenHolder{who.Issuer, who.Subject}, was)
		}
		if delete(all.of[o], p); len(all.of[o]) == 0 {
			delete(all.of, o)
		}
	}
	if a == nil {
		return
	}
	if all.of[o] == nil {
		all.of[o] = map[integration.Principal]*integration.Account{}
	}
	all.of[o][p] = a
	for key := range a.Keys {
		all.keys[key] = append(slices.Clip(all.keys[key]), a)
	}
	for _, who := range a.Identities {
		h := TokenHolder{who.Issuer, who.Subject}
		if !slices.Contains(all.holders[h], a) { // two audiences of one subject
			all.holders[h] = append(slices.Clip(all.holders[h]), a)
		}
	}
}

// without takes an account from an index; readers may still hold the slice as it was.
func without[K comparable](index map[K][]*integration.Account, key K, a *integration.Account) {
	rest := slices.DeleteFunc(slices.Clone(index[key]), func(other *integration.Account) bool { return other == a })
	if len(rest) == 0 {
		delete(index, key)
		return
	}
	index[key] = rest
}

// Account returns the account of a principal.
func (t *Table) Account(o integration.OrganizationID, p integration.Principal) (*integration.Account, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	a, ok := t.accounts.of[o][p]
	return a, ok
}

// Accounts returns the accounts of an organization, by id.
func (t *Table) Accounts(o integration.OrganizationID) []*integration.Account {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.SortedFunc(maps.Values(t.accounts.of[o]), func(a, b *integration.Account) int { return cmp.Compare(a.ID, b.ID) })
}

// KeyOwners returns the accounts, of all organizations, that have an API key of this id. The slice is shared and must not
// be changed.
func (t *Table) KeyOwners(id integration.KeyID) []*integration.Account {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.accounts.keys[id]
}

// TokenOwners returns the accounts, of all organizations, that tokens about h may prove. The slice is shared and must not
// be changed.
func (t *Table) TokenOwners(h TokenHolder) []*integration.Account {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.accounts.holders[h]
}

package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/integration"
)

const (
	keyA = integration.KeyID("AAAAAAAAAAAAAAAA")
	keyB = integration.KeyID("BBBBBBBBBBBBBBBB")
)

// aKey is a claim of the key of this id.
func aKey(id integration.KeyID) integration.KeyClaim {
	return integration.KeyClaim{Key: id, Proof: strings.Repeat("f", 64)}
}

func (w *world) account(kind integration.AccountKind, who ...integration.OIDC) integration.Principal {
	w.t.Helper()
	return w.mustDo(admin, integration.CreateAccount{Kind: kind, Name: "n", Identities: who}).Account
}

func TestTheFirstKeyIsMadeOnceAndCanBeReplaced(t *testing.T) {
	w := &world{t: t, state: integration.NewState(), now: start}
	w.refused(admin, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyA)}, integration.CodeDenied, "")
	w.mustDo(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyA)})
	w.refused(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyB)}, integration.CodeExists, "")
	w.refused(control, integration.Bootstrap{Admin: "platform:x", KeyClaim: aKey(keyB), Replace: true}, integration.CodeInvalid, "/admin")
	w.refused(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey("short"), Replace: true}, integration.CodeInvalid, "/key")
	w.mustDo(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyB), Replace: true})

	o, _ := w.state.Organization()
	a, _ := w.state.Account(admin)
	_, old := a.Keys[keyA]
	if _, ok := a.Keys[keyB]; !ok || old || a.Kind != integration.User {
		t.Errorf("got the account %+v, want a user with key %s alone", a, keyB)
	}
	if *o.FirstKey != (integration.FirstKey{Account: admin, Key: keyB}) || !o.Permits(admin, integration.OpAccounts, integration.Scope{}) {
		t.Errorf("got %+v, want %s as first key of its administrator", o, keyB)
	}
}

func TestABootstrapOfAnOrganizationThatIsThereGivesItsAdministratorTheRole(t *testing.T) {
	w := newWorld(t)
	w.mustDo(control, integration.Bootstrap{Admin: "u-rescue", KeyClaim: aKey(keyA)})
	o, _ := w.state.Organization()
	if !o.Permits("u-rescue", integration.OpConfigure, integration.Scope{}) || !o.Permits(admin, integration.OpConfigure, integration.Scope{}) {
		t.Errorf("got the roles %v, want both as administrators", o.RoleBindings)
	}
	w.mustDo(admin, integration.DeleteAccount{Account: "u-rescue"})
	w.refused(control, integration.Bootstrap{Admin: "u-rescue", KeyClaim: aKey(keyB)}, integration.CodeExists, "")
	w.mustDo(control, integration.Bootstrap{Admin: "u-rescue", KeyClaim: aKey(keyB), Replace: true})
}

func TestAnAccountHasWhatItWasGivenAndGoesWithItsRoles(t *testing.T) {
	w := newWorld(t)
	sa, user := w.account(integration.ServiceAccount), w.account(integration.User, github.OIDC)
	if !strings.HasPrefix(string(sa), "sa-") || !strings.HasPrefix(string(user), "u-") {
		t.Errorf("got the ids %s and %s", sa, user)
	}
	w.refused(admin, integration.CreateAccount{Kind: integration.User, Name: "n", Identities: []integration.OIDC{github.OIDC}}, integration.CodeExists, "/identities/0")
	w.refused(admin, integration.CreateAccount{Kind: "robot", Name: "n"}, integration.CodeInvalid, "/kind")
	w.refused(admin, integration.CreateAccount{Account: "u-mine", Kind: integration.User, Name: "n"}, integration.CodeInvalid, "/account")
	w.mustDo(control, integration.CreateAccount{Account: "u-known", Kind: integration.User, Name: "n"})
	w.refused(control, integration.CreateAccount{Account: "u-known", Kind: integration.User, Name: "n"}, integration.CodeExists, "/account")
	name, bad := "other", " "
	w.mustDo(admin, integration.UpdateAccount{Account: sa, Name: &name})
	w.refused(admin, integration.UpdateAccount{Account: sa, Description: &bad}, integration.CodeInvalid, "/description")
	if a, _ := w.state.Account(sa); a.Name != name || a.Version != 2 {
		t.Errorf("got %+v, want its name changed", a)
	}

	role := integration.RoleBinding{Principal: sa, Role: integration.Assigner, Scope: integration.Scope{Environment: env}}
	w.mustDo(admin, integration.CreateRoleBinding{RoleBinding: role})
	w.mustDo(admin, integration.CreateKey{Account: sa, KeyClaim: aKey(keyA)})
	w.mustDo(admin, integration.DeleteAccount{Account: sa})
	if o, _ := w.state.Organization(); slices.Contains(o.RoleBindings, role) {
		t.Error("a role outlives its account")
	}
	w.mustDo(admin, integration.CreateKey{Account: user, KeyClaim: aKey(keyA)}) // free again
}

func TestWhoManagesAccountsAndKeys(t *testing.T) {
	w := newWorld(t)
	sa, user := w.account(integration.ServiceAccount), w.account(integration.User)
	for _, p := range []integration.Principal{sa, user} {
		w.mustDo(admin, integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{
			Principal: p, Role: integration.EnvironmentAdmin, Scope: integration.Scope{Environment: env},
		}})
	}
	name := "n"
	w.refused(user, integration.CreateAccount{Kind: integration.ServiceAccount, Name: "n"}, integration.CodeDenied, "")
	w.refused(user, integration.UpdateAccount{Account: user, Name: &name}, integration.CodeDenied, "")
	w.refused(user, integration.DeleteAccount{Account: sa}, integration.CodeNotFound, "")
	w.refused(user, integration.CreateKey{Account: sa, KeyClaim: aKey(keyA)}, integration.CodeNotFound, "")
	w.refused(sa, integration.CreateKey{Account: sa, KeyClaim: aKey(keyA)}, integration.CodeDenied, "")
	w.mustDo(user, integration.CreateKey{Account: user, KeyClaim: aKey(keyA)})
	w.refused(admin, integration.CreateKey{Account: sa, KeyClaim: aKey(keyA)}, integration.CodeExists, "/key")
	w.refused(admin, integration.DeleteKey{Key: keyB}, integration.CodeNotFound, "")
	w.refused(sa, integration.DeleteKey{Key: keyA}, integration.CodeNotFound, "")
	w.refused(admin, integration.CreateKey{Account: "u-nobody", KeyClaim: aKey(keyB)}, integration.CodeNotFound, "")
	w.mustDo(admin, integration.DeleteKey{Key: keyA})
}

func TestAnAccountHasAtMostTenKeysThatEnd(t *testing.T) {
	w := newWorld(t)
	sa := w.account(integration.ServiceAccount)
	claim := aKey(keyA)
	for _, at := range []time.Time{w.now, w.now.AddDate(11, 0, 0)} {
		claim.ExpiresAt = at
		w.refused(admin, integration.CreateKey{Account: sa, KeyClaim: claim}, integration.CodeInvalid, "/expires_at")
	}
	for n := range integration.MaxKeys {
		w.mustDo(admin, integration.CreateKey{Account: sa, KeyClaim: aKey(integration.KeyID(fmt.Sprintf("KEY%013d", n)))})
	}
	w.refused(admin, integration.CreateKey{Account: sa, KeyClaim: aKey(keyA)}, integration.CodeQuota, "")
}

func TestAnOrganizationHasAtMostAThousandAccounts(t *testing.T) {
	w := newWorld(t)
	for n := range integration.MaxAccounts {
		w.state.SetAccount(integration.Account{ID: integration.Principal(fmt.Sprint("u-", n)), Organization: org})
	}
	w.refused(admin, integration.CreateAccount{Kind: integration.User, Name: "n"}, integration.CodeQuota, "")
	w.refused(control, integration.Bootstrap{Admin: "u-new", KeyClaim: aKey(keyA)}, integration.CodeQuota, "")
}

func TestTheLastAdministratorStays(t *testing.T) {
	w := newWorld(t)
	w.mustDo(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyA)})
	w.refused(admin, integration.DeleteAccount{Account: admin}, integration.CodeConflict, "")
}

func TestAProofOfAKeyIsForOnePlaceOnly(t *testing.T) {
	t.Parallel()
	proof := integration.KeyProof(org, admin, keyA, "secret")
	key := integration.APIKey{Proof: proof}
	for name, other := range map[string]string{
		"another organization": integration.KeyProof("org-2", admin, keyA, "secret"),
		"another account":      integration.KeyProof(org, "u-2", keyA, "secret"),
		"another key":          integration.KeyProof(org, admin, keyB, "secret"),
		"another secret":       integration.KeyProof(org, admin, keyA, "secreT"),
		"nothing":              "",
	} {
		if key.Proves(other) {
			t.Errorf("the proof for %s is taken", name)
		}
	}
	if !key.Proves(integration.KeyProof(org, admin, keyA, "secret")) || (integration.APIKey{}).Proves("") {
		t.Error("a key proves its own secret, and one without a proof nothing")
	}
}

func TestAnEnvironmentThatEndsInAStarIsAllThatBeginSo(t *testing.T) {
	t.Parallel()
	prod := integration.Organization{RoleBindings: []integration.RoleBinding{
		{Principal: "u-1", Role: integration.EnvironmentAdmin, Scope: integration.Scope{Environment: "prod-*"}},
	}}
	every := integration.Organization{RoleBindings: []integration.RoleBinding{
		{Principal: "u-1", Role: integration.EnvironmentAdmin, Scope: integration.Scope{Environment: "*"}},
	}}
	for scope, want := range map[integration.Scope][2]bool{
		{}:                        {false, false},
		{Environment: "prod-1"}:   {true, true},
		{Environment: "prod-1-*"}: {true, true},
		{Environment: "prod-*"}:   {true, true},
		{Environment: "prod*"}:    {false, true},
		{Environment: "*"}:        {false, true},
		{Environment: "test-1"}:   {false, true},
		{Environment: "prod-1", Integration: "cspi-00001"}: {true, true},
	} {
		if got := [2]bool{prod.Permits("u-1", integration.OpManage, scope), every.Permits("u-1", integration.OpManage, scope)}; got != want {
			t.Errorf("%+v: prod-* and * permit %v, want %v", scope, got, want)
		}
	}
	w := newWorld(t)
	grant := func(s integration.Scope) integration.CreateRoleBinding {
		return integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{Principal: "u-prod", Role: integration.EnvironmentAdmin, Scope: s}}
	}
	w.mustDo(admin, grant(integration.Scope{Environment: "prod-*"}))
	w.mustDo("u-prod", grant(integration.Scope{Environment: "prod-eu-*"}))
	w.refused("u-prod", grant(integration.Scope{Environment: "*"}), integration.CodeDenied, "")
	w.refused(admin, grant(integration.Scope{Environment: "pr*d"}), integration.CodeInvalid, "/scope/environment")
	w.refused(admin, integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{
		Principal: "u-1", Role: integration.Assigner, Scope: integration.Scope{Environment: "prod-*", Integration: "cspi-00001"},
	}}, integration.CodeInvalid, "/scope/environment")
}

// aboutAccounts asks for something about accounts and keys.
func (h *history) aboutAccounts(rt *rapid.T) integration.Ask {
	of := rapid.SampledFrom(append([]integration.Principal{admin, "u-2", "sa-1"}, h.someAccounts()...)).Draw(rt, "account")
	key := rapid.SampledFrom([]integration.KeyID{keyA, keyB, "bad"}).Draw(rt, "key")
	who := rapid.SampledFrom([][]integration.OIDC{nil, {github.OIDC}, {github.OIDC, github.OIDC}}).Draw(rt, "identities")
	kind := rapid.SampledFrom([]integration.AccountKind{integration.User, integration.ServiceAccount, ""}).Draw(rt, "kind")
	return rapid.SampledFrom([]integration.Ask{
		integration.CreateAccount{Kind: kind, Name: "n", Identities: who},
		integration.CreateAccount{Account: of, Kind: kind, Name: "n", Identities: who},
		integration.UpdateAccount{Account: of, Identities: &who},
		integration.DeleteAccount{Account: of},
		integration.CreateKey{Account: of, KeyClaim: aKey(key)},
		integration.CreateKey{Account: of, KeyClaim: aKey(key)},
		integration.DeleteKey{Key: key},
		integration.Bootstrap{Admin: of, KeyClaim: aKey(key), Replace: rapid.Bool().Draw(rt, "replace")},
	}).Draw(rt, "about accounts")
}

func (h *history) someAccounts() (all []integration.Principal) {
	for p := range h.accounts {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// checkAccount looks at one event about an account.
func (h *history) checkAccount(t *rapid.T, e integration.Event) {
	if _, created := e.Fact.(integration.AccountCreated); created == (h.accounts[e.Account] > 0) {
		t.Fatalf("%s of %s, which has version %d", e.Fact.Type(), e.Account, h.accounts[e.Account])
	}
	if e.Version != h.accounts[e.Account]+1 {
		t.Fatalf("%s of %s has version %d after %d", e.Fact.Type(), e.Account, e.Version, h.accounts[e.Account])
	}
	h.accounts[e.Account] = e.Version
	if _, gone := e.Fact.(integration.AccountDeleted); gone {
		delete(h.accounts, e.Account)
	}
}

// accountsHold checks that keys and identities prove one account of the organization each, and that somebody administers it.
func (h *history) accountsHold(t *rapid.T, o integration.Organization) {
	admins := 0
	for _, b := range o.RoleBindings {
		if b.Role == integration.OrganizationAdmin {
			admins++
		}
	}
	if admins == 0 {
		t.Fatal("nobody administers the organization")
	}
	owner := map[any]integration.Principal{}
	for p := range h.accounts {
		a, ok := h.w.state.Account(p)
		if !ok || a.Version != h.accounts[p] {
			t.Fatalf("%s has version %d, want %d", p, a.Version, h.accounts[p])
		}
		for key := range a.Keys {
			if other, taken := owner[key]; taken {
				t.Fatalf("%s and %s have the key %s", p, other, key)
			}
			owner[key] = p
		}
		for _, who := range a.Identities {
			if other, taken := owner[who]; taken {
				t.Fatalf("%s and %s are proved by %+v", p, other, who)
			}
			owner[who] = p
		}
	}
}

package integration_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

// answers reports whether f may answer ask.
func answers(ask integration.Ask, f integration.Fact) bool {
	_, refused := f.(integration.Refused)
	return refused || slices.Contains(answerTypes(ask), f.Type())
}

// answerTypes are the types of the events that may answer a command which is carried out.
func answerTypes(ask integration.Ask) []string {
	var types []string
	for _, f := range integration.Answers(ask) {
		types = append(types, f.Type())
	}
	slices.Sort(types)
	return types
}

// TestEveryCommandIsAnsweredByWhatIsListedForIt carries out every kind of command in every way that has an answer of its own.
// That nothing else answers is also seen by all tests that decide something (world.do, history.command).
func TestEveryCommandIsAnsweredByWhatIsListedForIt(t *testing.T) {
	w, seen := newWorld(t), map[string]map[string]bool{}
	do := func(actor integration.Principal, ask integration.Ask) integration.Event {
		t.Helper()
		e := w.mustDo(actor, ask)
		if seen[ask.Type()] == nil {
			seen[ask.Type()] = map[string]bool{}
		}
		seen[ask.Type()][e.Fact.Type()] = true
		return e
	}
	bare := w.state
	w.state = integration.NewState()
	do(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyA)}) // makes the organization
	w.state = integration.NewState()
	do(control, integration.CreateOrganization{Admin: "u-other"})
	do(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyA)})                // gives the role
	do(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyB), Replace: true}) // ends the old key
	do(admin, integration.DeleteKey{Key: aKey(keyB).Key})                                 // …
	do(control, integration.Bootstrap{Admin: admin, KeyClaim: aKey(keyA), Replace: true}) // which is gone
	do(control, integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{Principal: "u-new", Role: integration.OrganizationAdmin}})
	do(control, integration.Bootstrap{Admin: "u-new", KeyClaim: aKey(keyB), Replace: true}) // makes the account
	w.state = bare

	do(admin, integration.ConfigureOrganization{InsecureRoles: integration.InsecureWarn})
	role := integration.RoleBinding{Principal: "u-1", Role: integration.Assigner, Scope: integration.Scope{Environment: "env-1"}}
	do(admin, integration.CreateRoleBinding{RoleBinding: role})
	do(admin, integration.DeleteRoleBinding{RoleBinding: role})
	account, name := do(admin, integration.CreateAccount{Kind: integration.ServiceAccount, Name: "n"}).Account, "m"
	do(admin, integration.UpdateAccount{Account: account, Name: &name})
	do(admin, integration.CreateKey{Account: account, KeyClaim: aKey(keyA)})
	do(admin, integration.DeleteKey{Key: aKey(keyA).Key})
	do(admin, integration.DeleteAccount{Account: account})
	id := do(admin, integration.Create{Environment: "env-1", Name: "n", Config: integration.Config{Kind: integration.KindAWS}}).Integration
	do(admin, integration.Update{Integration: id, Config: integration.Config{Kind: integration.KindAWS, Customer: roleA}})
	w.mapped(id)
	do(admin, integration.Validate{Integration: id})
	do(admin, integration.RotateExternalID{Integration: id})
	do(admin, integration.AbortRotation{Integration: id})
	do(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	do(admin, integration.RotateToken{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashB)})
	do(admin, integration.RevokeSessions{Integration: id})
	do(admin, integration.Unbind{Integration: id, Connector: "lcc-1"})
	do(admin, integration.Delete{Integration: id})

	for _, ask := range integration.Asks() {
		if got, want := slices.Sorted(maps.Keys(seen[ask.Type()])), answerTypes(ask); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s was answered by %q, listed are %q", ask.Type(), got, want)
		}
	}
}

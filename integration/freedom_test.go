package integration_test

import (
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

// Clients of the provider-integration API tell integrations by their ids, and may repeat a creation under the same name for
// another role; the customer's role is what is there once in an environment.
func TestTwoIntegrationsOfOneEnvironmentMayHaveOneName(t *testing.T) {
	w := newWorld(t)
	first, second := w.create(roleA), w.create(roleA+"-2")
	if first == second || w.get(first).Name != w.get(second).Name {
		t.Errorf("got %+v and %+v, want two of one name", w.get(first), w.get(second))
	}
	w.refused(admin, integration.Create{
		Environment: env, Name: "another name", Config: integration.Config{Kind: integration.KindAWS, Customer: roleA},
	}, integration.CodeExists, "/config/customer_iam_role_arn")
}

// Principals are the control plane's: one that proves itself by the operator's keys, or only ever writes to Kafka, has no
// account, and one may be given a role before its account is made.
func TestARoleMayBeGivenToAPrincipalWithoutAnAccount(t *testing.T) {
	w := newWorld(t)
	binding := integration.RoleBinding{Principal: "sa-later", Role: integration.EnvironmentAdmin, Scope: integration.Scope{Environment: env}}
	w.mustDo(admin, integration.CreateRoleBinding{RoleBinding: binding})
	w.mustDo("sa-later", integration.Create{
		Environment: env, Name: "n", Config: integration.Config{Kind: integration.KindAWS, Customer: roleA},
	})
}

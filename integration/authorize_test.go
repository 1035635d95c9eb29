package integration_test

import (
	"slices"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

func TestTheMatrixOfRolesHolds(t *testing.T) {
	const elsewhere = integration.EnvironmentID("env-2")
	here := integration.Scope{Environment: env, Integration: "cspi-00001"}
	// Which operations each role has on integration cspi-00001 of env-1, by the scope of its binding.
	all := integration.Operations()
	cases := []struct {
		name string
		b    integration.RoleBinding
		may  []integration.Operation
	}{
		{"OrganizationAdmin", integration.RoleBinding{Role: integration.OrganizationAdmin}, all},
		{"EnvironmentAdmin here", integration.RoleBinding{Role: integration.EnvironmentAdmin, Scope: integration.Scope{Environment: env}}, []integration.Operation{"read", "create", "manage", "validate", "use", "grant"}},
		{"EnvironmentAdmin elsewhere", integration.RoleBinding{Role: integration.EnvironmentAdmin, Scope: integration.Scope{Environment: elsewhere}}, nil},
		{"ResourceOwner of it", integration.RoleBinding{Role: integration.ResourceOwner, Scope: here}, []integration.Operation{"read", "validate", "use", "grant"}},
		{"ResourceOwner of the environment's integrations", integration.RoleBinding{Role: integration.ResourceOwner, Scope: integration.Scope{Environment: env}}, []integration.Operation{"read", "validate", "use", "grant"}},
		{"ResourceOwner of another", integration.RoleBinding{Role: integration.ResourceOwner, Scope: integration.Scope{Environment: env, Integration: "cspi-00002"}}, nil},
		{"Assigner of it", integration.RoleBinding{Role: integration.Assigner, Scope: here}, []integration.Operation{"read", "use"}},
		{"Assigner elsewhere", integration.RoleBinding{Role: integration.Assigner, Scope: integration.Scope{Environment: elsewhere}}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.b.Principal = "u-1"
			o := integration.Organization{RoleBindings: []integration.RoleBinding{c.b}}
			for _, op := range all {
				want := false
				for _, may := range c.may {
					want = want || may == op
				}
				if got := o.Permits("u-1", op, here); got != want {
					t.Errorf("%s: permits %s = %v, want %v", c.name, op, got, want)
				}
				if o.Permits("u-2", op, here) {
					t.Errorf("somebody without a role may %s", op)
				}
			}
		})
	}
}

func TestCommandsAreRefusedToThoseWithoutTheRole(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	scope := integration.Scope{Environment: env, Integration: id}
	w.mustDo(admin, integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{Principal: "sa-assigner", Role: integration.Assigner, Scope: scope}})
	w.mustDo("sa-assigner", integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	w.refused("sa-assigner", integration.Delete{Integration: id}, integration.CodeDenied, "")
	w.refused("sa-assigner", integration.Create{Environment: env, Name: "n", Config: integration.Config{Kind: integration.KindAWS}}, integration.CodeDenied, "")
	w.refused("u-stranger", integration.Delete{Integration: id}, integration.CodeNotFound, "")
	w.refused(admin, integration.CreateOrganization{Admin: "u-me"}, integration.CodeDenied, "")
	w.refused("", integration.Validate{Integration: id}, integration.CodeInvalid, "/actor")
}

func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	w := newWorld(t)
	grant := func(p integration.Principal, r integration.Role, s integration.Scope) integration.CreateRoleBinding {
		return integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{Principal: p, Role: r, Scope: s}}
	}
	w.mustDo(admin, grant("u-env", integration.EnvironmentAdmin, integration.Scope{Environment: env}))
	w.refused("u-env", grant("u-x", integration.OrganizationAdmin, integration.Scope{}), integration.CodeDenied, "")
	w.refused("u-env", grant("u-x", integration.EnvironmentAdmin, integration.Scope{Environment: "env-2"}), integration.CodeDenied, "")
	w.mustDo("u-env", grant("u-own", integration.ResourceOwner, integration.Scope{Environment: env, Integration: "cspi-00009"}))
	w.refused("u-own", grant("u-x", integration.ResourceOwner, integration.Scope{Environment: env}), integration.CodeDenied, "")
	w.mustDo("u-own", grant("u-x", integration.Assigner, integration.Scope{Environment: env, Integration: "cspi-00009"}))
	last := integration.DeleteRoleBinding{RoleBinding: integration.RoleBinding{Principal: admin, Role: integration.OrganizationAdmin}}
	w.refused(admin, last, integration.CodeConflict, "")
}

func TestRolesOfADeletedIntegrationAreTakenAway(t *testing.T) {
	w := newWorld(t)
	id, other := w.create(roleA), w.create(roleB)
	of := func(p integration.Principal, about integration.ID) integration.RoleBinding {
		return integration.RoleBinding{Principal: p, Role: integration.Assigner, Scope: integration.Scope{Environment: env, Integration: about}}
	}
	for _, b := range []integration.RoleBinding{of("u-1", id), of("u-1", other), of("u-2", id), of("u-2", "")} {
		w.mustDo(admin, integration.CreateRoleBinding{RoleBinding: b})
	}
	w.mustDo(admin, integration.Delete{Integration: id})
	before, _ := w.state.Organization()
	w.result(id, w.get(id).Mapping.Attempt, integration.MappingWasRemoved{})
	after, _ := w.state.Organization()
	want := []integration.RoleBinding{{Principal: admin, Role: integration.OrganizationAdmin}, of("u-1", other), of("u-2", "")}
	if !slices.Equal(after.RoleBindings, want) {
		t.Errorf("role bindings:\ngot  %v\nwant %v", after.RoleBindings, want)
	}
	if after.Version != before.Version+2 {
		t.Errorf("the organization's version is %d, want %d: one more for each binding", after.Version, before.Version+2)
	}
}

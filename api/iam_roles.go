package api

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"net/http"
	"slices"
	"strings"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// ofPrincipal opens every principal in a role binding, as clients have it, for service accounts too.
const ofPrincipal = "User:"

// roleID is the id of a role binding, which follows from what it says: it has none in the state.
func roleID(o integration.OrganizationID, b integration.RoleBinding) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{
		string(o), string(b.Principal), string(b.Role), string(b.Scope.Environment), string(b.Scope.Integration),
	}, "\n")))
	return "rb-" + strings.ToLower(base32.HexEncoding.EncodeToString(sum[:10]))
}

// seesRole reports whether the caller may see a role binding: its own, and those in a scope in which it may give roles.
func (c *call) seesRole(b integration.RoleBinding) bool {
	return b.Principal == c.Principal || c.organization.Permits(c.Principal, integration.OpGrant, b.Scope)
}

// listRoles lists role bindings: those of crn_pattern, of a principal, and of a role, where these are given.
func (s *Server) listRoles(c *call) (answer, error) {
	q := c.URL.Query()
	inside := s.searched(c.Organization, q.Get("crn_pattern"))
	principal, role := strings.TrimPrefix(q.Get("principal"), ofPrincipal), integration.Role(q.Get("role_name"))
	var all []wire.RoleBinding
	for _, b := range c.organization.RoleBindings {
		if c.seesRole(b) && inside(b) && (principal == "" || string(b.Principal) == principal) && (role == "" || b.Role == role) {
			all = append(all, s.roleBinding(c, b))
		}
	}
	slices.SortFunc(all, func(a, b wire.RoleBinding) int { return cmp.Compare(a.ID, b.ID) })
	part, meta, err := iamPage(s, c, wire.KindRoleBinding, all, func(b wire.RoleBinding) string { return b.ID }, "crn_pattern", "principal", "role_name")
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: wire.RoleBindingList{APIVersion: wire.IAM, Kind: wire.KindRoleBinding + "List", Metadata: meta, Data: part}}, nil
}

// searched makes a condition of the crn_pattern of a list, which the known API calls a partial search: of what is within a
// pattern, which the known command line ends in /* for that, and of any part of a pattern.
func (s *Server) searched(o integration.OrganizationID, text string) func(integration.RoleBinding) bool {
	within, whole := s.scope(o, strings.TrimSuffix(text, "/"+anyResource))
	return func(b integration.RoleBinding) bool {
		return whole && within.Covers(b.Scope) || strings.Contains(s.pattern(o, b), text)
	}
}

// noPattern says what a pattern looks like. One of another organization is no pattern either.
func noPattern() *failure {
	return failField("/crn_pattern", "want a resource name of your organization, e.g. crn://…/organization=…/environment=…/provider-integration=*")
}

// findRole returns a role binding that the caller may see.
func (s *Server) findRole(c *call, id string) (integration.RoleBinding, error) {
	for _, b := range c.organization.RoleBindings {
		if roleID(c.Organization, b) == id && c.seesRole(b) {
			return b, nil
		}
	}
	return integration.RoleBinding{}, fail(integration.CodeNotFound, "role binding %.64s does not exist", id)
}

func (s *Server) readRole(c *call) (answer, error) {
	b, err := s.findRole(c, c.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: s.roleBinding(c, b)}, nil
}

// giveRole gives a role; giving it again changes nothing.
func (s *Server) giveRole(c *call) (answer, error) {
	var body wire.RoleBindingRequest
	if err := s.bodies.read(c.Request, bodyRoleBinding, &body); err != nil {
		return answer{}, err
	}
	principal, ok := strings.CutPrefix(body.Principal, ofPrincipal)
	if !ok {
		return answer{}, failField("/principal", "want %s and the id of a user or service account", ofPrincipal)
	}
	scope, ok := s.scope(c.Organization, body.CRNPattern)
	if !ok {
		return answer{}, noPattern()
	}
	b := integration.RoleBinding{Principal: integration.Principal(principal), Role: integration.Role(body.RoleName), Scope: scope}
	_, command, err := s.change(c, integration.CreateRoleBinding{RoleBinding: b}, func() error { return nil })
	if err != nil {
		return answer{command: command}, inPattern(err)
	}
	shown := s.roleBinding(c, b)
	return answer{status: http.StatusCreated, body: shown, location: shown.Metadata.Self, command: command}, nil
}

// inPattern puts the place of a fault where the body has it.
func inPattern(err error) error {
	f := failed(err)
	for n := range f.faults {
		switch at := f.faults[n].pointer; {
		case at == "/role":
			f.faults[n].pointer = "/role_name"
		case strings.HasPrefix(at, "/scope"):
			f.faults[n].pointer = "/crn_pattern"
		}
	}
	return f
}

// takeRole takes a role away and shows what it was, as clients expect.
func (s *Server) takeRole(c *call) (answer, error) {
	b, err := s.findRole(c, c.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	_, command, err := s.change(c, integration.DeleteRoleBinding{RoleBinding: b}, func() error { return nil })
	if err != nil {
		return answer{command: command}, inPattern(err)
	}
	return answer{status: http.StatusOK, body: s.roleBinding(c, b), command: command}, nil
}

func (s *Server) roleBinding(c *call, b integration.RoleBinding) wire.RoleBinding {
	id := roleID(c.Organization, b)
	return wire.RoleBinding{
		APIVersion: wire.IAM, Kind: wire.KindRoleBinding, ID: id, Metadata: s.iamMeta(c, wire.KindRoleBinding, id),
		Principal: ofPrincipal + string(b.Principal), RoleName: string(b.Role), CRNPattern: s.pattern(c.Organization, b),
	}
}

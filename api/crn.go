package api

import (
	"strings"

	"github.com/rolebridge/rolebridge/integration"
)

// anyResource stands in a pattern for all integrations of an environment.
const anyResource = "*"

// crnOrganization names an organization.
func (s *Server) crnOrganization(o integration.OrganizationID) string {
	return "crn://" + s.config.Authority + "/organization=" + string(o)
}

// pattern writes the scope of a role as a pattern of resource names:
//
//	crn://AUTHORITY/organization=O                                     the organization
//	crn://AUTHORITY/organization=O/environment=E                       environments; E may end in a star
//	crn://AUTHORITY/organization=O/environment=E/provider-integration=*  all their integrations
//	…/provider-integration=cspi-12345                                  one integration
func (s *Server) pattern(o integration.OrganizationID, b integration.RoleBinding) string {
	switch {
	case b.Scope.Environment == "":
		return s.crnOrganization(o)
	case b.Scope.Integration != "":
		return s.crn(o, b.Scope.Environment, "provider-integration", string(b.Scope.Integration))
	case b.Role == integration.EnvironmentAdmin:
		return s.crn(o, b.Scope.Environment)
	}
	return s.crn(o, b.Scope.Environment, "provider-integration", anyResource)
}

// scope reads a pattern. ok is false for one that is none, and for one of another organization: nothing there may be
// named, whether it exists or not.
func (s *Server) scope(o integration.OrganizationID, pattern string) (scope integration.Scope, ok bool) {
	rest, ok := strings.CutPrefix(pattern, s.crnOrganization(o))
	if !ok {
		return scope, false
	}
	if rest == "" {
		return scope, true
	}
	rest, ok = strings.CutPrefix(rest, "/environment=")
	environment, rest, inside := strings.Cut(rest, "/")
	scope.Environment = integration.EnvironmentID(environment)
	if !ok || environment == "" || !inside {
		return scope, ok && environment != ""
	}
	id, ok := strings.CutPrefix(rest, "provider-integration=")
	if id != anyResource {
		scope.Integration = integration.ID(id)
	}
	return scope, ok && id != ""
}

package integration

import (
	"slices"
	"strings"
	"time"
)

// DefaultQuota is how many integrations an organization may have across all clouds, unless configured otherwise.
const DefaultQuota = 100

// MaxQuota bounds what may be configured: one organization lives on one partition.
const MaxQuota = 100_000

// InsecureRoles is an organization's setting for roles that admit us without their external ID.
type InsecureRoles string

// What to do about insecure roles.
const (
	InsecureBlock InsecureRoles = "block" // no credentials; the default
	InsecureWarn  InsecureRoles = "warn"  // credentials flow, the finding stays
)

// Organization is a tenant: its limits and who may do what in it. Values are immutable.
type Organization struct {
	ID            OrganizationID `json:"id"`
	Version       int64          `json:"version"`
	Quota         int            `json:"integration_quota"`
	InsecureRoles InsecureRoles  `json:"insecure_roles"`
	RoleBindings  []RoleBinding  `json:"role_bindings"`
	CreatedAt     time.Time      `json:"created_at"`
	// FirstKey is the key that the last bootstrap made, also when it was deleted since; nil before the first.
	FirstKey *FirstKey `json:"first_key,omitempty"`
}

// FirstKey names the API key that a bootstrap made.
type FirstKey struct {
	Account Principal `json:"account"`
	Key     KeyID     `json:"key"`
}

// RoleBinding gives one principal one role within a scope.
type RoleBinding struct {
	Principal Principal `json:"principal"`
	Role      Role      `json:"role"`
	Scope     Scope     `json:"scope,omitzero"`
}

// Scope is the part of an organization that a role binding covers. Empty is the whole organization; an environment
// alone is all of it, and one that ends in "*" is all whose ids begin so; with an integration it is that one integration.
type Scope struct {
	Environment EnvironmentID `json:"environment,omitempty"`
	Integration ID            `json:"integration,omitempty"`
}

// Covers reports whether everything in t is also in s.
func (s Scope) Covers(t Scope) bool {
	if s.Environment == "" {
		return true
	}
	return s.Environment.matches(t.Environment) && (s.Integration == "" || s.Integration == t.Integration)
}

// anyEnvironment ends an environment that is a pattern.
const anyEnvironment = "*"

// matches reports whether other is e, or is one of those, or a pattern of some of those, that e as a pattern stands for.
// The whole organization is more than all its environments.
func (e EnvironmentID) matches(other EnvironmentID) bool {
	if prefix, pattern := strings.CutSuffix(string(e), anyEnvironment); pattern && other != "" {
		return strings.HasPrefix(string(other), prefix)
	}
	return e == other
}

func (s Scope) check(at string) *Refusal {
	if s.Environment == "" {
		if s.Integration != "" {
			return refuseField(at+"/environment", "is needed to name an integration")
		}
		return nil
	}
	begin, pattern := strings.CutSuffix(string(s.Environment), anyEnvironment)
	if pattern && s.Integration != "" {
		return refuseField(at+"/environment", "must be one to name an integration")
	}
	if r := checkIdentifier(at+"/environment", begin); r != nil && (!pattern || begin != "") {
		return r
	}
	if s.Integration != "" {
		return checkID(at+"/integration", s.Integration)
	}
	return nil
}

// MaxRoleBindings bounds the size of an organization's record on Kafka.
const MaxRoleBindings = 1000

// MaxConnectors bounds the size of an integration's record on Kafka.
const MaxConnectors = 1000

func (o Organization) withRoleBinding(b RoleBinding) Organization {
	o.RoleBindings = append(slices.Clip(o.RoleBindings), b)
	return o
}

func (o Organization) withoutRoleBinding(b RoleBinding) Organization {
	o.RoleBindings = slices.DeleteFunc(slices.Clone(o.RoleBindings), func(have RoleBinding) bool { return have == b })
	return o
}

package integration

import (
	"slices"
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
}

// RoleBinding gives one principal one role within a scope.
type RoleBinding struct {
	Principal Principal `json:"principal"`
	Role      Role      `json:"role"`
	Scope     Scope     `json:"scope,omitzero"`
}

// Scope is the part of an organization that a role binding covers. Empty is the whole organization; an environment
// alone is all of it; with an integration it is that one integration.
type Scope struct {
	Environment EnvironmentID `json:"environment,omitempty"`
	Integration ID            `json:"integration,omitempty"`
}

// covers reports whether everything in t is also in s.
func (s Scope) covers(t Scope) bool {
	if s.Environment == "" {
		return true
	}
	return s.Environment == t.Environment && (s.Integration == "" || s.Integration == t.Integration)
}

func (s Scope) check(at string) *Refusal {
	if s.Environment == "" {
		if s.Integration != "" {
			return refuseField(at+"/environment", "is needed to name an integration")
		}
		return nil
	}
	if r := checkIdentifier(at+"/environment", string(s.Environment)); r != nil {
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

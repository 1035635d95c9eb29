package integration

import (
	"maps"
	"time"
)

// Integration is one mapping between an identity of the platform and an identity of a customer. Values are immutable:
// [Evolve] makes a new one, so a reader may keep what it got.
type Integration struct {
	ID           ID             `json:"id"`
	Organization OrganizationID `json:"organization"`
	Environment  EnvironmentID  `json:"environment"`
	Name         string         `json:"display_name"`
	Config       Config         `json:"config"`
	// ExternalID is what the customer's trust policy must demand; made at random, never chosen by a customer.
	ExternalID string `json:"external_id"`
	// Version rises by one with every event of this integration.
	Version int64 `json:"version"`
	// Epoch is part of every cached session's key: raising it makes all of them unreachable.
	Epoch      int64                   `json:"epoch"`
	Mapping    Mapping                 `json:"mapping"`
	Trust      Trust                   `json:"trust"`
	Connectors map[ConnectorID]Binding `json:"connectors,omitempty"`
	// Rotation of the external ID that is under way; nil is none.
	Rotation *Rotation `json:"rotation,omitempty"`
	// Due is when mapping or trust have to be looked at; zero is never. Being state, it survives restarts. See
	// [Integration.NextDue].
	Due       time.Time `json:"due,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy Principal `json:"created_by"`
	UpdatedAt time.Time `json:"updated_at"`
}

// MappingStatus says how far the platform's own identity for an integration has come.
type MappingStatus string

// The states of a mapping.
const (
	MappingRequested MappingStatus = "requested"
	MappingReady     MappingStatus = "ready"
	MappingFailed    MappingStatus = "failed"
	MappingRemoving  MappingStatus = "removing"
)

// ReasonCloudNotEnabled is why no identity is made in a cloud that the platform does not offer, or not yet.
const ReasonCloudNotEnabled = "CloudNotEnabled"

// Mapping is the platform's identity made for one integration.
type Mapping struct {
	Status MappingStatus `json:"status"`
	// Attempt numbers the requests to the mapping worker; an answer to any but the latest is stale.
	Attempt int64 `json:"attempt"`
	// Platform is the identity itself, e.g. a role's ARN; empty until the mapping was ready once.
	Platform string `json:"platform,omitempty"`
	Reason   string `json:"reason,omitempty"`
	// Tries counts failures in a row, for the backoff.
	Tries int `json:"tries,omitempty"`
}

// Status is the state that clients of the provider-integration API know.
type Status string

// The statuses of the provider-integration API.
const (
	StatusDraft   Status = "DRAFT"
	StatusCreated Status = "CREATED"
	StatusActive  Status = "ACTIVE"
)

// Status follows from the facts: no customer identity, none that uses it, or in use.
func (i Integration) Status() Status {
	switch {
	case i.Config.Draft():
		return StatusDraft
	case len(i.Connectors) > 0:
		return StatusActive
	default:
		return StatusCreated
	}
}

// Deleting reports whether the integration is on its way out: nobody may use or change it, only its platform identity
// still has to be removed.
func (i Integration) Deleting() bool { return i.Mapping.Status == MappingRemoving }

// mapped reports whether the platform's identity was made for the present customer identity. While it is made again, or
// could not be, what was made before stays in use. Trust is first asked for when the mapping is ready, and unknown again
// with a new customer identity: that tells a first mapping from a repeated one.
func (i Integration) mapped() bool {
	if i.Deleting() || i.Mapping.Platform == "" {
		return false
	}
	return i.Mapping.Status == MappingReady || i.Trust.Status != TrustUnknown
}

// CredentialsAllowed is the gate before every session: nil when credentials may flow, else the reason why not. Trust
// that was never proved, or is proved to be broken, gives none; nor does a platform identity that was never made.
func (i Integration) CredentialsAllowed(o Organization) *Refusal {
	switch {
	case i.Deleting():
		return Refuse(CodeNotFound, "integration %s is being deleted", i.ID)
	case !i.mapped():
		return Refuse(CodeConflict, "the platform's identity of %s is %s", i.ID, i.Mapping.Status)
	case i.Trust.Status == TrustValid:
		return nil
	case i.Trust.Status == TrustInsecure && o.InsecureRoles == InsecureWarn:
		return nil
	default:
		return Refuse(CodeConflict, "trust of %s is %s", i.ID, i.Trust.Status)
	}
}

// withConnector returns a copy of i in which connector c has binding b.
func (i Integration) withConnector(c ConnectorID, b Binding) Integration {
	i.Connectors = with(i.Connectors, c, b)
	return i
}

// withoutConnector returns a copy of i in which connector c is not bound.
func (i Integration) withoutConnector(c ConnectorID) Integration {
	i.Connectors = without(i.Connectors, c)
	return i
}

// with returns a copy of m in which k is v: what an aggregate holds never changes, so that forks may share it.
func with[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	next := make(map[K]V, len(m)+1)
	maps.Copy(next, m)
	next[k] = v
	return next
}

// without returns a copy of m in which k is not.
func without[K comparable, V any](m map[K]V, k K) map[K]V {
	next := maps.Clone(m)
	delete(next, k)
	return next
}

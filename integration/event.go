package integration

import "time"

// Event is one fact about one aggregate. Facts are never refused and never taken back.
type Event struct {
	Organization OrganizationID
	// Integration is empty when the aggregate is the organization itself.
	Integration ID
	// Account is set when the aggregate is an account.
	Account Principal
	// Version of the aggregate after this event: one more than before. 0 for a refusal, which changes no aggregate.
	Version int64
	Time    time.Time
	// Answers is set on exactly one event for each command: its answer.
	Answers *Asked
	Fact    Fact
}

// Asked identifies the command that an event answers.
type Asked struct {
	Source string
	ID     string
	Digest string
}

// Fact is the content of an [Event].
type Fact interface {
	// Type is the name on the wire, e.g. "integration.created".
	Type() string
}

// Facts lists one zero value of every kind of [Fact].
func Facts() []Fact {
	return []Fact{
		OrganizationCreated{},
		Bootstrapped{},
		OrganizationConfigured{},
		RoleBindingCreated{},
		RoleBindingDeleted{},
		AccountCreated{},
		AccountUpdated{},
		AccountDeleted{},
		KeyCreated{},
		KeyDeleted{},
		Created{},
		Updated{},
		MappingAsked{},
		Mapped{},
		MappingRefused{},
		ValidationRequested{},
		TrustQuestioned{},
		TrustAsked{},
		Validated{},
		TrustChanged{},
		Bound{},
		TokenRotated{},
		TokensExpired{},
		Unbound{},
		SessionsRevoked{},
		RotationStarted{},
		ExternalIDRotated{},
		ExternalIDRestored{},
		ExternalIDRetired{},
		RotationAborted{},
		DeletionStarted{},
		Deleted{},
		Refused{},
	}
}

// OrganizationCreated opens a tenant.
type OrganizationCreated struct {
	Admin            Principal `json:"admin"`
	IntegrationQuota int       `json:"integration_quota"`
}

// OrganizationConfigured carries the settings as they are now.
type OrganizationConfigured struct {
	IntegrationQuota int           `json:"integration_quota"`
	InsecureRoles    InsecureRoles `json:"insecure_roles"`
}

// RoleBindingCreated says that a role was given; also when it was there already.
type RoleBindingCreated struct {
	RoleBinding
}

// RoleBindingDeleted says that a role was taken, or went with the only integration that it was about.
type RoleBindingDeleted struct {
	RoleBinding
}

// Bootstrapped says which key is the organization's first one now.
type Bootstrapped struct {
	FirstKey
}

// AccountCreated opens an account.
type AccountCreated struct {
	Kind        AccountKind `json:"kind"`
	Name        string      `json:"display_name"`
	Description string      `json:"description,omitempty"`
	Identities  []OIDC      `json:"identities,omitempty"`
	CreatedBy   Principal   `json:"created_by"`
}

// AccountUpdated carries what can be changed of an account as it is now.
type AccountUpdated struct {
	Name        string `json:"display_name"`
	Description string `json:"description,omitempty"`
	Identities  []OIDC `json:"identities,omitempty"`
}

// AccountDeleted says that an account is gone with its keys. A [RoleBindingDeleted] follows for each of its roles.
type AccountDeleted struct {
	DeletedBy Principal `json:"deleted_by"`
}

// KeyCreated says that an account has another API key.
type KeyCreated struct {
	KeyClaim
	CreatedBy Principal `json:"created_by"`
}

// KeyDeleted says that an API key opens nothing any more.
type KeyDeleted struct {
	Key       KeyID     `json:"key"`
	DeletedBy Principal `json:"deleted_by"`
}

// OfAccount reports whether a fact is about an account, not about an integration or the organization.
func OfAccount(f Fact) bool {
	switch f.(type) {
	case AccountCreated, AccountUpdated, AccountDeleted, KeyCreated, KeyDeleted:
		return true
	}
	return false
}

// Created opens an integration.
type Created struct {
	Environment EnvironmentID `json:"environment"`
	Name        string        `json:"display_name"`
	Config      Config        `json:"config"`
	ExternalID  string        `json:"external_id"`
	CreatedBy   Principal     `json:"created_by"`
}

// Updated says that a draft has its customer identity; also when it had it already, which changes nothing.
type Updated struct {
	Config Config `json:"config"`
}

// MappingOperation is what the mapping worker is asked to do.
type MappingOperation string

// The operations of the mapping worker; both may be repeated without harm.
const (
	EnsureMapping MappingOperation = "ensure"
	RemoveMapping MappingOperation = "remove"
)

// MappingAsked is the mapping worker's order. It holds all that the worker needs.
type MappingAsked struct {
	Attempt     int64            `json:"attempt"`
	Operation   MappingOperation `json:"operation"`
	Environment EnvironmentID    `json:"environment"`
	Config      Config           `json:"config"`
	// Platform is the identity made earlier, if any.
	Platform string    `json:"platform,omitempty"`
	Due      time.Time `json:"due"`
}

// Mapped says that the platform's identity is ready.
type Mapped struct {
	Platform string `json:"platform"`
}

// MappingRefused says that the platform's identity could not be made or removed.
type MappingRefused struct {
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
	Permanent bool      `json:"permanent,omitempty"`
	Due       time.Time `json:"due"`
}

// ValidationRequested answers a request for a proof of trust; the proof follows.
type ValidationRequested struct{}

// TrustQuestioned says that the customer's role refused the broker; a proof follows.
type TrustQuestioned struct{}

// TrustAsked is the trust worker's order. It holds all that the worker needs.
type TrustAsked struct {
	Attempt    int64  `json:"attempt"`
	Config     Config `json:"config"`
	Platform   string `json:"platform"`
	ExternalID string `json:"external_id"`
	// Next is to be admitted too, Former to be refused; at most one is set, during a rotation.
	Next   string `json:"next_external_id,omitempty"`
	Former string `json:"former_external_id,omitempty"`
	// Tags: sessions are tagged now, so the next ID must admit tagged ones. Set during a rotation only.
	Tags bool `json:"session_tags,omitempty"`
	// SourceIdentity: a connector's sessions have one, so the role must admit it.
	SourceIdentity bool `json:"source_identity,omitempty"`
	// Resources are those of the bindings, at most [MaxProbed]; ResourcesLeftOut counts those beyond.
	Resources        []Resource `json:"resources,omitempty"`
	ResourcesLeftOut int        `json:"resources_left_out,omitempty"`
	Due              time.Time  `json:"due"`
}

// Validated carries a report and the status that follows from it.
type Validated struct {
	Report Report      `json:"report"`
	Status TrustStatus `json:"status"`
	Due    time.Time   `json:"due"`
}

// TrustChanged says that the status of trust has changed.
type TrustChanged struct {
	From TrustStatus `json:"from"`
	To   TrustStatus `json:"to"`
}

// Bound says that a connector may have sessions.
type Bound struct {
	Connector ConnectorID `json:"connector"`
	TokenClaim
	Terms
	BoundBy Principal `json:"bound_by"`
}

// TokenRotated says that a connector has a new token, and until when those before it work; when that is the moment of
// the rotation, they have ended.
type TokenRotated struct {
	Connector ConnectorID `json:"connector"`
	TokenClaim
	OthersExpireAt time.Time `json:"others_expire_at"`
	RotatedBy      Principal `json:"rotated_by"`
}

// TokensExpired says that tokens of a connector are over, and forgotten.
type TokensExpired struct {
	Connector ConnectorID `json:"connector"`
	Hashes    []string    `json:"tokens_sha256"`
}

// Unbound says that a connector may have sessions no longer.
type Unbound struct {
	Connector ConnectorID `json:"connector"`
}

// SessionsRevoked carries the new epoch.
type SessionsRevoked struct {
	Epoch int64 `json:"epoch"`
}

// RotationStarted says that a second external ID is to replace the current one.
type RotationStarted struct {
	Next      string    `json:"next_external_id"`
	StartedBy Principal `json:"started_by"`
}

// ExternalIDRotated says that sessions are made with the new external ID from now on.
type ExternalIDRotated struct {
	ExternalID string `json:"external_id"`
	Former     string `json:"former_external_id"`
}

// ExternalIDRestored says that sessions are made with the former external ID again, because the role no longer admits
// the new one; the rotation proves that one anew.
type ExternalIDRestored struct {
	ExternalID string `json:"external_id"`
	Next       string `json:"next_external_id"`
}

// ExternalIDRetired ends a rotation: the role was proved to refuse the former external ID.
type ExternalIDRetired struct {
	Retired string `json:"retired_external_id"`
}

// RotationAborted ends a rotation whose new external ID was not in use yet.
type RotationAborted struct {
	Dropped   string    `json:"dropped_external_id"`
	AbortedBy Principal `json:"aborted_by"`
}

// DeletionStarted takes an integration out of use; its platform identity is removed next.
type DeletionStarted struct {
	DeletedBy Principal `json:"deleted_by"`
	Forced    bool      `json:"forced,omitempty"`
}

// Deleted says that nothing is left of an integration. A [RoleBindingDeleted] follows for each role on it alone.
type Deleted struct{}

// Refused answers a command with the reason why not.
type Refused struct {
	Command string `json:"command"` // the type of what was asked
	Refusal
}

func (OrganizationCreated) Type() string    { return "organization.created" }
func (OrganizationConfigured) Type() string { return "organization.configured" }
func (RoleBindingCreated) Type() string     { return "role-binding.created" }
func (RoleBindingDeleted) Type() string     { return "role-binding.deleted" }
func (Bootstrapped) Type() string           { return "organization.bootstrapped" }
func (AccountCreated) Type() string         { return "account.created" }
func (AccountUpdated) Type() string         { return "account.updated" }
func (AccountDeleted) Type() string         { return "account.deleted" }
func (KeyCreated) Type() string             { return "api-key.created" }
func (KeyDeleted) Type() string             { return "api-key.deleted" }
func (Created) Type() string                { return "integration.created" }
func (Updated) Type() string                { return "integration.updated" }
func (MappingAsked) Type() string           { return "mapping.requested" }
func (Mapped) Type() string                 { return "integration.mapped" }
func (MappingRefused) Type() string         { return "integration.mapping-failed" }
func (ValidationRequested) Type() string    { return "integration.validation-requested" }
func (TrustQuestioned) Type() string        { return "integration.trust-questioned" }
func (TrustAsked) Type() string             { return "trust.requested" }
func (Validated) Type() string              { return "integration.validated" }
func (TrustChanged) Type() string           { return "integration.trust-changed" }
func (Bound) Type() string                  { return "connector.bound" }
func (TokenRotated) Type() string           { return "connector.token-rotated" }
func (TokensExpired) Type() string          { return "connector.tokens-expired" }
func (Unbound) Type() string                { return "connector.unbound" }
func (SessionsRevoked) Type() string        { return "integration.sessions-revoked" }
func (RotationStarted) Type() string        { return "integration.rotation-started" }
func (ExternalIDRotated) Type() string      { return "integration.external-id-rotated" }
func (ExternalIDRestored) Type() string     { return "integration.external-id-restored" }
func (ExternalIDRetired) Type() string      { return "integration.external-id-retired" }
func (RotationAborted) Type() string        { return "integration.rotation-aborted" }
func (DeletionStarted) Type() string        { return "integration.deletion-started" }
func (Deleted) Type() string                { return "integration.deleted" }
func (Refused) Type() string                { return "command.refused" }

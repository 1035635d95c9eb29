package integration

import "time"

// Command asks for a change. Source and ID together identify it, as in CloudEvents: the same command sent again is
// decided once.
type Command struct {
	Source       string
	ID           string
	Organization OrganizationID
	Actor        Principal
	Time         time.Time // when it was asked, as the producer says; never used to decide
	// Digest is a hash of type, actor and data: it tells a repetition from another command under the same id.
	Digest string
	// Unproved says why whoever sent the command is not known to be one that may act as Actor; nil when it is, or when no
	// proof is asked for.
	Unproved *Refusal
	Ask      Ask
}

// Ask is what a [Command] asks for.
type Ask interface {
	// Type is the name on the wire, e.g. "integration.create".
	Type() string
	// About is the integration that is asked about, empty for those about the organization.
	About() ID
}

// Asks lists one zero value of every kind of [Ask].
func Asks() []Ask {
	return []Ask{
		CreateOrganization{},
		Bootstrap{},
		ConfigureOrganization{},
		CreateRoleBinding{},
		DeleteRoleBinding{},
		CreateAccount{},
		UpdateAccount{},
		DeleteAccount{},
		CreateKey{},
		DeleteKey{},
		Create{},
		Update{},
		Validate{},
		RevokeSessions{},
		RotateExternalID{},
		AbortRotation{},
		Delete{},
		Bind{},
		RotateToken{},
		Unbind{},
	}
}

// CreateOrganization makes a tenant. Only the platform may.
type CreateOrganization struct {
	// Admin becomes the first OrganizationAdmin.
	Admin Principal `json:"admin"`
}

// Bootstrap makes an organization's first administrator and API key, and the organization if it is missing. Only the
// platform may.
type Bootstrap struct {
	Admin Principal `json:"admin"`
	KeyClaim
	// Replace exchanges the key that an earlier bootstrap made; without it a second one is refused.
	Replace bool `json:"replace,omitempty"`
}

// ConfigureOrganization changes settings; what is absent stays.
type ConfigureOrganization struct {
	// IntegrationQuota is the number of integrations allowed, 0 to [MaxQuota]. Only the platform may change it.
	IntegrationQuota *int          `json:"integration_quota,omitempty"`
	InsecureRoles    InsecureRoles `json:"insecure_roles,omitempty"`
}

// CreateRoleBinding gives a principal a role. Giving it again changes nothing.
type CreateRoleBinding struct {
	RoleBinding
}

// DeleteRoleBinding takes a role away.
type DeleteRoleBinding struct {
	RoleBinding
}

// CreateAccount makes a user or a service account.
type CreateAccount struct {
	// Account is the id; only the platform chooses one, for principals that it knows already.
	Account     Principal   `json:"account,omitempty"`
	Kind        AccountKind `json:"kind"`
	Name        string      `json:"display_name"`
	Description string      `json:"description,omitempty"`
	Identities  []OIDC      `json:"identities,omitempty"`
}

// UpdateAccount changes an account; what is absent stays.
type UpdateAccount struct {
	Account     Principal `json:"account"`
	Name        *string   `json:"display_name,omitempty"`
	Description *string   `json:"description,omitempty"`
	Identities  *[]OIDC   `json:"identities,omitempty"`
}

// DeleteAccount removes an account with its keys and roles.
type DeleteAccount struct {
	Account Principal `json:"account"`
}

// CreateKey gives an account an API key. The asker makes id and secret at random and sends a proof of the secret only.
type CreateKey struct {
	Account Principal `json:"account"`
	KeyClaim
}

// DeleteKey takes an API key away.
type DeleteKey struct {
	Key KeyID `json:"key"`
}

// Create makes an integration; without a customer identity in its configuration, a draft.
type Create struct {
	Environment EnvironmentID `json:"environment"`
	Name        string        `json:"display_name"`
	Config      Config        `json:"config"`
}

// Update gives a draft its customer identity.
type Update struct {
	Integration ID     `json:"integration"`
	Config      Config `json:"config"`
}

// Validate asks for a proof of trust now.
type Validate struct {
	Integration ID `json:"integration"`
}

// RevokeSessions makes every session handed out so far unreachable in the broker's caches.
type RevokeSessions struct {
	Integration ID `json:"integration"`
}

// RotateExternalID begins to replace the external ID; how it goes on is told by [Rotation].
type RotateExternalID struct {
	Integration ID `json:"integration"`
}

// AbortRotation drops the next external ID, as long as it is not in use.
type AbortRotation struct {
	Integration ID `json:"integration"`
}

// Delete removes an integration. It is refused while connectors are bound, unless forced.
type Delete struct {
	Integration ID   `json:"integration"`
	Force       bool `json:"force,omitempty"`
}

// Bind lets a connector have sessions. The asker makes the token at random (at least 256 bits) and sends its hash and its
// proof only; a connector that shows a workload identity needs no token.
type Bind struct {
	Integration ID          `json:"integration"`
	Connector   ConnectorID `json:"connector"`
	TokenClaim
	Terms
}

// RotateToken gives a connector a new token, which works at once. Those it has work until the overlap ends, or end
// before that if they would have anyway.
type RotateToken struct {
	Integration ID          `json:"integration"`
	Connector   ConnectorID `json:"connector"`
	TokenClaim
	// Overlap in seconds, 0 to [MaxOverlap]; nil is [DefaultOverlap].
	Overlap *int64 `json:"overlap_seconds,omitempty"`
}

// Unbind takes a connector's sessions away.
type Unbind struct {
	Integration ID          `json:"integration"`
	Connector   ConnectorID `json:"connector"`
}

func (CreateOrganization) Type() string    { return "organization.create" }
func (Bootstrap) Type() string             { return "organization.bootstrap" }
func (ConfigureOrganization) Type() string { return "organization.configure" }
func (CreateRoleBinding) Type() string     { return "role-binding.create" }
func (DeleteRoleBinding) Type() string     { return "role-binding.delete" }
func (CreateAccount) Type() string         { return "account.create" }
func (UpdateAccount) Type() string         { return "account.update" }
func (DeleteAccount) Type() string         { return "account.delete" }
func (CreateKey) Type() string             { return "api-key.create" }
func (DeleteKey) Type() string             { return "api-key.delete" }
func (Create) Type() string                { return "integration.create" }
func (Update) Type() string                { return "integration.update" }
func (Validate) Type() string              { return "integration.validate" }
func (RevokeSessions) Type() string        { return "integration.revoke-sessions" }
func (RotateExternalID) Type() string      { return "integration.rotate-external-id" }
func (AbortRotation) Type() string         { return "integration.abort-rotation" }
func (Delete) Type() string                { return "integration.delete" }
func (Bind) Type() string                  { return "connector.bind" }
func (RotateToken) Type() string           { return "connector.rotate-token" }
func (Unbind) Type() string                { return "connector.unbind" }

func (CreateOrganization) About() ID    { return "" }
func (Bootstrap) About() ID             { return "" }
func (ConfigureOrganization) About() ID { return "" }
func (CreateRoleBinding) About() ID     { return "" }
func (DeleteRoleBinding) About() ID     { return "" }
func (CreateAccount) About() ID         { return "" }
func (UpdateAccount) About() ID         { return "" }
func (DeleteAccount) About() ID         { return "" }
func (CreateKey) About() ID             { return "" }
func (DeleteKey) About() ID             { return "" }
func (Create) About() ID                { return "" }
func (a Update) About() ID              { return a.Integration }
func (a Validate) About() ID            { return a.Integration }
func (a RevokeSessions) About() ID      { return a.Integration }
func (a RotateExternalID) About() ID    { return a.Integration }
func (a AbortRotation) About() ID       { return a.Integration }
func (a Delete) About() ID              { return a.Integration }
func (a Bind) About() ID                { return a.Integration }
func (a RotateToken) About() ID         { return a.Integration }
func (a Unbind) About() ID              { return a.Integration }

// Result is what a worker found out about one integration.
type Result struct {
	Organization OrganizationID
	Integration  ID
	// Attempt is the number of the request that this answers.
	Attempt int64
	Finding Finding
}

// Finding is the content of a [Result].
type Finding interface {
	// Type is the name on the wire, e.g. "mapping.ready".
	Type() string
}

// Findings lists one zero value of every kind of [Finding].
func Findings() []Finding {
	return []Finding{MappingWasMade{}, MappingWasRefused{}, MappingWasRemoved{}, TrustWasProbed{}, SessionWasRefused{}, TimerIsDue{}}
}

// MappingWasMade reports the platform's identity.
type MappingWasMade struct {
	Platform string `json:"platform"`
}

// MappingWasRefused reports that the platform's identity could not be made or removed.
type MappingWasRefused struct {
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	// Permanent means that trying again without a change would be refused again.
	Permanent bool `json:"permanent,omitempty"`
}

// MappingWasRemoved reports that the platform's identity is gone.
type MappingWasRemoved struct{}

// TrustWasProbed reports one validation.
type TrustWasProbed struct {
	Report Report `json:"report"`
}

// SessionWasRefused reports that the customer's role refused the broker although credentials may flow. It is a hint and
// judges nothing: trust is proved at once, and only the proof counts. Its attempt does not count.
type SessionWasRefused struct{}

// TimerIsDue reports that the due time of an integration may have come. The decider writes it to itself, so that a
// timer is an input like any other; one that comes too early or twice changes nothing, and its attempt does not count.
type TimerIsDue struct{}

func (SessionWasRefused) Type() string { return "session.refused" }
func (TimerIsDue) Type() string        { return "timer.due" }
func (MappingWasMade) Type() string    { return "mapping.ready" }
func (MappingWasRefused) Type() string { return "mapping.failed" }
func (MappingWasRemoved) Type() string { return "mapping.removed" }
func (TrustWasProbed) Type() string    { return "trust.probed" }

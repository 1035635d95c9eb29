package wire

import (
	"encoding/json"
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// ConnectorRequest asks to bind a connector.
type ConnectorRequest struct {
	Connector string `json:"connector"`
	// WithToken says whether a token is made; without it, one is made for a connector that has no workload identities.
	WithToken      *bool     `json:"token,omitempty"`
	TokenExpiresAt time.Time `json:"token_expires_at,omitzero"`
	integration.Terms
}

// Connector is a connector that may have sessions of an integration.
type Connector struct {
	Connector    string    `json:"connector"`
	Integration  string    `json:"integration"`
	ResourceName string    `json:"resource_name"`
	BoundAt      time.Time `json:"bound_at"`
	BoundBy      string    `json:"bound_by"`
	Tokens       []Token   `json:"tokens"`
	integration.Terms
}

// Token is one token of a connector, of which nothing is shown but its life.
type Token struct {
	AddedAt   time.Time  `json:"added_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // absent is never
}

// RotationRequest asks for a new token.
type RotationRequest struct {
	// Overlap is how long the tokens before it still work, in seconds; absent is a day.
	Overlap        *int64    `json:"overlap_seconds,omitempty"`
	TokenExpiresAt time.Time `json:"token_expires_at,omitzero"`
}

// Bound is the one answer that has a connector's token: it is not stored and cannot be shown again.
type Bound struct {
	Connector
	Token string `json:"token,omitempty"` // absent for workload identities alone
	// CredentialsURL is the broker's, for AWS_CONTAINER_CREDENTIALS_FULL_URI; empty when the server was not told.
	CredentialsURL string `json:"credentials_url,omitempty"`
}

// ConnectorList is all connectors of one integration, ordered by id.
type ConnectorList struct {
	Data []Connector `json:"data"`
}

// Event is what was decided about an integration, or asked of a worker, or refused.
type Event struct {
	ID          string         `json:"id"` // its place; rises
	Type        string         `json:"type"`
	Time        time.Time      `json:"time"`
	Integration string         `json:"integration"`
	Version     int64          `json:"version,omitempty"` // absent for a refusal
	Command     string         `json:"command,omitempty"` // the id of the command that it answers
	Data        map[string]any `json:"data"`
}

// EventList is one page of the history of an integration, oldest first. With a next page it may be short.
type EventList struct {
	Metadata struct {
		Next string `json:"next,omitempty"`
		// Gap says that older events are kept no longer.
		Gap bool `json:"gap,omitempty"`
	} `json:"metadata"`
	Data []Event `json:"data"`
}

// Validation is what is known about an integration, and whether credentials flow.
type Validation struct {
	Integration string `json:"integration"`
	// Version rises with every event of the integration; ask for a later one to wait for news.
	Version int64  `json:"version"`
	Status  string `json:"status"`
	// Settled is false while a worker is still at it.
	Settled     bool        `json:"settled"`
	Mapping     Mapping     `json:"mapping"`
	Trust       Trust       `json:"trust"`
	Credentials Credentials `json:"credentials"`
}

// DryRunRequest asks for a proof of a configuration that is not saved; without one, of the saved one.
type DryRunRequest struct {
	Config *ConfigRequest `json:"config,omitempty"`
}

// DryRun is what a proof found that changed nothing.
type DryRun struct {
	Integration string `json:"integration"`
	// Config is what was tried.
	Config  Config              `json:"config"`
	Verdict integration.Verdict `json:"verdict"`
	// NotProved are the checks that could not be made.
	NotProved []integration.CheckName `json:"not_proved"`
	Report    integration.Report      `json:"report"`
}

// Mapping is how far the platform's identity has come.
type Mapping struct {
	Status   integration.MappingStatus `json:"status"`
	Platform string                    `json:"platform,omitempty"`
	Reason   string                    `json:"reason,omitempty"`
}

// Trust is what is known about the customer's trust policy.
type Trust struct {
	Status    integration.TrustStatus `json:"status"`
	LastValid *time.Time              `json:"last_valid,omitempty"`
	Report    *integration.Report     `json:"report,omitempty"`
	History   []integration.Change    `json:"history,omitempty"`
}

// Credentials says whether a connector would get a session now, and if not, why.
type Credentials struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason,omitempty"`
}

// Revocation says which epoch sessions must now have.
type Revocation struct {
	Integration string `json:"integration"`
	Epoch       int64  `json:"epoch"`
}

// RotationNone is the phase of an integration whose external ID is not being replaced.
const RotationNone = "none"

// Rotation is how far the exchange of an external ID has come.
type Rotation struct {
	Integration string `json:"integration"`
	Version     int64  `json:"version"`
	// Phase is "proving", "retiring" or [RotationNone].
	Phase string `json:"phase"`
	// ExternalID is the current one, which sessions are made with.
	ExternalID       string     `json:"external_id"`
	NextExternalID   string     `json:"next_external_id,omitempty"`
	FormerExternalID string     `json:"former_external_id,omitempty"`
	StartedAt        *time.Time `json:"started_at,omitempty"`
	Since            *time.Time `json:"since,omitempty"` // of the phase
	// AdmittedSince and RefusedSince open the run of proofs that say so of the ID beside the current one.
	AdmittedSince *time.Time `json:"admitted_since,omitempty"`
	RefusedSince  *time.Time `json:"refused_since,omitempty"`
	// TrustPolicy is what the customer's role should have now; absent until the platform's identity is made.
	TrustPolicy json.RawMessage `json:"trust_policy,omitempty"`
}

// LintRequest asks what is wrong with a policy.
type LintRequest struct {
	// Policy is the policy itself, or a string that holds its text; places of findings are in that text.
	Policy json.RawMessage `json:"policy"`
	Kind   string          `json:"kind,omitempty"` // trust, which is the default, identity or session
	// What a trust policy should be like, as far as it is known.
	Principal    string   `json:"principal,omitempty"`
	ExternalIDs  []string `json:"external_ids,omitempty"`
	CustomerRole string   `json:"customer_role_arn,omitempty"`
}

// Lint is what is wrong with a policy, worst first.
type Lint struct {
	Worst    string           `json:"worst,omitempty"` // error, warning or note; absent when there is nothing
	Findings []policy.Finding `json:"findings"`
	// Mended is the policy with its errors mended, when there are some and it is known whom it must let in.
	Mended json.RawMessage `json:"mended,omitempty"`
}

// Policies are the documents to paste, with all that is known filled in.
type Policies struct {
	Integration string          `json:"integration"`
	FirstTrust  json.RawMessage `json:"first_trust"`
	// FinalTrust is absent until the platform's identity is made.
	FinalTrust  json.RawMessage `json:"final_trust,omitempty"`
	Permissions json.RawMessage `json:"permissions,omitempty"`
	// Rendered are the same documents in the format that was asked for, by the names of the fields above.
	Rendered map[string]string `json:"rendered,omitempty"`
}

package wire

import (
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// Kinds of the objects about access, all of one version.
const (
	IAM = "iam/v2"

	KindUser           = "User"
	KindServiceAccount = "ServiceAccount"
	KindAPIKey         = "ApiKey"
	KindRoleBinding    = "RoleBinding"
)

// Meta says where an object is, and since when.
type Meta struct {
	Self         string    `json:"self"`
	ResourceName string    `json:"resource_name"`
	CreatedAt    time.Time `json:"created_at,omitzero"`
	UpdatedAt    time.Time `json:"updated_at,omitzero"`
}

// Account is a user or a service account.
type Account struct {
	APIVersion  string             `json:"api_version"`
	Kind        string             `json:"kind"`
	ID          string             `json:"id"`
	Metadata    Meta               `json:"metadata"`
	DisplayName string             `json:"display_name"`
	Description string             `json:"description"`
	Identities  []integration.OIDC `json:"identities"`
}

// AccountRequest asks to make an account, or to change what is named of one.
type AccountRequest struct {
	DisplayName *string             `json:"display_name,omitempty"`
	Description *string             `json:"description,omitempty"`
	Identities  *[]integration.OIDC `json:"identities,omitempty"`
}

// APIKey is an API key.
type APIKey struct {
	APIVersion string     `json:"api_version"`
	Kind       string     `json:"kind"`
	ID         string     `json:"id"`
	Metadata   Meta       `json:"metadata"`
	Spec       APIKeySpec `json:"spec"`
}

// APIKeySpec is what an API key is made of. The secret is in the answer to its making only: it is not stored and cannot
// be shown again.
type APIKeySpec struct {
	DisplayName string    `json:"display_name"`
	Description string    `json:"description"`
	Secret      string    `json:"secret,omitempty"`
	Owner       Owner     `json:"owner"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
}

// Owner names the account of a key.
type Owner struct {
	ID           string `json:"id"`
	APIVersion   string `json:"api_version"`
	Kind         string `json:"kind"`
	Related      string `json:"related"`
	ResourceName string `json:"resource_name"`
}

// APIKeyRequest asks for an API key.
type APIKeyRequest struct {
	Spec struct {
		DisplayName string    `json:"display_name,omitempty"`
		Description string    `json:"description,omitempty"`
		Owner       Reference `json:"owner"`
		ExpiresAt   time.Time `json:"expires_at,omitzero"`
	} `json:"spec"`
}

// RoleBinding says what a principal may do, and where.
type RoleBinding struct {
	APIVersion string `json:"api_version"`
	Kind       string `json:"kind"`
	ID         string `json:"id"`
	Metadata   Meta   `json:"metadata"`
	Principal  string `json:"principal"` // User: and the id, for users and service accounts alike
	RoleName   string `json:"role_name"`
	CRNPattern string `json:"crn_pattern"`
}

// RoleBindingRequest asks for a role binding.
type RoleBindingRequest struct {
	Principal  string `json:"principal"`
	RoleName   string `json:"role_name"`
	CRNPattern string `json:"crn_pattern"`
}

// Organization is the caller's: its limit, how much of it is used, and its settings.
type Organization struct {
	ID               string `json:"id"`
	ResourceName     string `json:"resource_name"`
	Version          int64  `json:"version"`
	IntegrationQuota int    `json:"integration_quota"`
	Integrations     int    `json:"integrations"` // that count against the quota
	InsecureRoles    string `json:"insecure_roles"`
}

// OrganizationUpdate changes settings; what is absent stays.
type OrganizationUpdate struct {
	IntegrationQuota *int   `json:"integration_quota,omitempty"`
	InsecureRoles    string `json:"insecure_roles,omitempty"`
}

// List is one page of objects about access.
type List[T any] struct {
	APIVersion string   `json:"api_version"`
	Kind       string   `json:"kind"`
	Metadata   ListMeta `json:"metadata"`
	Data       []T      `json:"data"`
}

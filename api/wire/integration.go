package wire

import "github.com/rolebridge/rolebridge/integration"

// Kinds of objects, and the versions of the provider-integration API that have them.
const (
	V1 = "pim/v1"
	V2 = "pim/v2"

	KindIntegration     = "Integration"
	KindIntegrationList = "IntegrationList"
)

// Integration is a provider integration. V1 has no status and no trust.
type Integration struct {
	APIVersion  string   `json:"api_version"`
	Kind        string   `json:"kind"`
	ID          string   `json:"id"`
	DisplayName string   `json:"display_name"`
	Provider    string   `json:"provider"` // lower case
	Config      Config   `json:"config"`
	Usages      []string `json:"usages"` // CRNs of the connectors that are bound
	Status      string   `json:"status,omitempty"`
	// Trust is what the last proof found. Other servers of the API do not say it.
	Trust       integration.TrustStatus `json:"trust,omitempty"`
	Environment Reference               `json:"environment"`
}

// Config is a union: Kind is always set, and with it the fields of that cloud, which are then present also when they are
// empty. What the platform made is read only; the customer's identity is empty in a draft.
type Config struct {
	Kind string `json:"kind"`

	IAMRoleARN         *string `json:"iam_role_arn,omitempty"`
	ExternalID         *string `json:"external_id,omitempty"`
	CustomerIAMRoleARN *string `json:"customer_iam_role_arn,omitempty"`

	GoogleServiceAccount         *string `json:"google_service_account,omitempty"`
	CustomerGoogleServiceAccount *string `json:"customer_google_service_account,omitempty"`

	MultiTenantAppID      *string `json:"confluent_multi_tenant_app_id,omitempty"`
	CustomerAzureTenantID *string `json:"customer_azure_tenant_id,omitempty"`
}

// Customer is the customer's identity, whatever the cloud; empty in a draft.
func (c Config) Customer() string {
	return first(c.CustomerIAMRoleARN, c.CustomerGoogleServiceAccount, c.CustomerAzureTenantID)
}

// Platform is the platform's identity, whatever the cloud; empty until it is made.
func (c Config) Platform() string {
	return first(c.IAMRoleARN, c.GoogleServiceAccount, c.MultiTenantAppID)
}

func first(texts ...*string) string {
	for _, t := range texts {
		if t != nil {
			return *t
		}
	}
	return ""
}

// Reference names another object. The last three fields are there in v2 only.
type Reference struct {
	ID           string `json:"id"`
	Related      string `json:"related,omitempty"`
	ResourceName string `json:"resource_name,omitempty"`
	Environment  string `json:"environment,omitempty"`
	APIVersion   string `json:"api_version,omitempty"`
	Kind         string `json:"kind,omitempty"`
}

// ListMeta has the links of a page. Next is absent at the end, never null: a null crashes a client that is in wide use.
type ListMeta struct {
	First     string `json:"first"`
	Next      string `json:"next,omitempty"`
	TotalSize int    `json:"total_size"`
}

// IntegrationRequest asks for an integration, for the update of a draft, or (with an ID) for a validation.
type IntegrationRequest struct {
	ID          string         `json:"id,omitempty"`
	DisplayName string         `json:"display_name,omitempty"`
	Provider    string         `json:"provider,omitempty"` // in any case
	Config      *ConfigRequest `json:"config,omitempty"`
	Environment Reference      `json:"environment"`
}

// ConfigRequest is what a customer may say of a [Config].
type ConfigRequest struct {
	Kind                         string `json:"kind,omitempty"`
	CustomerIAMRoleARN           string `json:"customer_iam_role_arn,omitempty"`
	CustomerGoogleServiceAccount string `json:"customer_google_service_account,omitempty"`
	CustomerAzureTenantID        string `json:"customer_azure_tenant_id,omitempty"`
}

package wire

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

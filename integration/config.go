package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Kind names the cloud's shape of a [Config], with the names of the provider-integration API.
type Kind string

// The kinds of configuration.
const (
	KindAWS   Kind = "AwsIntegrationConfig"
	KindGCP   Kind = "GcpIntegrationConfig"
	KindAzure Kind = "AzureIntegrationConfig"
)

// Config is a union: its kind, and the customer's identity in that cloud. Each kind has exactly one field for it, so
// the rules about identities (uniqueness, drafts) are written once for all clouds.
//
// On the wire it is flat, e.g. {"kind":"AwsIntegrationConfig","customer_iam_role_arn":"arn:aws:iam::…"}.
type Config struct {
	Kind Kind
	// Customer is the customer's role ARN, service account or tenant id; empty in a draft.
	Customer string
}

// kind is what differs from cloud to cloud.
type kind struct {
	provider string
	field    string // the customer's identity on the wire
	check    func(string) string
	// canonical is one way to write an identity that can be written in several; nil when it cannot.
	canonical func(string) string
}

var kinds = map[Kind]kind{
	KindAWS:   {provider: "aws", field: "customer_iam_role_arn", check: checkRoleARN},
	KindGCP:   {provider: "gcp", field: "customer_google_service_account", check: checkServiceAccount},
	KindAzure: {provider: "azure", field: "customer_azure_tenant_id", check: checkTenant, canonical: strings.ToLower},
}

// Provider is the short name of the cloud, in lower case; empty for an unknown kind.
func (k Kind) Provider() string { return kinds[k].provider }

// CustomerField is the name of the field that holds the customer's identity.
func (k Kind) CustomerField() string { return kinds[k].field }

// KindOf finds the kind of a provider's short name, in any case.
func KindOf(provider string) (Kind, bool) {
	for k, of := range kinds {
		if strings.EqualFold(of.provider, provider) {
			return k, true
		}
	}
	return "", false
}

// Draft reports whether the customer's identity is still missing.
func (c Config) Draft() bool { return c.Customer == "" }

// canonical writes the customer's identity as it is stored and compared: a UUID is the same in either case (RFC 9562).
func (c Config) canonical() Config {
	if write := kinds[c.Kind].canonical; write != nil {
		c.Customer = write(c.Customer)
	}
	return c
}

// Check says what is wrong with c, whose place in the request is at, as [Decide] would; nil when nothing is.
func (c Config) Check(at string) *Refusal {
	of, ok := kinds[c.Kind]
	if !ok {
		return refuseField(at+"/kind", "want one of %s, %s, %s", KindAWS, KindGCP, KindAzure)
	}
	if c.Draft() {
		return nil
	}
	if fault := of.check(c.Customer); fault != "" {
		return refuseField(at+"/"+of.field, "%s", fault)
	}
	return nil
}

// NotOurs refuses a customer's role that is in one of these AWS accounts, the platform's own: what is ours would trust us
// whatever its external ID, and a connector would get what nobody gave it. at is the place of c in the request.
func (c Config) NotOurs(at string, accounts []string) *Refusal {
	role, ok := ParseRoleARN(c.Customer)
	if c.Kind != KindAWS || !ok || !slices.Contains(accounts, role.Account) {
		return nil
	}
	return refuseField(at+"/"+c.Kind.CustomerField(), "names a role in account %s, which is the platform's own; want the role in your account", role.Account)
}

// MarshalJSON writes the flat form.
func (c Config) MarshalJSON() ([]byte, error) {
	flat := map[string]string{"kind": string(c.Kind)}
	if of, ok := kinds[c.Kind]; ok && c.Customer != "" {
		flat[of.field] = c.Customer
	}
	return json.Marshal(flat)
}

// UnmarshalJSON reads the flat form. A field of another kind is an error; an unknown kind is kept for the decision to
// refuse by name.
func (c *Config) UnmarshalJSON(text []byte) error {
	var flat map[string]string
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&flat); err != nil {
		return err
	}
	*c = Config{Kind: Kind(flat["kind"])}
	own := kinds[c.Kind].field
	for name, value := range flat {
		switch name {
		case "kind":
		case own:
			c.Customer = value
		default:
			return fmt.Errorf("config: field %q does not belong to kind %q", name, c.Kind)
		}
	}
	return nil
}

// Bounds of a role's ARN in the provider-integration API.
const minARN, maxARN = 20, 2048

// roleARN follows the IAM reference: partition, account of 12 digits, an optional path, a name of at most 64.
var roleARN = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):iam::([0-9]{12}):role/((?:[\x21-\x7e]{1,510}/)?)([A-Za-z0-9_+=,.@-]{1,64})$`)

func checkRoleARN(s string) string {
	switch {
	case len(s) < minARN || len(s) > maxARN:
		return fmt.Sprintf("has %d characters; a role's ARN has %d to %d", len(s), minARN, maxARN)
	case !roleARN.MatchString(s):
		return "want a role's ARN: arn:aws:iam::<12 digits>:role/<path/><name>"
	case strings.ContainsAny(s, "*?$\"'\\"):
		return "a role's ARN must not hold * ? $ quotes or backslashes"
	}
	return ""
}

// RoleARN is an AWS role's ARN, taken apart.
type RoleARN struct {
	Partition, Account, Path, Name string
}

// ParseRoleARN takes a valid role ARN apart; ok is false for anything else.
func ParseRoleARN(s string) (arn RoleARN, ok bool) {
	if checkRoleARN(s) != "" {
		return RoleARN{}, false
	}
	m := roleARN.FindStringSubmatch(s)
	return RoleARN{Partition: m[1], Account: m[2], Path: "/" + m[3], Name: m[4]}, true
}

var serviceAccount = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{4,62}@[a-z0-9.-]{1,200}\.gserviceaccount\.com$`)

func checkServiceAccount(s string) string {
	if !serviceAccount.MatchString(s) {
		return "want a service account's address: <name>@<project>.iam.gserviceaccount.com"
	}
	return ""
}

var tenant = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func checkTenant(s string) string {
	if !tenant.MatchString(s) {
		return "want a tenant's id, which is a UUID"
	}
	return ""
}

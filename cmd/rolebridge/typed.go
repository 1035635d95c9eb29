package main

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// made says which flags or arguments a field of a request is made from, the more particular field first.
var made = []struct {
	field string
	from  []string
}{
	{"/config/customer_iam_role_arn", []string{"customer-role-arn"}},
	{"/config/customer_google_service_account", []string{"gcp-service-account"}},
	{"/config/customer_azure_tenant_id", []string{"azure-tenant-id"}},
	{"/config", []string{"customer-role-arn", "gcp-service-account", "azure-tenant-id", "cloud"}},
	{"/provider", []string{"cloud"}},
	{"provider", []string{"cloud"}},
	{"/display_name", []string{"name", "<name>"}},
	{"/spec/display_name", []string{"name"}},
	{"/spec/description", []string{"description"}},
	{"/description", []string{"description"}},
	{"/spec/expires_at", []string{"expires-in"}},
	{"/spec/owner", []string{"<account>"}},
	{"/environment", []string{"environment"}},
	{"environment", []string{"environment"}},
	{"/connector", []string{"<connector>"}},
	{"/resources", []string{"resource"}},
	{"/workloads", []string{"oidc", "spiffe"}},
	{"/source_identity", []string{"source-identity"}},
	{"/token_expires_at", []string{"token-expires-in"}},
	{"/overlap_seconds", []string{"overlap"}},
	{"/identities", []string{"identity"}},
	{"/principal", []string{"principal"}},
	{"/role_name", []string{"role"}},
	{"/crn_pattern", []string{"crn-pattern", "provider-integration", "environment"}},
	{"/integration_quota", []string{"quota", "provider-integrations"}},
	{"/insecure_roles", []string{"insecure-roles"}},
	{"/admin", []string{"admin"}},
	{"Last-Event-ID", []string{"last-event-id"}},
}

// typed puts what was typed in the place of the fields that err names: whoever gave a flag has never seen the request.
func typed(c *cobra.Command, err error) error {
	if e, ok := errors.AsType[*client.Error](err); ok {
		for n, f := range e.Faults {
			if f.Source == nil {
				continue
			}
			if name := typedAs(c, f.Source.Pointer+f.Source.Parameter); name != "" {
				e.Faults[n].Source = &wire.Source{Parameter: name}
			}
		}
	}
	if r, ok := errors.AsType[*integration.Refusal](err); ok {
		if name := typedAs(c, r.Field); name != "" {
			r.Field = name
		}
	}
	return err
}

// indexed is what follows a field that is a list.
var indexed = regexp.MustCompile(`^/(\d+)`)

// typedAs is the flag or argument of c that a field is made from; empty when it is none.
func typedAs(c *cobra.Command, field string) string {
	for _, m := range made {
		rest, ok := strings.CutPrefix(field, m.field)
		if ok && (rest == "" || rest[0] == '/') {
			return among(c, m.from, rest)
		}
	}
	return ""
}

// among chooses of several flags the one that was typed, and of a list's values the one that rest counts to.
func among(c *cobra.Command, names []string, rest string) (name string) {
	var values []string
	given := false
	for _, one := range names {
		f := c.Flags().Lookup(one)
		switch {
		case f == nil && strings.HasPrefix(one, "<") && strings.Contains(c.Use, one):
			return one
		case f == nil:
			continue
		case name == "" || f.Changed && !given:
			name, given = "--"+one, f.Changed
		}
		list, err := c.Flags().GetStringArray(one)
		for _, v := range list {
			if err == nil {
				values = append(values, "--"+one+" "+v)
			}
		}
	}
	if at := indexed.FindStringSubmatch(rest); at != nil {
		if n, err := strconv.Atoi(at[1]); err == nil && n < len(values) {
			return values[n]
		}
	}
	return name
}

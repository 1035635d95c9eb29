package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

func newIntegration(s streams) *cobra.Command {
	c := group("provider-integration", "Manage provider integrations.",
		newIntegrationCreate(s), newIntegrationDelete(s), newIntegrationDescribe(s), newIntegrationList(s), newIntegrationUpdate(s),
		newIntegrationValidate(s), newIntegrationReport(s), newIntegrationRotate(s), newIntegrationHistory(s),
	)
	c.Aliases = []string{"pi"}
	return c
}

// shown is an integration as it is printed. The first keys are those that users of the well-known command line have in
// their scripts; of the others, those of one cloud are there.
type shown struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Provider    string   `json:"provider"`
	Environment string   `json:"environment"`
	Status      string   `json:"status"`
	Trust       string   `json:"trust"`
	IAMRole     *string  `json:"iam_role_arn,omitempty"`
	ExternalID  *string  `json:"external_id,omitempty"`
	Customer    *string  `json:"customer_role_arn,omitempty"`
	GCP         *string  `json:"google_service_account,omitempty"`
	CustomerGCP *string  `json:"customer_google_service_account,omitempty"`
	Azure       *string  `json:"multi_tenant_app_id,omitempty"`
	Tenant      *string  `json:"customer_azure_tenant_id,omitempty"`
	Usages      []string `json:"usages"`
	// Rotation is the one under way; absent when there is none.
	Rotation *wire.Rotation `json:"rotation,omitempty"`
}

func show(i wire.IntegrationV2) shown {
	return shown{
		ID: i.ID, Name: i.DisplayName, Provider: i.Provider, Environment: i.Environment.ID, Status: i.Status, Trust: string(i.Trust),
		IAMRole: i.Config.IAMRoleARN, ExternalID: i.Config.ExternalID, Customer: i.Config.CustomerIAMRoleARN,
		GCP: i.Config.GoogleServiceAccount, CustomerGCP: i.Config.CustomerGoogleServiceAccount,
		Azure: i.Config.MultiTenantAppID, Tenant: i.Config.CustomerAzureTenantID, Usages: i.Usages,
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// printIntegration prints one integration, with its rotation under way if there is one.
func printIntegration(to io.Writer, f format, i wire.IntegrationV2, r *wire.Rotation) error {
	x := show(i)
	x.Rotation = r
	if f != human {
		return f.document(to, x)
	}
	return object(to, []row{
		{"ID", x.ID},
		{"Name", x.Name},
		{"Provider", x.Provider},
		{"Environment", x.Environment},
		{"Status", x.Status},
		{"Trust", x.Trust},
		{"IAM Role ARN", text(x.IAMRole)},
		{"External ID", text(x.ExternalID)},
		{"Rotation", rotation(r)},
		{"Customer Role ARN", text(x.Customer)},
		{"Google Service Account", text(x.GCP)},
		{"Customer Google Service Account", text(x.CustomerGCP)},
		{"Multi-Tenant App ID", text(x.Azure)},
		{"Customer Azure Tenant ID", text(x.Tenant)},
		{"Usages", strings.Join(x.Usages, "\n")},
	})
}

// printIntegrations prints many, by id.
func printIntegrations(to io.Writer, f format, all []wire.IntegrationV2) error {
	slices.SortFunc(all, func(a, b wire.IntegrationV2) int { return cmp.Compare(a.ID, b.ID) })
	if f != human {
		out := make([]shown, 0, len(all))
		for _, i := range all {
			out = append(out, show(i))
		}
		return f.document(to, out)
	}
	if len(all) == 0 {
		_, err := io.WriteString(to, noneYet+"\n")
		return err
	}
	heading := []string{"ID", "Name", "Provider", "Environment", "Status", "Trust", "IAM Role ARN", "External ID", "Customer Role ARN", "Usages"}
	if slices.ContainsFunc(all, func(i wire.IntegrationV2) bool { return i.Config.Kind != string(integration.KindAWS) }) {
		heading[6], heading[8] = "Platform Identity", "Customer Identity"
	}
	rows := make([][]string, 0, len(all))
	for _, i := range all {
		rows = append(rows, []string{
			i.ID, i.DisplayName, i.Provider, i.Environment.ID, i.Status, string(i.Trust), i.Config.Platform(), text(i.Config.ExternalID), i.Config.Customer(),
			strings.Join(usages(i.Usages, columns(to) > 0), "\n"),
		})
	}
	left, heading, rows := without(columns(to), heading, rows, "Environment", "IAM Role ARN", "Platform Identity")
	if err := list(to, heading, rows); err != nil || left == nil {
		return err
	}
	_, err := fmt.Fprintf(to, "Left out on this screen: %s. -o json has all.\n", strings.Join(left, ", "))
	return err
}

// usages are the resource names of connectors; in short their ids, for a screen.
func usages(all []string, short bool) []string {
	if !short {
		return all
	}
	ids := make([]string, len(all))
	for n, name := range all {
		_, ids[n], _ = strings.Cut(name, "/connector=")
	}
	return ids
}

// identity is the customer's identity, in the flags of every cloud.
type identity struct{ cloud, role, account, tenant string }

func (i *identity) flags(c *cobra.Command, withCloud bool) {
	f := c.Flags()
	if withCloud {
		f.StringVar(&i.cloud, "cloud", "", `Cloud provider: "aws", "gcp" or "azure" (default: that of the identity, else aws).`)
	}
	f.StringVar(&i.role, "customer-role-arn", "", "AWS: ARN of the customer's IAM role.")
	f.StringVar(&i.account, "gcp-service-account", "", "Google Cloud: the customer's service account.")
	f.StringVar(&i.tenant, "azure-tenant-id", "", "Azure: the customer's tenant ID.")
}

// config is the identity on the wire; nil when none was given.
func (i *identity) config() (*wire.ConfigRequest, error) {
	var c *wire.ConfigRequest
	for _, of := range []struct {
		value string
		as    wire.ConfigRequest
	}{
		{i.role, wire.ConfigRequest{Kind: string(integration.KindAWS), CustomerIAMRoleARN: i.role}},
		{i.account, wire.ConfigRequest{Kind: string(integration.KindGCP), CustomerGoogleServiceAccount: i.account}},
		{i.tenant, wire.ConfigRequest{Kind: string(integration.KindAzure), CustomerAzureTenantID: i.tenant}},
	} {
		switch {
		case of.value == "":
		case c != nil:
			return nil, usagef("want one of --customer-role-arn, --gcp-service-account and --azure-tenant-id")
		default:
			c = &of.as
		}
	}
	return c, nil
}

package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

func newQuota(s streams) *cobra.Command {
	c := group("quota", "Manage how many provider integrations the organization may have.", newQuotaDescribe(s), newQuotaUpdate(s))
	c.Aliases = []string{"service-quota"}
	return c
}

// limits are an organization's as they are printed.
type limits struct {
	Organization string `json:"organization"`
	Limit        int    `json:"provider_integrations"`
	Used         int    `json:"used"`
}

func (s streams) showQuota(out format, o wire.Organization) error {
	l := limits{o.ID, o.IntegrationQuota, o.Integrations}
	if out != human {
		return out.document(s.out, l)
	}
	return object(s.out, []row{
		{"Organization", l.Organization}, {"Provider Integrations", strconv.Itoa(l.Limit)}, {"Used", strconv.Itoa(l.Used)},
	})
}

func newQuotaDescribe(s streams) *cobra.Command {
	return asking(s, &cobra.Command{
		Use: "describe", Short: "Describe the quota, and how much of it is used.",
		Example: examples("Describe the organization's quota.", "rolebridge quota describe"),
		Args:    exactly(0),
	}, func(a asked, _ []string) error {
		o, err := call(a.api.Organization(a.Context()))
		if err != nil {
			return err
		}
		return s.showQuota(a.out, o)
	})
}

func newQuotaUpdate(s streams) *cobra.Command {
	limit := 0
	c := asking(s, &cobra.Command{
		Use: "update", Short: "Change the quota, as the platform's operator.",
		Long: `Change the quota, as the platform's operator: it takes an API key of the platform itself. A quota below what is used deletes
nothing, and lets nothing be created.`,
		Example: examples("Let the organization have 500 provider integrations.", "rolebridge quota update --provider-integrations 500"),
		Args:    exactly(0),
		Annotations: map[string]string{
			string(integration.CodeDenied): "No role of an organization permits it. Ask whoever runs the platform, who can also change it on Kafka: rolebridge organization configure <organization> --quota <number>",
		},
	}, func(a asked, _ []string) error {
		if !a.Flags().Changed("provider-integrations") {
			return usagef("nothing to change: set --provider-integrations")
		}
		o, err := call(a.api.Configure(a.Context(), wire.OrganizationUpdate{IntegrationQuota: &limit}))
		if err != nil {
			return err
		}
		return s.showQuota(a.out, o)
	})
	c.Flags().IntVar(&limit, "provider-integrations", 0, "Provider integrations allowed across all clouds.")
	return c
}

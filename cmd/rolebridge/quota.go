package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/wire"
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
	l, out := login{streams: s}, format("")
	c := &cobra.Command{
		Use: "describe", Short: "Describe the quota, and how much of it is used.",
		Example: examples("Describe the organization's quota.", "rolebridge quota describe"),
		Args:    exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := l.client()
			if err != nil {
				return err
			}
			o, err := call(api.Organization(c.Context()))
			if err != nil {
				return err
			}
			return s.showQuota(out, o)
		},
	}
	l.flags(c)
	out.flag(c)
	return c
}

func newQuotaUpdate(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	limit := 0
	c := &cobra.Command{
		Use: "update", Short: "Change the quota, as the platform's operator.",
		Long: `Change the quota, as the platform's operator: it takes an API key of the platform itself. A quota below what is used deletes
nothing, and lets nothing be created.`,
		Example: examples("Let the organization have 500 provider integrations.", "rolebridge quota update --provider-integrations 500"),
		Args:    exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if !c.Flags().Changed("provider-integrations") {
				return usagef("nothing to change: set --provider-integrations")
			}
			api, err := l.client()
			if err != nil {
				return err
			}
			o, err := call(api.Configure(c.Context(), wire.OrganizationUpdate{IntegrationQuota: &limit}))
			if err != nil {
				return err
			}
			return s.showQuota(out, o)
		},
	}
	c.Flags().IntVar(&limit, "provider-integrations", 0, "Provider integrations allowed across all clouds.")
	l.flags(c)
	out.flag(c)
	return c
}

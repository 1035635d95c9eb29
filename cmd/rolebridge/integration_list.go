package main

import "github.com/spf13/cobra"

func newIntegrationList(s streams) *cobra.Command {
	l, out, cloud := login{streams: s}, format(""), ""
	c := &cobra.Command{
		Use:   "list",
		Short: "List provider integrations.",
		Example: examples(
			`List the provider integrations of environment "env-abcdef".`,
			"rolebridge provider-integration list --cloud aws --environment env-abcdef",
		),
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			api, environment, err := l.both()
			if err != nil {
				return err
			}
			all, err := call(api.List(c.Context(), environment, cloud))
			if err != nil {
				return err
			}
			return printIntegrations(s.out, out, all)
		},
	}
	l.flags(c)
	c.Flags().StringVar(&cloud, "cloud", "", `Only those of one cloud provider: "aws", "gcp" or "azure".`)
	out.flag(c)
	return c
}

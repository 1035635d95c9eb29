package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/cmd/internal/plural"
)

func newIntegrationList(s streams) *cobra.Command {
	l, out, cloud := login{streams: s}, format(""), ""
	c := &cobra.Command{
		Use:   "list",
		Short: "List provider integrations.",
		Long: `List provider integrations, by id.

On a terminal the table fits the screen: columns that do not are left out, and said to be. Elsewhere it is whole, one line for
each connector that uses one, so that it can be searched; programs take -o json.`,
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
			if len(all) == 0 && out == human {
				s.elsewhere(c, api, environment, cloud)
			}
			return printIntegrations(s.out, out, all)
		},
	}
	l.flags(c)
	c.Flags().StringVar(&cloud, "cloud", "", `Only those of one cloud provider: "aws", "gcp" or "azure".`)
	out.flag(c)
	return c
}

// elsewhere tells a person whose list is empty what there is beside it: of other clouds in the environment, else in others, since
// environments are not known here, and one that is mistyped is empty, too. It is help and not the result, so what goes wrong
// here is left out.
func (s streams) elsewhere(c *cobra.Command, api *client.Client, environment, cloud string) {
	if cloud != "" {
		if all, err := api.Count(c.Context(), environment, ""); err != nil || all > 0 {
			if err == nil {
				fmt.Fprintf(s.err, "Environment %q has %s, none of %s; leave --cloud out to list them.\n",
					environment, plural.Of(all, "provider integration"), cloud)
			}
			return
		}
	}
	o, err := api.Organization(c.Context())
	if err != nil || o.Integrations == 0 {
		return
	}
	fmt.Fprintf(s.err, "The organization has %s, but environment %q has none that this API key may read. Is that the right environment?\n",
		plural.Of(o.Integrations, "provider integration"), environment)
}

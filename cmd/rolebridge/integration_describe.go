package main

import "github.com/spf13/cobra"

func newIntegrationDescribe(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	c := &cobra.Command{
		Use:   "describe <id>",
		Short: "Describe a provider integration.",
		Example: examples(
			`Describe provider integration "cspi-12345".`,
			"rolebridge provider-integration describe cspi-12345 --environment env-abcdef",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, i, err := l.one(c, args[0])
			if err != nil {
				return err
			}
			turn, err := underWay(c.Context(), api, i.ID)
			if err != nil {
				return err
			}
			return printIntegration(s.out, out, i, turn)
		},
	}
	l.flags(c)
	out.flag(c)
	return c
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/wire"
)

func newIntegrationUpdate(s streams) *cobra.Command {
	l, who, out := login{streams: s}, identity{}, format("")
	c := &cobra.Command{
		Use:   "update <id>",
		Short: "Give a draft its customer identity.",
		Example: examples(
			`Complete the draft "cspi-12345" with an AWS IAM role.`,
			"rolebridge provider-integration update cspi-12345 --customer-role-arn arn:aws:iam::000000000000:role/my-test-aws-role --environment env-abcdef",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, environment, err := l.both()
			if err != nil {
				return err
			}
			config, err := who.config()
			if err != nil {
				return err
			}
			if config == nil {
				return usagef("nothing to update: set --customer-role-arn, --gcp-service-account or --azure-tenant-id")
			}
			i, err := call(api.Update(c.Context(), args[0], wire.IntegrationUpdateV2{Config: *config, Environment: wire.ReferenceRequest{ID: environment}}))
			if err != nil {
				return err
			}
			return s.showSaved(c.Context(), api, out, i)
		},
	}
	l.flags(c)
	who.flags(c, false)
	out.flag(c)
	return c
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
)

func newIntegrationCreate(s streams) *cobra.Command {
	l, who, out := login{streams: s}, identity{}, format("")
	var wait waiting
	c := &cobra.Command{
		Use:   "create <name>",
		Short: "Create a provider integration.",
		Long: `Create a provider integration, and print what to do next with the policies filled in.

Without the customer's identity it is a draft: its external ID and the platform's role are known at once, so that the trust
policy is written once and complete; then "update" adds the identity.`,
		Example: examples(
			`Create provider integration "s3-provider-integration" for an AWS IAM role.`,
			"rolebridge provider-integration create s3-provider-integration --cloud aws --customer-role-arn arn:aws:iam::000000000000:role/my-test-aws-role --environment env-abcdef",
			"Reserve the external ID and the platform's role first.",
			"rolebridge provider-integration create s3-provider-integration --environment env-abcdef",
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
			i, err := call(api.Create(c.Context(), wire.IntegrationRequestV2{
				DisplayName: args[0], Provider: who.cloud, Config: config, Environment: wire.ReferenceRequest{ID: environment},
			}))
			if err != nil {
				return err
			}
			if wait.on && i.Config.Platform() == "" {
				fmt.Fprintf(s.err, "%s is created; the platform's role is being made\n", i.ID)
			}
			if i, err = call(madeReady(c.Context(), api, i)); err != nil {
				return err
			}
			wait.on = wait.on && i.Config.Customer() != ""
			if wait.on && out != human {
				// A program reads one document, as things are at the end.
				waited := wait.trust(c.Context(), s, api, i.ID)
				if i, err = call(api.Read(c.Context(), environment, i.ID)); err != nil {
					return err
				}
				return errors.Join(s.showSaved(c.Context(), api, out, i), waited)
			}
			// A person needs the external ID to make the role that is waited for.
			if err := s.showSaved(c.Context(), api, out, i); err != nil || !wait.on {
				return err
			}
			return wait.trust(c.Context(), s, api, i.ID)
		},
	}
	l.flags(c)
	who.flags(c, true)
	wait.flags(c, "Wait until trust is proved, with progress on standard error.")
	out.flag(c)
	return c
}

// madeWithin bounds the wait for the platform's role, beyond what the server waited already.
const madeWithin = 20 * time.Second

// madeReady waits until the platform's identity is made, failed, or takes too long.
func madeReady(ctx context.Context, api *client.Client, i wire.IntegrationV2) (wire.IntegrationV2, error) {
	if i.Config.Platform() != "" {
		return i, nil
	}
	ctx, cancel := context.WithTimeout(ctx, madeWithin)
	defer cancel()
	for version := int64(0); ; {
		v, err := api.Validation(ctx, i.ID, version, madeWithin)
		if ctx.Err() != nil {
			return i, nil
		}
		if err != nil {
			return i, err
		}
		if v.Mapping.Status != "requested" {
			return api.Read(ctx, i.Environment.ID, i.ID)
		}
		version = v.Version
	}
}

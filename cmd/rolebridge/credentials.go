package main

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/creds"
)

func newCredentials(s streams) *cobra.Command {
	var url, tokenFile string
	var patience time.Duration
	c := &cobra.Command{
		Use:   "credentials",
		Short: "Print a connector's session, as a credential_process does.",
		Long: `Print a connector's session, as AWS SDKs want it of a credential_process. With one profile for each connector, one worker
runs many connectors, each with a session of its own.`,
		Example: examples(
			"In the AWS configuration file, of a profile for one connector:",
			"credential_process = rolebridge credentials --patience 4m --url http://127.0.0.1:8081/v1/credentials --token-file /run/secrets/lcc-123abc",
		),
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			address := cmp.Or(url, s.env(creds.EnvURL))
			if address == "" {
				return usagef("no address of the broker: set --url or %s", creds.EnvURL)
			}
			token, err := creds.FindToken(tokenFile, s.env)
			if err != nil {
				return usage(err)
			}
			if patience < time.Second || patience > time.Hour {
				return usagef("--patience %s: want 1s to 1h", patience)
			}
			ctx, cancel := context.WithTimeout(c.Context(), patience)
			defer cancel()
			session, err := call(creds.Fetch(ctx, address, token))
			if err != nil {
				return err
			}
			_, err = s.out.Write(append(session, '\n'))
			return err
		},
	}
	c.AddCommand(newCredentialsExplain(s))
	c.Flags().DurationVar(&patience, "patience", 20*time.Second, "How long to go on asking while the broker or the cloud is away. A connector waits meanwhile, and loses nothing.")
	c.Flags().StringVar(&url, "url", "", "Address of the broker's endpoint (default $"+creds.EnvURL+").")
	c.Flags().StringVar(&tokenFile, "token-file", "", "File that holds the connector's token (default $"+creds.EnvTokenFile+", else $"+creds.EnvToken+").")
	return c
}

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
	var as creds.Caller
	c := &cobra.Command{
		Use:   "credentials",
		Short: "Print a connector's session, as a credential_process does.",
		Long: `Print a connector's session, as AWS SDKs want it of a credential_process. With one profile for each connector, one worker
runs many connectors, each with a session of its own.

A connector shows its own token, or its runtime's identity if it is bound with one: a token of an OpenID Connect issuer in
--token-file, or a certificate with a SPIFFE id. An identity of the runtime names its binding.`,
		Example: examples(
			"In the AWS configuration file, of a profile for one connector:",
			"credential_process = rolebridge credentials --patience 4m --url http://127.0.0.1:8081/v1/credentials --token-file /run/secrets/lcc-123abc",
			"With a token that the runtime has of its own issuer:",
			"rolebridge credentials --url https://broker:8081/v1/credentials --token-file /var/run/secrets/tokens/rolebridge --integration cspi-abc12 --connector lcc-123abc",
			"With a certificate that has a SPIFFE id:",
			"rolebridge credentials --url https://broker:8081/v1/credentials --client-cert svid.pem --client-key svid.key --integration cspi-abc12 --connector lcc-123abc",
		),
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			address := cmp.Or(url, s.env(creds.EnvURL))
			if address == "" {
				return usagef("no address of the broker: set --url or %s", creds.EnvURL)
			}
			if (as.Integration == "") != (as.Connector == "") {
				return usagef("--integration and --connector name a binding together")
			}
			if patience < time.Second || patience > time.Hour {
				return usagef("--patience %s: want 1s to 1h", patience)
			}
			switch {
			case (as.CertFile == "") != (as.KeyFile == ""):
				return usagef("--client-cert and --client-key belong together")
			case as.CertFile != "" && tokenFile != "":
				return usagef("either --token-file or --client-cert: a certificate does not count beside a token")
			case as.CertFile != "" && as.Integration == "":
				return usagef("--client-cert needs --integration and --connector: a certificate may be of many bindings")
			case as.CertFile == "":
				var err error
				if as.Token, err = creds.FindToken(tokenFile, s.env); err != nil {
					return usage(err)
				}
			}
			ctx, cancel := context.WithTimeout(c.Context(), patience)
			defer cancel()
			session, err := call(creds.Fetch(ctx, address, as))
			if err != nil {
				return err
			}
			_, err = s.out.Write(append(session, '\n'))
			return err
		},
	}
	c.AddCommand(newCredentialsExplain(s))
	lifeVar(c.Flags(), &patience, "patience", 20*time.Second, "How long to go on asking while the broker or the cloud is away. A connector waits meanwhile, and loses nothing.")
	c.Flags().StringVar(&url, "url", "", "Address of the broker's endpoint (default $"+creds.EnvURL+").")
	c.Flags().StringVar(&tokenFile, "token-file", "", "File that holds the connector's or the issuer's token (default $"+creds.EnvTokenFile+", else $"+creds.EnvToken+").")
	c.Flags().StringVar((*string)(&as.Integration), "integration", "", "Integration of the binding, for a workload's identity.")
	c.Flags().StringVar((*string)(&as.Connector), "connector", "", "Connector of the binding, for a workload's identity.")
	c.Flags().StringVar(&as.CertFile, "client-cert", "", "File with a client certificate that has a SPIFFE id, as PEM.")
	c.Flags().StringVar(&as.KeyFile, "client-key", "", "File with the key of the client certificate.")
	c.Flags().StringVar(&as.CAFile, "ca-file", "", "File with the authorities of the broker's certificate (default: the system's).")
	return c
}

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/integration"
)

// firstKey is an API key with its secret, as it is printed once.
type firstKey struct {
	Organization string    `json:"organization"`
	Account      string    `json:"account"`
	Name         string    `json:"name,omitempty"`
	Key          string    `json:"key"`
	Secret       string    `json:"secret"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"` // absent: it does not end
}

func newBootstrap(s streams, within time.Duration) *cobra.Command {
	var admin string
	var replace bool
	plane, out := controlPlane{within: within}, format("")
	c := &cobra.Command{
		Use:   "bootstrap <organization>",
		Short: "Make an organization's first administrator and API key.",
		Long: `Make an organization's first administrator and API key, and the organization if it is missing.

This is a command of the platform itself: it is written to Kafka, and needs the right to write to the commands topic. It is
done once for an organization; --replace exchanges the key that it made, should that be lost. Everything else is done over
the API with that key.

It acts as platform:cli, from the source /rolebridge/cli. Where lifecycle.require_signed is on, the command is signed with
--signing-key, whose entry in lifecycle.signers_file names both. This makes the key and the entry:
rolebridge signing-key create cli.pem --name cli --actor platform:cli --source /rolebridge/cli`,
		Example: examples(
			"Make the first key, and use it.",
			"rolebridge bootstrap org-1 --admin u-admin --brokers kafka-1:9092",
			"The key was lost: make another, and end the lost one.",
			"rolebridge bootstrap org-1 --admin u-admin --replace",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if admin == "" {
				return usagef("set --admin, the user that becomes OrganizationAdmin and owns the key")
			}
			o, of := integration.OrganizationID(args[0]), integration.Principal(admin)
			key, secret := api.NewAPIKey()
			_, err := plane.decided(c, s, o, integration.Bootstrap{
				Admin: of, KeyClaim: integration.ClaimKey(o, of, key, secret), Replace: replace,
			})
			if err != nil {
				return err
			}
			return s.showKey(out, firstKey{Organization: args[0], Account: admin, Key: string(key), Secret: secret})
		},
	}
	plane.add(c)
	c.Flags().StringVar(&admin, "admin", "", "User that becomes OrganizationAdmin and owns the key, e.g. u-admin.")
	c.Flags().BoolVar(&replace, "replace", false, "Exchange the key that an earlier bootstrap made.")
	out.flag(c)
	return c
}

// showKey prints a key and, this once, its secret.
func (s streams) showKey(out format, k firstKey) error {
	if out != human {
		return out.document(s.out, k)
	}
	if err := object(s.out, []row{
		{"Organization", k.Organization},
		{"Account", k.Account},
		{"Name", k.Name},
		{"API Key", k.Key},
		{"API Secret", k.Secret},
		{"Expires At", until(k.ExpiresAt)},
	}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.err, "\nThe secret is not shown again. The command line uses both from its environment:\n\n  %s=%s\n  %s=<the secret>\n",
		envKey, k.Key, envSecret)
	return err
}

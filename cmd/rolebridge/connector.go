package main

import (
	"fmt"
	neturl "net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/creds"
)

func newConnector(s streams) *cobra.Command {
	return group("connector", "Manage which connectors use a provider integration.",
		newConnectorBind(s), newConnectorDescribe(s), newConnectorList(s), newConnectorRotate(s), newConnectorUnbind(s))
}

// bound is a new binding as it is printed.
type bound struct {
	Connector      string    `json:"connector"`
	Integration    string    `json:"integration"`
	Token          string    `json:"token,omitempty"`
	ExpiresAt      time.Time `json:"token_expires_at,omitzero"` // absent: it does not end, or there is none
	CredentialsURL string    `json:"credentials_url,omitempty"`
}

func newConnectorBind(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	var with termsFlags
	var token bool
	var life time.Duration
	c := &cobra.Command{
		Use:   "bind <id> <connector>",
		Short: "Let a connector use a provider integration.",
		Long: `Let a connector use a provider integration. The token is printed once and kept nowhere: put it where only the connector
can read it. A connector whose runtime shows a workload identity (--oidc, --spiffe) gets none, unless --token asks for one.

With --resource the connector's sessions reach these resources and nothing else: "write" can write and not read back, "read"
under a prefix lists that prefix only.`,
		Example: examples(
			`Bind connector "lcc-123abc", and keep its token in a file as AWS SDKs read it: without a line end.`,
			"rolebridge connector bind cspi-12345 lcc-123abc -o json | jq -j .token > /run/secrets/lcc-123abc",
			"Bind a sink to one prefix, for 90 days.",
			"rolebridge connector bind cspi-12345 lcc-123abc --resource s3://lake/raw/orders:write --token-expires-in 90d",
			"Bind a connector that shows its Kubernetes service account.",
			"rolebridge connector bind cspi-12345 lcc-123abc --oidc issuer=https://oidc.example.com,audience=rolebridge,subject=system:serviceaccount:connect:orders",
		),
		Args: exactly(2),
		RunE: func(c *cobra.Command, args []string) error {
			terms, err := with.terms()
			if err != nil {
				return err
			}
			api, err := l.client()
			if err != nil {
				return err
			}
			ask := wire.ConnectorRequest{
				Connector: args[1], Workloads: terms.Workloads, Resources: terms.Resources, SourceIdentity: terms.SourceIdentity,
				TokenExpiresAt: expiry(life),
			}
			if c.Flags().Changed("token") {
				ask.Token = &token
			}
			b, err := call(api.Bind(c.Context(), args[0], ask))
			if err != nil {
				return err
			}
			if err := s.showBound(out, b); err != nil {
				return err
			}
			s.flowing(c, api, args[0], l.environmentFlag())
			return nil
		},
	}
	with.add(c)
	c.Flags().BoolVar(&token, "token", true, "Make a token; by default one is made for a connector without workload identities.")
	lifeVar(c.Flags(), &life, "token-expires-in", 0, "Life of the token, e.g. 90d; 0 is without end.")
	l.flags(c)
	out.flag(c)
	return c
}

// showBound prints a binding and, this once, its token.
func (s streams) showBound(out format, b wire.Bound) error {
	var end time.Time
	ends := ""
	if b.Token != "" {
		end = newest(b.Tokens)
		ends = until(end)
	}
	if out != human {
		return out.document(s.out, bound{b.Connector, b.Integration, b.Token, end, b.CredentialsURL})
	}
	if err := object(s.out, []row{
		{"Connector", b.Connector},
		{"ID", b.Integration},
		{"Token", b.Token},
		{"Token Expires At", ends},
		{"Credentials URL", b.CredentialsURL},
	}); err != nil {
		return err
	}
	url := b.CredentialsURL
	if url == "" {
		url = "<the broker's address>"
	}
	if b.Token == "" {
		fmt.Fprintf(s.err, "\nThe connector shows its workload identity at:\n\n  %s?%s\n", url,
			neturl.Values{"integration": {b.Integration}, "connector": {b.Connector}}.Encode())
		return nil
	}
	fmt.Fprintf(s.err, "\nThe token is not shown again. In the connector's environment, any AWS SDK finds its credentials with:\n\n  %s=%s\n  %s=<a file that holds the token>\n",
		creds.EnvURL, url, creds.EnvTokenFile)
	return nil
}

// flowing says when a connector that is bound gets no credentials yet, and what to do. It is help and not the result, so
// what goes wrong here is left out.
func (s streams) flowing(c *cobra.Command, api *client.Client, id, environment string) {
	v, err := api.Validation(c.Context(), id, 0, 0)
	if err != nil || v.Credentials.Allowed {
		return
	}
	fmt.Fprintf(s.err, "\nWarning: the connector gets no credentials yet: %s. To see what is missing, and what to change:\n\n"+
		"  $ rolebridge provider-integration validate %s%s --wait\n", v.Credentials.Reason, id, environment)
}

func newConnectorUnbind(s streams) *cobra.Command {
	return asking(s, &cobra.Command{
		Use:   "unbind <id> <connector>",
		Short: "Take a connector's sessions away.",
		Example: examples(
			`Unbind connector "lcc-123abc".`,
			"rolebridge connector unbind cspi-12345 lcc-123abc",
		),
		Args: exactly(2),
	}, func(a asked, args []string) error {
		if _, err := call(0, a.api.Unbind(a.Context(), args[0], args[1])); err != nil {
			return err
		}
		return a.out.tell(s.out, bound{Connector: args[1], Integration: args[0]}, "Unbound connector %q.", args[1])
	})
}

// use is a bound connector as it is printed.
type use struct {
	Connector string    `json:"connector"`
	BoundBy   string    `json:"bound_by"`
	BoundAt   time.Time `json:"bound_at"`
}

func newConnectorList(s streams) *cobra.Command {
	return asking(s, &cobra.Command{
		Use:   "list <id>",
		Short: "List the connectors that use a provider integration.",
		Example: examples(
			`List what uses provider integration "cspi-12345".`,
			"rolebridge connector list cspi-12345",
		),
		Args: exactly(1),
	}, func(a asked, args []string) error {
		all, err := call(a.api.Connectors(a.Context(), args[0]))
		if err != nil {
			return err
		}
		uses, rows := make([]use, 0, len(all)), make([][]string, 0, len(all))
		for _, u := range all {
			uses = append(uses, use{u.Connector, u.BoundBy, u.BoundAt})
			rows = append(rows, []string{u.Connector, u.BoundBy, when(u.BoundAt)})
		}
		return a.out.table(s.out, uses, []string{"Connector", "Bound By", "Bound At"}, rows)
	})
}

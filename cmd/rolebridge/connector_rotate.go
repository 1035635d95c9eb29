package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

func newConnectorRotate(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	var overlap, life time.Duration
	c := &cobra.Command{
		Use:   "rotate-token <id> <connector>",
		Short: "Give a connector a new token.",
		Long: `Give a connector a new token. It works at once; those before it work until the overlap ends. Sessions are not touched, so
nothing is interrupted while the connector still has the old token.

The life of the tokens before it is not taken over: without --token-expires-in the new token never ends.`,
		Example: examples(
			`Rotate the token of connector "lcc-123abc", which has a day to take it over.`,
			"rolebridge connector rotate-token cspi-12345 lcc-123abc -o json | jq -j .token > /run/secrets/lcc-123abc",
			"End the tokens before it now: one of them leaked.",
			"rolebridge connector rotate-token cspi-12345 lcc-123abc --overlap 0",
		),
		Args: exactly(2),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := l.client()
			if err != nil {
				return err
			}
			w, err := call(api.Connector(c.Context(), args[0], args[1]))
			if err != nil {
				return err
			}
			if len(w.Tokens) == 0 && len(w.Workloads) > 0 {
				fmt.Fprintf(s.err, "Warning: connector %s shows a workload identity and had no token; now a token opens its binding, too. "+
					"If that is not wanted, bind it anew: rolebridge connector unbind, and bind.\n", args[1])
			}
			seconds := int64(overlap / time.Second)
			b, err := call(api.RotateToken(c.Context(), args[0], args[1], wire.TokenRotationRequest{OverlapSeconds: &seconds, TokenExpiresAt: expiry(life)}))
			if err != nil {
				return err
			}
			return s.showBound(out, b)
		},
	}
	lifeVar(c.Flags(), &overlap, "overlap", integration.DefaultOverlap, "How long the tokens before it still work: 0 to 7d.")
	lifeVar(c.Flags(), &life, "token-expires-in", 0, "Life of the new token, e.g. 90d; 0 is without end, whatever the tokens before it have.")
	l.flags(c)
	out.flag(c)
	return c
}

func newConnectorDescribe(s streams) *cobra.Command {
	return asking(s, &cobra.Command{
		Use:   "describe <id> <connector>",
		Short: "Describe what a connector is bound with.",
		Example: examples(
			`Describe connector "lcc-123abc" of provider integration "cspi-12345".`,
			"rolebridge connector describe cspi-12345 lcc-123abc",
		),
		Args: exactly(2),
	}, func(a asked, args []string) error {
		w, err := call(a.api.Connector(a.Context(), args[0], args[1]))
		if err != nil {
			return err
		}
		if a.out != human {
			return a.out.document(s.out, w)
		}
		return object(s.out, connectorRows(w))
	})
}

func connectorRows(w wire.Connector) []row {
	rows := []row{
		{"Connector", w.Connector},
		{"ID", w.Integration},
		{"Resource Name", w.ResourceName},
		{"Bound By", w.BoundBy},
		{"Bound At", when(w.BoundAt)},
	}
	lives := tokenLives(w.Tokens)
	if lives == "" && len(w.Workloads) == 0 {
		lives = "none works any more: rolebridge connector rotate-token"
	}
	rows = append(rows, row{"Tokens", lives})
	for _, of := range w.Workloads {
		rows = append(rows, row{"Workload", workloadText(of)})
	}
	for _, r := range w.Resources {
		rows = append(rows, row{"Resource", resourceText(r)})
	}
	if w.SourceIdentity {
		rows = append(rows, row{"Source Identity", "yes"})
	}
	return rows
}

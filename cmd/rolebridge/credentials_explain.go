package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/integration"
)

// envOperations stands in for --operations-url.
const envOperations = "ROLEBRIDGE_OPERATIONS_URL"

// explained is what one replica says.
type explained struct {
	Broker       string              `json:"broker"`
	Explanations []creds.Explanation `json:"explanations"`
}

func newCredentialsExplain(s streams) *cobra.Command {
	var urls []string
	out := format("")
	c := &cobra.Command{
		Use:   "explain <integration|connector>",
		Short: "Say which gate gives or refuses a connector its credentials.",
		Long: `Say which gate gives or refuses a connector its credentials: binding, mapping, trust, cache or cloud. It is for people who
run the platform: it asks the address on which a broker serves its probes (telemetry.listen), and each replica has a
memory of its own. No cloud is asked, nothing changes, and no secret is shown. Exit code 5 means that the next read of one of
them is refused.`,
		Example: examples(
			`Explain every connector of provider integration "cspi-12345".`,
			"rolebridge credentials explain cspi-12345 --operations-url http://127.0.0.1:9090",
			`Ask two replicas about connector "lcc-123abc".`,
			"rolebridge credentials explain lcc-123abc --operations-url http://broker-0:9090,http://broker-1:9090",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(urls) == 0 {
				if urls = strings.Fields(strings.ReplaceAll(s.env(envOperations), ",", " ")); len(urls) == 0 {
					return usagef("no address of a broker's probes: set --operations-url or %s", envOperations)
				}
			}
			var all []explained
			for _, url := range urls {
				got, err := call(creds.AskExplanation(c.Context(), url, args[0]))
				if err != nil {
					return err
				}
				all = append(all, explained{url, got})
			}
			untrusted, shut := shutGates(all)
			if out != human {
				if err := out.document(s.out, all); err != nil {
					return err
				}
				return shut
			}
			var rows [][]string
			for _, one := range all {
				for _, x := range one.Explanations {
					head := []string{one.Broker, string(x.Integration), string(x.Connector), x.Answer}
					for _, g := range x.Gates {
						rows = append(rows, append(head, string(g.Gate), string(g.State), g.Detail))
						head = []string{"", "", "", ""}
					}
				}
			}
			if err := list(s.out, []string{"Broker", "Integration", "Connector", "Next Read", "Gate", "State", "Detail"}, rows); err != nil {
				return err
			}
			for _, x := range untrusted {
				fmt.Fprintf(s.err, "\nWhat the trust gate wants:\n\n  $ rolebridge provider-integration validate %s --environment %s\n", x.Integration, x.Environment)
			}
			return shut
		},
	}
	c.Flags().StringSliceVar(&urls, "operations-url", nil, "Addresses on which brokers serve their probes (default $"+envOperations+").")
	out.flag(c)
	return c
}

// shutGates are the integrations, each once, whose trust gate is shut, and the exit code of all explanations.
func shutGates(all []explained) (untrusted []creds.Explanation, shut error) {
	for _, one := range all {
		for _, x := range one.Explanations {
			if x.Answer != "ok" {
				shut = quiet(integration.CodeConflict)
			}
			known := slices.ContainsFunc(untrusted, func(u creds.Explanation) bool { return u.Integration == x.Integration })
			closed := slices.ContainsFunc(x.Gates, func(g creds.GateState) bool { return g.Gate == creds.GateTrust && g.State == creds.Shut })
			if closed && !known {
				untrusted = append(untrusted, x)
			}
		}
	}
	return untrusted, shut
}

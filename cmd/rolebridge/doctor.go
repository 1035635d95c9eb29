package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/cmd/internal/doctor"
	"github.com/rolebridge/rolebridge/cmd/internal/plural"
	"github.com/rolebridge/rolebridge/integration"
)

func newDoctor(s streams) *cobra.Command {
	var settings kafkaFlags
	var roles []string
	l := login{streams: s}
	out := format("")
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at all that an installation needs, and say what to do.",
		Long: `Look at all that an installation needs from outside, and say what to do about what is wrong: Kafka (topics, rights, who
reads, transactions that hang), Redis, the keyset, our identity at AWS, clocks and the API. Nothing is changed.

It takes the settings of "serve", so run it where the processes run: with their file, environment and identity. Exit
code 7 means that something must be mended; a warning alone is exit code 0.`,
		Example: examples(
			"Look at everything that a process with all roles needs.",
			"rolebridge doctor --config rolebridge.yaml",
			"Look at what the broker needs, for a script.",
			"rolebridge doctor --config rolebridge.yaml --roles broker --output json",
		),
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := settings.settings(c, s)
			if err != nil {
				return err
			}
			played, err := app.ParseRoles(roles)
			if err != nil {
				return usage(err)
			}
			return examine(c.Context(), &doctor.Patient{Config: config, Roles: played, API: l.knock()}, s, out)
		},
	}
	settings.add(c)
	l.flags(c)
	out.flag(c)
	c.Flags().StringSliceVar(&roles, "roles", []string{"all"}, "Roles whose needs count: "+names(app.Roles())+", or all.")
	return c
}

// knock asks the API for one thing that only a known key gets; nil when no address or key is set.
func (l *login) knock() func(context.Context) error {
	api, environment, err := l.both()
	if err != nil {
		return nil // nobody has to set them
	}
	return func(ctx context.Context) error {
		_, err := api.Count(ctx, environment, "")
		return err
	}
}

func examine(ctx context.Context, p *doctor.Patient, s streams, out format) error {
	counts := map[doctor.Verdict]int{}
	var findings []doctor.Finding
	err := p.Examine(ctx, func(f doctor.Finding) {
		counts[f.Verdict]++
		if out != human {
			findings = append(findings, f)
			return
		}
		fmt.Fprintf(s.out, "%-4s  %-12s  %s\n", f.Verdict, f.Part, f.Found)
		if f.Do != "" {
			fmt.Fprintf(s.out, "%20s  > %s\n", "", f.Do)
		}
	})
	if err != nil {
		return usage(err)
	}
	if out != human {
		if err := out.document(s.out, findings); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.out, "\n%d in order, %s, %d to be mended, %d not looked at.\n",
			counts[doctor.OK], plural.Of(counts[doctor.Warning], "warning"), counts[doctor.Failure], counts[doctor.Skipped])
	}
	if counts[doctor.Failure] > 0 {
		return quiet(integration.CodeUnavailable)
	}
	return nil
}

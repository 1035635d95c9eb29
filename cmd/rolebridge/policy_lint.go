package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// never is the severity from which on nothing is bad.
const never = "never"

// severities from the worst on, as --fail-on takes them.
func severities() []string {
	return []string{string(policy.Error), string(policy.Warning), string(policy.Note), never}
}

func newPolicyLint(s streams) *cobra.Command {
	var kind kindFlag
	var files []string
	var expect policy.Expect
	out, failOn := oneOfThese("human", "json", "sarif"), oneOfThese(severities()...)
	c := &cobra.Command{
		Use:   "lint [<file>...] [-f <file>]...",
		Short: "Say what is wrong with policies, finding by finding.",
		Long: `Say what is wrong with policies, finding by finding, each with its place and a remedy. "-" is standard input.

With --principal, the platform's role, and --external-id, a trust policy without errors lets the platform in with that external ID, and
only with it. Exit code 0 means that there is nothing of the severity of --fail-on or worse, 5 that there is, 2 that a file cannot be read.`,
		Example: examples(
			"Check a trust policy for a provider integration.",
			"rolebridge policy lint -f trust.json --principal arn:aws:iam::111122223333:role/cspi-12345 --external-id 123456-2312",
			"In CI, for code scanning.",
			"rolebridge policy lint policies/*.json --format sarif > lint.sarif",
		),
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if args = append(args, files...); len(args) == 0 {
				return usagef("no file: name one, or - for standard input")
			}
			var reports []policy.Report
			var all []policy.Finding
			for _, name := range args {
				text, err := s.file(name)
				if err != nil {
					return err
				}
				r := policy.Report{URI: name, Findings: policy.Parse(policy.Kind(kind), text).Lint(expect)}
				if name == stdin {
					r.URI = ""
				}
				reports, all = append(reports, r), append(all, r.Findings...)
			}
			if err := printReports(s.out, out.value, reports); err != nil {
				return err
			}
			bad := severities()[:1+slices.Index(severities(), failOn.value)]
			if worst := string(policy.Worst(all)); failOn.value != never && slices.Contains(bad, worst) {
				return quiet(integration.CodeConflict)
			}
			return nil
		},
	}
	f := c.Flags()
	f.Var(&kind, "kind", "What the files are: trust, identity or session policies.")
	f.StringArrayVarP(&files, "file", "f", nil, `File to check; "-" is standard input. Like an argument.`)
	f.StringVar(&expect.PlatformRole, "principal", "", "ARN of the platform's role that must be let in.")
	f.StringSliceVar(&expect.ExternalIDs, "external-id", nil, "External ID that must be asked for; two during a rotation.")
	f.StringVar(&expect.CustomerRole, "customer-role-arn", "", "ARN of the role that the trust policy belongs to.")
	f.Var(out, "format", "Output format: human, json or sarif.")
	f.Var(failOn, "fail-on", "Severity from which on the exit code is 5: error, warning, note or never.")
	return c
}

func printReports(to io.Writer, form string, reports []policy.Report) (err error) {
	var text []byte
	switch form {
	case "json":
		text, err = policy.EncodeJSON(reports...)
	case "sarif":
		text, err = policy.EncodeSARIF(version(), reports...)
	default:
		for _, r := range reports {
			name := r.URI
			if name == "" {
				name = "stdin"
			}
			if len(r.Findings) == 0 {
				text = fmt.Appendf(text, "%s: nothing to complain about\n", name)
			}
			for _, f := range r.Findings {
				text = fmt.Appendf(text, "%s:%d:%d: %s: %s [%s]\n", name, f.Line, f.Column, f.Severity, f.Message, f.Code)
				if f.Remedy != "" {
					text = fmt.Appendf(text, "    %s\n", f.Remedy)
				}
			}
		}
	}
	if err == nil {
		_, err = to.Write(text)
	}
	return err
}

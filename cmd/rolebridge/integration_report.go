package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cmd/internal/plural"
	"github.com/rolebridge/rolebridge/integration"
)

func newIntegrationReport(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	c := &cobra.Command{
		Use:   "report <id>",
		Short: "Show what is known about the customer's trust policy.",
		Long: `Show what is known about the customer's trust policy: the last report, when trust was last valid, and how it changed.

Nothing is proved anew; "validate" does that. Exit code 0 means that trust is valid, 5 that it is not.`,
		Example: examples(
			`Show the last report of provider integration "cspi-12345".`,
			"rolebridge provider-integration report cspi-12345 --environment env-abcdef",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, _, err := l.one(c, args[0])
			if err != nil {
				return err
			}
			v, err := call(api.Validation(c.Context(), args[0], 0, 0))
			if err != nil {
				return err
			}
			return s.showValidation(c.Context(), api, out, v)
		},
	}
	l.flags(c)
	out.flag(c)
	return c
}

// showValidation prints what is known of trust, with the rotation under way, and ends as trust is.
func (s streams) showValidation(ctx context.Context, api *client.Client, out format, v wire.Validation) error {
	turn, err := underWay(ctx, api, v.Integration)
	if err != nil {
		return err
	}
	if err := printValidation(s.out, out, v, turn); err != nil {
		return err
	}
	return proved(v)
}

func printValidation(to io.Writer, f format, v wire.Validation, r *wire.Rotation) error {
	if f != human {
		return f.document(to, struct {
			wire.Validation
			Rotation *wire.Rotation `json:"rotation,omitempty"` // absent when there is none
		}{v, r})
	}
	credentials := "allowed"
	if !v.Credentials.Allowed {
		credentials = "refused: " + v.Credentials.Reason
	}
	mapping := string(v.Mapping.Status)
	if v.Mapping.Reason != "" {
		mapping += ": " + v.Mapping.Reason
	}
	valid := "never"
	if !v.Trust.LastValid.IsZero() {
		valid = when(v.Trust.LastValid)
	}
	rows := []row{
		{"ID", v.Integration},
		{"Status", v.Status},
		{"Platform Role", mapping},
		{"Trust", string(v.Trust.Status)},
		{"Last Valid", valid},
		{"Rotation", rotation(r)},
		{"Credentials", credentials},
	}
	if v.Trust.Report != nil {
		rows = append(rows, row{"Checked", when(v.Trust.Report.FinishedAt)})
	}
	if err := object(to, rows); err != nil {
		return err
	}
	if err := printHistory(to, v.Trust.History); err != nil || v.Trust.Report == nil {
		return err
	}
	if err := printReport(to, *v.Trust.Report); err != nil {
		return err
	}
	if v.Trust.Status == integration.TrustInsecure && !v.Credentials.Allowed {
		fmt.Fprintln(to, "\nConnectors get no new sessions until this is mended. Those that they hold go on until they expire: an hour at most.")
	}
	return nil
}

// forPeople is how times are written for people, to the second; sinceFlag reads it, too.
const forPeople = "2006-01-02 15:04:05 UTC"

// when is a time as people read it.
func when(t time.Time) string { return t.UTC().Format(forPeople) }

// printHistory prints how trust changed, the latest change first.
func printHistory(to io.Writer, history []integration.Change) error {
	if len(history) == 0 {
		return nil
	}
	rows := make([][]string, len(history))
	for n, c := range history {
		rows[len(rows)-1-n] = []string{when(c.At), string(c.From), string(c.To)}
	}
	return list(to, []string{"Changed", "From", "To"}, rows)
}

// printReport prints a table of the checks, and below it what to change; what several checks ask for is printed once.
func printReport(to io.Writer, r integration.Report) error {
	rows := make([][]string, len(r.Checks))
	for n, check := range r.Checks {
		rows[n] = []string{string(check.Name), string(check.Outcome), check.Reason}
	}
	if err := list(to, []string{"Check", "Outcome", "Reason"}, rows); err != nil {
		return err
	}
	var remedies []string
	names := map[string][]string{}
	for _, check := range r.Checks {
		if check.Outcome != integration.Fail && check.Outcome != integration.Errored {
			continue
		}
		if check.Detail != "" {
			fmt.Fprintf(to, "\n%s: %s\n", check.Name, printable(check.Detail))
		}
		if check.Remedy == "" {
			continue
		}
		if names[check.Remedy] == nil {
			remedies = append(remedies, check.Remedy)
		}
		names[check.Remedy] = append(names[check.Remedy], string(check.Name))
	}
	for _, remedy := range remedies {
		fmt.Fprintf(to, "\nTo mend %s:\n%s\n", strings.Join(names[remedy], ", "), printable(strings.TrimSpace(remedy)))
	}
	return printReading(to, r.Policy)
}

// printReading prints what the linter says of the real trust policy.
func printReading(to io.Writer, r *integration.Reading) error {
	switch {
	case r == nil:
		return nil
	case !r.Read:
		fmt.Fprintf(to, "\nTrust policy not read (%s): %s.\n", r.Reason, printable(r.Detail))
	case len(r.Findings) == 0:
		fmt.Fprintln(to, "\nTrust policy read: the linter has nothing to complain about.")
	default:
		fmt.Fprintln(to, "\nTrust policy read:")
		rows := make([][]string, len(r.Findings))
		for n, f := range r.Findings {
			place := ""
			if f.Line > 0 {
				place = fmt.Sprintf("%d:%d", f.Line, f.Column)
			}
			rows[n] = []string{f.Severity, f.Code, place, f.Message}
		}
		if err := list(to, []string{"Severity", "Finding", "Place", "Message"}, rows); err != nil {
			return err
		}
		if r.LeftOut > 0 {
			fmt.Fprintf(to, "%s left out.\n", plural.Of(r.LeftOut, "further finding"))
		}
	}
	if r.Remedy != "" {
		fmt.Fprintf(to, "\n%s\n", printable(strings.TrimSpace(r.Remedy)))
	}
	return nil
}

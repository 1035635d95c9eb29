package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// dryRun tries a configuration that is not saved and prints what was found.
func (s streams) dryRun(ctx context.Context, out format, api *client.Client, id string, config *wire.ConfigRequest) error {
	d, err := call(api.DryRun(ctx, id, config))
	if err != nil {
		return err
	}
	if out != human {
		err = out.document(s.out, d)
	} else {
		err = s.printDryRun(d)
	}
	if err != nil {
		return err
	}
	switch d.Verdict {
	case integration.VerdictClean:
		return nil
	case integration.VerdictInconclusive:
		return quiet(integration.CodeUnavailable)
	}
	return quiet(integration.CodeConflict)
}

func (s streams) printDryRun(d wire.DryRun) error {
	not := make([]string, len(d.NotProved))
	for n, name := range d.NotProved {
		not[n] = string(name)
	}
	if err := object(s.out, []row{
		{"ID", d.Integration},
		{"Tried", d.Config.Customer()},
		{"Verdict", string(d.Verdict)},
		{"Not Proved", strings.Join(not, "\n")},
		{"Checked", when(d.Report.FinishedAt)},
	}); err != nil {
		return err
	}
	if err := printReport(s.out, d.Report); err != nil {
		return err
	}
	if d.Verdict == integration.VerdictRefused {
		fmt.Fprintln(s.out, "\nA change in the cloud takes up to a minute to be seen everywhere; try again if you have just made one.")
	}
	fmt.Fprintln(s.out, "\nNothing was saved and nothing has changed.")
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// streams is all that a verb sees of the world beside the network and the files that it is given.
type streams struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	// home is the folder of the user's settings.
	home func() (string, error)
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(s) //nolint:contextcheck // verbs have the context of ExecuteContext
	root.SetArgs(args)
	c, err := root.ExecuteContextC(ctx)
	return report(c, err, s)
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "rolebridge",
		Short: "Provider integrations whose trust is proved, and short-lived credentials for connectors",
		Long: `Provider integrations whose trust is proved, and short-lived credentials for connectors.

Verbs that ask the API take its address, an API key and the environment from flags, else from
  ROLEBRIDGE_URL, ROLEBRIDGE_KEY, ROLEBRIDGE_SECRET, ROLEBRIDGE_ENVIRONMENT,
else from the context that ROLEBRIDGE_CONTEXT names or that is current ("context create"). A context that --context names
goes before the variables.

Exit codes:` + exitLines(),
		SilenceUsage: true, SilenceErrors: true, Args: verb, Version: version(),
		PersistentPreRunE: notEmpty,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetVersionTemplate("rolebridge {{.Version}}\n")
	root.SetFlagErrorFunc(wrongFlag)
	for _, of := range []struct {
		id, title string
		verbs     []*cobra.Command
	}{
		{"api", "Ask the API:", []*cobra.Command{
			newIntegration(s), newConnector(s), newEvents(s), newAccess(s), newQuota(s), newContext(s),
		}},
		{"offline", "Without a server:", []*cobra.Command{newPolicy(s), newKeyset(s), newSigningKey(s)}},
		{"connector", "Beside a connector:", []*cobra.Command{newCredentials(s)}},
		{"platform", "Run the platform:", []*cobra.Command{
			serveCommand(),
			newDoctor(s),
			newTopics(s),
			newBootstrap(s, answeredWithin),
			newOrganization(s),
			newDLQ(s),
			newState(s),
			healthcheckCommand(),
		}},
		{"more", "More:", []*cobra.Command{newManual(s, root), newVersion(s)}},
	} {
		root.AddGroup(&cobra.Group{ID: of.id, Title: of.title})
		for _, c := range of.verbs {
			c.GroupID = of.id
		}
		root.AddCommand(of.verbs...)
	}
	completes(root, s)
	root.SetHelpCommandGroupID("more")
	root.SetCompletionCommandGroupID("more")
	strict(root)
	return root
}

// strict has cobra's own verbs refuse what they do not know, as all others do.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			show := c.Run
			c.Run = nil
			c.RunE = func(c *cobra.Command, args []string) error {
				of, rest, err := c.Root().Find(args)
				if err == nil && len(rest) > 0 {
					err = verb(of, rest)
				}
				if err == nil {
					show(c, args)
				}
				return usage(err)
			}
		case "completion":
			c.Args, c.RunE = verb, func(c *cobra.Command, _ []string) error { return c.Help() }
			for _, shell := range c.Commands() {
				shell.Args = exactly(0)
			}
		}
	}
}

// notEmpty refuses a flag that is given without a value: most often a variable of a shell that is not set, and what would
// then be done is not what was meant.
func notEmpty(c *cobra.Command, _ []string) error {
	var empty []error
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" {
			empty = append(empty, fmt.Errorf("--%s: empty: leave it out, or give it a value", f.Name))
		}
	})
	return usage(errors.Join(empty...))
}

// wrongFlag is what is said of a flag that there is none of, or that cannot be read.
func wrongFlag(c *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return usage(err)
	}
	names := &cobra.Command{SuggestionsMinimumDistance: distance} // which knows what is alike
	c.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if like := names.SuggestionsFor(unknown.GetSpecifiedName()); len(like) > 0 {
		return usagef("%w; did you mean --%s?", err, like[0])
	}
	return usagef("%w; see: %s --help", err, c.CommandPath())
}

// distance is how many letters of a word may be wrong, as cobra has it.
const distance = 2

// group is a command that has verbs and does nothing itself.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: verb,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(verbs...)
	return c
}

// verb refuses a word that is no verb of a group.
func verb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
	c.SuggestionsMinimumDistance = distance
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		text += fmt.Sprintf("; did you mean %q?", like[0])
	}
	return usage(errors.New(text))
}

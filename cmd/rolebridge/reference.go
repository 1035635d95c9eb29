package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/integration"
)

// exitCode is one number that a command line ends with.
type exitCode struct {
	number int
	means  string
	codes  []integration.Code // of errors that it is for, the API's own among them
}

// exitCodes are all of them, in their order.
func exitCodes() []exitCode {
	means := map[int]string{
		1: "our fault: see the log of the server", 2: "wrong input", 3: "not permitted", 4: "not found",
		5: "a conflict with what there is; of a proof: trust is not valid; of explain: a gate is shut", 6: "over quota",
		7: "not now: try again later", 8: "not authenticated",
	}
	of := map[int][]integration.Code{}
	for _, c := range integration.Codes() {
		n := c.Answer().Exit
		of[n] = append(of[n], c)
	}
	for _, f := range api.Faults() {
		n := client.Code(&client.Error{Status: f.Status}).Answer().Exit
		of[n] = append(of[n], f.Code)
	}
	all := []exitCode{{means: "done"}}
	for _, n := range slices.Sorted(maps.Keys(of)) {
		slices.Sort(of[n])
		all = append(all, exitCode{n, cmp.Or(means[n], "see the codes"), of[n]})
	}
	return append(all, exitCode{number: interrupted, means: "interrupted"})
}

// exitLines are the exit codes as the help shows them.
func exitLines() string {
	var b strings.Builder
	for _, e := range exitCodes() {
		fmt.Fprintf(&b, "\n  %-4d %s", e.number, e.means)
	}
	return b.String()
}

// reference is docs/CLI.md: every verb with its flags, from the commands themselves.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# The command line\n\n<!-- Made by `go generate ./cmd/rolebridge` from the commands themselves. -->\n\n")
	fmt.Fprintf(&b, "```\n%s\n```\n\n## Exit codes\n\n| code | means (and the codes of errors that it is for) |\n|---|---|\n", root.Long)
	for _, e := range exitCodes() {
		means := e.means
		if len(e.codes) > 0 {
			names := make([]string, len(e.codes))
			for n, c := range e.codes {
				names[n] = "`" + string(c) + "`"
			}
			means += " (" + strings.Join(names, ", ") + ")"
		}
		fmt.Fprintf(&b, "| %d | %s |\n", e.number, means)
	}
	b.WriteString("\n## Variables\n\n| variable | stands in for |\n|---|---|\n")
	for _, row := range [][2]string{
		{envURL, "`--url`"},
		{envKey + "`, `" + envSecret, "`--key-file`"},
		{envEnvironment, "`--environment`"},
		{envContext, "`--context`"},
		{envContexts, "the file of contexts, `rolebridge/config.yaml` in the user's folder of settings"},
		{envOperations, "`--operations-url` of `credentials explain`"},
		{envBrokers, "`--brokers`"},
	} {
		fmt.Fprintf(&b, "| `%s` | %s |\n", row[0], row[1])
	}
	b.WriteString(`
## Completion

` + "`rolebridge completion bash|zsh|fish|powershell`" + ` prints a script for the shell; ` + "`--help`" + ` of each says where it goes. All of them ask the
program what fits: verbs, flags, names of contexts, and ids of what the API has. The script for bash is tried in a real bash;
those for the other shells are generated from the same commands; a zsh and a fish, where a test finds one, only read theirs.
`)
	for _, c := range visible(root)[1:] {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", c.CommandPath(), cmp.Or(c.Long, c.Short))
		if c.HasAvailableSubCommands() {
			b.WriteString("\n")
			for _, child := range c.Commands() {
				if child.IsAvailableCommand() {
					fmt.Fprintf(&b, "- [%s](#%s): %s\n", child.Name(), strings.ReplaceAll(child.CommandPath(), " ", "-"), child.Short)
				}
			}
			continue
		}
		fmt.Fprintf(&b, "\n```\n%s\n```\n", c.UseLine())
		rows := flagRows(c)
		if len(rows) > 0 {
			fmt.Fprintf(&b, "\n| flag | what it says |\n|---|---|\n%s", strings.Join(rows, ""))
		}
		if c.Example != "" {
			fmt.Fprintf(&b, "\n```console\n%s\n```\n", c.Example)
		}
	}
	return b.String()
}

func flagRows(c *cobra.Command) (rows []string) {
	for _, set := range []*pflag.FlagSet{c.NonInheritedFlags(), c.InheritedFlags()} {
		set.VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			name := "`--" + f.Name + "`"
			if f.Shorthand != "" {
				name += ", `-" + f.Shorthand + "`"
			}
			use := strings.ReplaceAll(f.Usage, "|", `\|`)
			if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "0s" && d != "[]" {
				use += " Default: `" + d + "`."
			}
			rows = append(rows, fmt.Sprintf("| %s | %s |\n", name, use))
		})
	}
	return rows
}

// visible are c and all commands below it that help shows.
func visible(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() && child.Name() != "completion" {
			all = append(all, visible(child)...)
		}
	}
	return all
}

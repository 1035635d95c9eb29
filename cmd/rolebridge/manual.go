package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/rolebridge/rolebridge/cmd/internal/plural"
)

// newManual writes manual pages of what root has.
func newManual(s streams, root *cobra.Command) *cobra.Command {
	out := format("")
	c := &cobra.Command{
		Use: "man <folder>", Short: "Write the manual pages of all verbs to a folder.",
		Long: "Write the manual pages of all verbs to a folder, which is made if it is missing.",
		Example: examples(
			"Read a manual page.",
			"rolebridge man ./man1 && man ./man1/rolebridge-provider-integration-create.1",
			"Install them for everybody.",
			"rolebridge man /usr/local/share/man/man1",
		),
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // manual pages are for everybody
				return usage(err)
			}
			root.DisableAutoGenTag = true
			literal(root)
			day := time.Unix(0, 0) // the pages of one version are the same
			head := doc.GenManHeader{Title: "ROLEBRIDGE", Section: "1", Source: "rolebridge " + version(), Manual: "rolebridge", Date: &day}
			if err := doc.GenManTree(root, &head, args[0]); err != nil {
				return usage(err)
			}
			pages, err := os.ReadDir(args[0])
			if err != nil {
				return usage(err)
			}
			return out.tell(s.out, struct {
				Folder string `json:"folder"`
				Pages  int    `json:"pages"`
			}{args[0], len(pages)}, "%s holds %s.", args[0], plural.Of(len(pages), "page"))
		},
	}
	out.flag(c)
	return c
}

// literal keeps the arguments of c's verbs, which the generator would take for HTML. What it changes is not used again.
func literal(c *cobra.Command) {
	c.Use = strings.ReplaceAll(c.Use, "<", `\<`)
	for _, verb := range c.Commands() {
		literal(verb)
	}
}

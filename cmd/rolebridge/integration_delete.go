package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newIntegrationDelete(s streams) *cobra.Command {
	l, force := login{streams: s}, false
	c := &cobra.Command{
		Use:   "delete <id-1> [id-2] ... [id-n]",
		Short: "Delete one or more provider integrations.",
		Long: `Delete one or more provider integrations. Those that connectors are bound to stay, unless forced.

Asks first, unless forced.`,
		Example: examples(
			`Delete provider integration "cspi-12345".`,
			"rolebridge provider-integration delete cspi-12345 --environment env-abcdef",
		),
		Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, environment, err := l.both()
			if err != nil {
				return err
			}
			if !force {
				sure, err := confirmed(c.Context(), s, fmt.Sprintf("Are you sure you want to delete %s?", strings.Join(args, ", ")))
				if err != nil {
					return err
				}
				if !sure {
					return usage(errors.New("nothing was deleted; use --force to delete without being asked"))
				}
			}
			var failed []error
			for _, id := range args {
				if _, err := call(id, api.Delete(c.Context(), environment, id, force)); err != nil {
					failed = append(failed, err)
					continue
				}
				fmt.Fprintf(s.out, "Deleted provider integration %q.\n", id)
			}
			return errors.Join(failed...)
		},
	}
	l.flags(c)
	c.Flags().BoolVar(&force, "force", false, "Do not ask, and delete also while connectors are bound.")
	return c
}

// confirmed asks a yes-or-no question, until ctx ends.
func confirmed(ctx context.Context, s streams, question string) (bool, error) {
	fmt.Fprintf(s.err, "%s (y/n): ", question)
	answer := make(chan string, 1)
	go func() { // ends with the process, if nothing is typed any more
		line, _ := bufio.NewReader(s.in).ReadString('\n')
		answer <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return false, ctx.Err()
	case line := <-answer:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return true, nil
		}
		return false, nil
	}
}

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
			if err := s.sure(c.Context(), force, args); err != nil {
				return err
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

// sure asks before what args name is deleted, unless forced.
func (s streams) sure(ctx context.Context, force bool, args []string) error {
	if force {
		return nil
	}
	yes, err := confirmed(ctx, s, fmt.Sprintf("Are you sure you want to delete %s?", strings.Join(args, ", ")))
	if err == nil && !yes {
		err = usagef("nothing was deleted; use --force to delete without being asked")
	}
	return err
}

// confirmed asks a yes-or-no question, until ctx ends.
func confirmed(ctx context.Context, s streams, question string) (bool, error) {
	fmt.Fprintf(s.err, "%s (y/n): ", question)
	answer := make(chan string, 1)
	go func() { // ends with the process, if nothing is typed any more
		answer <- s.line()
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

// line is the next line of standard input.
func (s streams) line() string {
	text, _ := bufio.NewReader(s.in).ReadString('\n') // its end ends a line, too
	return text
}

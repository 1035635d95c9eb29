package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/integration"
)

func newIntegrationDelete(s streams) *cobra.Command {
	l, out, force, unbind := login{streams: s}, format(""), false, false
	var wait waiting
	c := &cobra.Command{
		Use:   "delete <id-1> [id-2] ... [id-n]",
		Short: "Delete one or more provider integrations.",
		Long: `Delete one or more provider integrations. Those that connectors are bound to stay, unless --unbind is
given: their connectors get no sessions any more.

Asks first, unless forced.`,
		Example: examples(
			`Delete provider integration "cspi-12345".`,
			"rolebridge provider-integration delete cspi-12345 --environment env-abcdef",
		),
		Annotations: map[string]string{
			string(integration.CodeInUse): "Take its connectors away first: rolebridge connector list <id>, and unbind. With --unbind it is deleted together with them.",
		},
		Args: atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, environment, err := l.both()
			if err != nil {
				return err
			}
			d := deletion{
				word: "provider integration", out: out, force: force, ids: args,
				name: func(id string) (string, error) {
					i, err := api.Read(c.Context(), environment, id)
					return i.DisplayName, err
				},
				remove: func(id string) error { return api.Delete(c.Context(), environment, id, unbind) },
			}
			if wait.on {
				d.removed = func(id string) error { return wait.gone(c.Context(), s.err, api, id, oneAsk) }
			}
			return d.do(c.Context(), s)
		},
	}
	l.flags(c)
	out.flag(c)
	c.Flags().BoolVar(&force, "force", false, "Do not ask.")
	c.Flags().BoolVar(&unbind, "unbind", false, "Delete also while connectors are bound, which get no sessions then.")
	wait.flags(c, "Wait until the platform's role is removed, with progress on standard error.")
	return c
}

// deletion deletes things by their ids.
type deletion struct {
	word  string
	out   format
	force bool
	ids   []string
	// name is what a person knows the thing by; nothing is asked about one that does not exist.
	name   func(id string) (string, error)
	remove func(id string) error
	// removed waits until it is gone for good; nil does not wait.
	removed func(id string) error
}

// do asks, unless forced, and deletes all that can be deleted.
func (d deletion) do(ctx context.Context, s streams) error {
	var failed []error
	if !d.force {
		known := make([]string, 0, len(d.ids))
		for _, id := range d.ids {
			name, err := call(d.name(id))
			if err != nil {
				failed = append(failed, err)
			}
			if name != "" {
				name = fmt.Sprintf(" (%q)", name)
			}
			known = append(known, id+name)
		}
		if len(failed) > 0 {
			return errors.Join(failed...)
		}
		if err := s.sure(ctx, false, known); err != nil {
			return err
		}
	}
	gone := []string{}
	for _, id := range d.ids {
		_, err := call(0, d.remove(id))
		if err == nil && d.removed != nil {
			err = d.removed(id)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if gone = append(gone, id); d.out == human { // at once: the next one may take its time
			failed = append(failed, d.out.deletions(s.out, d.word, []string{id}))
		}
	}
	if d.out != human {
		failed = append(failed, d.out.deletions(s.out, d.word, gone))
	}
	return errors.Join(failed...)
}

// deletions prints what was deleted.
func (f *format) deletions(to io.Writer, word string, ids []string) error {
	if *f != human {
		return f.document(to, map[string][]string{"deleted": ids})
	}
	for _, id := range ids {
		if _, err := fmt.Fprintf(to, "Deleted %s %q.\n", word, id); err != nil {
			return err
		}
	}
	return nil
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
	line, err := answered(ctx, func() (string, error) { return s.line(), nil })
	if err != nil {
		fmt.Fprintln(s.err)
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// answered is what a person types, unless ctx ends before.
func answered(ctx context.Context, read func() (string, error)) (text string, err error) {
	done := make(chan struct{})
	var typed string
	var failed error
	go func() { // ends with the process, if nothing is typed any more
		typed, failed = read()
		close(done)
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-done:
		return typed, failed
	}
}

// line is the next line of standard input.
func (s streams) line() string {
	text, _ := bufio.NewReader(s.in).ReadString('\n') // its end ends a line, too
	return text
}

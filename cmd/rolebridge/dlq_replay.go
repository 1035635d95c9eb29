package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/events/dlq"
	"github.com/rolebridge/rolebridge/integration"
)

func newDLQReplay(s streams) *cobra.Command {
	l, out, how := letters{}, format(""), dlq.How{}
	var all, force bool
	c := &cobra.Command{
		Use:   "replay [partition@offset...]",
		Short: "Write records that could not be read again to where they came from.",
		Long: `Write records that could not be read again to where they came from, as they were: those that are named, or those that the
flags choose. A command is decided once, however often it is replayed; one that is older than six days is refused, since
that would be forgotten. Nothing is replayed to events: lifecycle asks again itself for what nobody has answered in time.

In the same transaction each is marked as replayed, and is skipped from then on; so is what died again after it was
replayed. --again replays also those. Only one replay runs at a time.

The record is compared with what is still in its topic, and refused if it is another. What is not there any more is refused
too, unless --unverified takes the word of whoever wrote the dead letter: look at it first.

Asks first if there is more than one, unless forced. Exit code 5 means that something was refused.`,
		Example: examples(
			"Replay one record, once its reason has gone.",
			"rolebridge dlq replay 3@17",
			"See what would be replayed of what failed since this morning, and where.",
			"rolebridge dlq replay --since 6h --reason \"unknown type\" --dry-run",
		),
		RunE: func(c *cobra.Command, args []string) error {
			chosen := all || l.since != "" || l.reason != "" || l.topic != ""
			switch {
			case slices.Contains(args, ""):
				return usagef("an argument is empty: %s", c.UseLine())
			case len(args) == 0 && !chosen:
				return usagef("say which: name them, or set --since, --reason, --topic or --all")
			case len(args) > 0 && chosen:
				return usagef("name them, or choose them by flags, not both")
			}
			options := dlq.Options
			if how.DryRun {
				options = nil
			}
			return l.look(c, s, options, func(ctx context.Context, box dlq.Box) error {
				found, err := l.choose(ctx, s, box, args)
				if err != nil {
					return err
				}
				if len(found) > 1 && !force && !how.DryRun {
					sure, err := confirmed(ctx, s, fmt.Sprintf("Replay %d records?", len(found)))
					if err != nil {
						return err
					}
					if !sure {
						return usagef("nothing was replayed; use --force to replay without being asked")
					}
				}
				return s.replay(ctx, out, box, found, how)
			})
		},
	}
	l.filters(c)
	out.flag(c)
	f := c.Flags()
	f.BoolVar(&all, "all", false, "All of them, up to --limit.")
	f.BoolVar(&how.DryRun, "dry-run", false, "Say what would be replayed, and write nothing.")
	f.BoolVar(&how.Again, "again", false, "Also what was replayed before.")
	f.BoolVar(&how.Unverified, "unverified", false, "Also what is not in its topic any more, as the dead letter says it was.")
	f.BoolVar(&force, "force", false, "Do not ask.")
	return c
}

// choose returns the letters that are named, or those that the filter takes.
func (l *letters) choose(ctx context.Context, s streams, box dlq.Box, named []string) (found []dlq.Letter, err error) {
	if len(named) == 0 {
		return l.found(ctx, s, box)
	}
	for _, name := range named {
		letter, _, err := one(ctx, box, name)
		if err != nil {
			return nil, err
		}
		found = append(found, letter)
	}
	return found, nil
}

// outcomeShown is what became of a letter, as it is printed for machines.
type outcomeShown struct {
	ID     string     `json:"id"`
	Result dlq.Result `json:"result"`
	Topic  string     `json:"topic"`
	To     *int32     `json:"partition,omitempty"`
	Why    string     `json:"why,omitempty"`
}

func (s streams) replay(ctx context.Context, out format, box dlq.Box, found []dlq.Letter, how dlq.How) error {
	counts, all := map[dlq.Result]int{}, []outcomeShown{}
	failed := box.Replay(ctx, found, how, func(o dlq.Outcome) {
		counts[o.Result]++
		shown := outcomeShown{ID: o.ID.String(), Result: o.Result, Topic: oneLine(o.Topic, 300), Why: printable(o.Why)}
		if o.Why == "" {
			shown.To = &o.To
		}
		if all = append(all, shown); out != human {
			return
		}
		switch o.Result {
		case dlq.Replayed, dlq.Would:
			fmt.Fprintf(s.out, "%s %s: to %s/%d\n", shown.ID, o.Result, shown.Topic, o.To)
		case dlq.Skipped, dlq.Refused:
			fmt.Fprintf(s.out, "%s %s: %s\n", shown.ID, o.Result, shown.Why)
		}
	})
	if out != human {
		if err := out.document(s.out, all); err != nil {
			return err
		}
	} else {
		done := dlq.Replayed
		if how.DryRun {
			done = dlq.Would
		}
		parts := []string{fmt.Sprintf("%d of %d %s", counts[done], len(found), done)}
		for _, r := range []dlq.Result{dlq.Skipped, dlq.Refused} {
			if counts[r] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", counts[r], r))
			}
		}
		fmt.Fprintln(s.out, strings.Join(parts, ", ")+".")
	}
	switch {
	case failed != nil:
		return &called{failed}
	case counts[dlq.Refused] > 0:
		return quiet(integration.CodeConflict)
	}
	return nil
}

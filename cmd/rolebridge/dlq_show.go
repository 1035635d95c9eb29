package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/dlq"
)

// recordShown is a dead letter with all that it keeps.
type recordShown struct {
	letterShown
	Headers []headerShown `json:"headers"`
	Value   bytesShown    `json:"value"`
}

type headerShown struct {
	Name  string     `json:"name"`
	Value bytesShown `json:"value"`
}

func newDLQShow(s streams) *cobra.Command {
	l, out := letters{}, format("")
	c := &cobra.Command{
		Use:   "show <partition@offset>",
		Short: "Show one record that could not be read, with its headers and value.",
		Long: `Show one record that could not be read, with its headers and value.

Whatever a terminal might obey is written as an escape, as in Go. In JSON and YAML, what is not all printable text is given
in base64.`,
		Example: examples("Show the dead letter that list calls 3@17.", "rolebridge dlq show 3@17"),
		Args:    exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			return l.look(c, s, nil, func(ctx context.Context, box dlq.Box) error {
				letter, record, err := one(ctx, box, args[0])
				if err != nil {
					return err
				}
				return s.showRecord(out, letter, record)
			})
		},
	}
	l.add(c)
	out.flag(c)
	return c
}

func (s streams) showRecord(out format, l dlq.Letter, r *kgo.Record) error {
	shown := recordShown{letterShown: showLetter(l), Value: showBytes(r.Value), Headers: []headerShown{}}
	for _, h := range events.WithoutReserved(r.Headers) {
		shown.Headers = append(shown.Headers, headerShown{oneLine(h.Key, 1000), showBytes(h.Value)})
	}
	if out != human {
		return out.document(s.out, shown)
	}
	rows := []row{
		{"ID", shown.ID},
		{"Time", when(shown.Time)},
		{"Reason", oneLine(l.Reason, 2000)},
		{"Origin", fmt.Sprintf("%s/%d at %d", shown.Topic, shown.Partition, shown.Offset)},
		{"Cut", shown.Cut},
		{"Replayed From", shown.Earlier},
	}
	if shown.Replayed != nil {
		rows = append(rows, row{"Replayed", when(*shown.Replayed)})
	}
	rows = append(rows, row{"Key", oneLine(string(r.Key), 1000)}, row{"Bytes", strconv.Itoa(shown.Size)})
	if err := object(s.out, rows); err != nil {
		return err
	}
	for _, h := range events.WithoutReserved(r.Headers) {
		fmt.Fprintf(s.out, "%s: %s\n", oneLine(h.Key, 1000), oneLine(string(h.Value), 2000))
	}
	_, err := fmt.Fprintf(s.out, "\n%s\n", printable(string(r.Value)))
	return err
}

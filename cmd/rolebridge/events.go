package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
)

func newEvents(s streams) *cobra.Command {
	return group("events", "Follow what happens to provider integrations.", newEventsTail(s))
}

func newEventsTail(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	var id, since, last string
	var beginning bool
	var limit int
	c := &cobra.Command{
		Use:   "tail",
		Short: "Follow the events of provider integrations as they come.",
		Long: `Follow the events of provider integrations as they come: what was decided, what was asked of workers, and what was refused to
those that exist.
Those of the environment are shown if one is set, else all that the API key may read.

It begins now, unless told otherwise. The connection is opened anew every half an hour and whenever it is lost, and what came meanwhile is shown; an
outage and its end are told on standard error. It ends
with exit code 0 when --limit is reached, and with 130 when it is interrupted. Machines get one JSON document per line; the
"id" of the last one is what --last-event-id takes.`,
		Example: examples(
			"Follow everything in an environment.",
			"rolebridge events tail --environment env-abcdef",
			`Show what happened to provider integration "cspi-12345" within the last two days, and go on.`,
			"rolebridge events tail --integration cspi-12345 --since 2d",
			"Wait in a script until trust changes.",
			`rolebridge events tail -o json | jq --unbuffered -r 'select(.type == "integration.trust-changed") | .data.to' | head -1`,
		),
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			api, p, err := l.asking()
			if err != nil {
				return err
			}
			w := client.Watch{Environment: p.Environment, Integration: id, After: last}
			s.tellOutages(&w)
			if limit < 0 {
				return usagef("--limit %d: want 0, which is without end, or more", limit)
			}
			if w.Since, err = beginningAt(since, beginning, last != ""); err != nil {
				return err
			}
			if id != "" && !c.Flags().Changed("environment") {
				w.Environment = "" // it is in one
			}
			if id != "" && w.Since.IsZero() && last == "" { // else it may be gone and have events
				if _, err := call(api.Validation(c.Context(), id, 0, 0)); err != nil {
					return err
				}
			}
			return s.tail(c, out, api, w, limit)
		},
	}
	c.Flags().StringVar(&id, "integration", "", "Only events of this provider integration.")
	c.Flags().StringVar(&since, "since", "", "Begin so long ago (90s, 12h, 2d), or at a time (2026-01-02T15:04:05Z).")
	c.Flags().BoolVarP(&beginning, "from-beginning", "b", false, "Begin with the oldest event that is kept.")
	c.Flags().StringVar(&last, "last-event-id", "", "Begin behind the event with this id.")
	c.Flags().IntVar(&limit, "limit", 0, "End after so many events; 0 is without end.")
	l.flags(c)
	out.flag(c)
	return c
}

// tellOutages says when the API is away and when it is back. A stream ends now and then, and another one is opened: who watches
// need not know of what is mended at the first try.
func (s streams) tellOutages(w *client.Watch) {
	failed, told := 0, false
	w.Lost = func(err error, wait time.Duration) {
		if failed++; failed > 1 || wait >= time.Second {
			told = true
			fmt.Fprintf(s.err, "The connection is lost (%s); trying again in %v.\n", printable(err.Error()), wait.Round(100*time.Millisecond))
		}
	}
	w.Opened = func() {
		if told {
			fmt.Fprintln(s.err, "The connection is back; what came meanwhile follows.")
		}
		failed, told = 0, false
	}
}

// beginningAt is the time that the flags say; the zero time is now.
func beginningAt(since string, beginning, resumed bool) (at time.Time, err error) {
	given := 0
	for _, is := range []bool{since != "", beginning, resumed} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return at, usagef("want one of --since, --from-beginning and --last-event-id")
	case beginning:
		return time.Unix(0, 0), nil
	case since == "":
		return at, nil
	}
	return sinceFlag(since)
}

// sinceFlag reads a time, or how long ago it was.
func sinceFlag(since string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, forPeople} {
		if at, err := time.Parse(form, since); err == nil {
			return at, nil
		}
	}
	ago, err := parseLife(since)
	if err != nil || ago <= 0 {
		return time.Time{}, usagef("--since %s: want a length of time such as 90s, 12h or 2d, or a time such as 2026-01-02T15:04:05Z", since)
	}
	return time.Now().Add(-ago), nil
}

func (s streams) tail(c *cobra.Command, out format, api *client.Client, w client.Watch, limit int) error {
	seen := 0
	for e, err := range api.Follow(c.Context(), w) {
		if err != nil {
			_, err = call(0, err)
			return err
		}
		if e.Type == client.EventGap {
			fmt.Fprintln(s.err, "Warning: events are missing here; they are kept no longer.")
			continue
		}
		if err := s.printEvent(out, e); err != nil {
			return err
		}
		if seen++; seen == limit {
			break
		}
	}
	return nil
}

func (s streams) printEvent(out format, e wire.Event) error {
	switch out {
	case inJSON:
		text, err := json.Marshal(e)
		if err == nil {
			_, err = s.out.Write(append(escaped(text), '\n'))
		}
		return err
	case inYAML:
		if _, err := fmt.Fprintln(s.out, "---"); err != nil {
			return err
		}
		return out.document(s.out, e)
	}
	_, err := fmt.Fprintf(s.out, "%s  %s  %-28s  %s\n", when(e.Time), oneLine(e.Integration, 100), oneLine(e.Type, 100), essence(e.Data))
	return err
}

// essence is what an event says in plain values, by name; what is nested is left to the other formats.
func essence(data map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(data)) {
		var text string
		switch v := data[name].(type) {
		case string:
			text = v
		case bool:
			text = strconv.FormatBool(v)
		case json.Number: // as it is written
			text = v.String()
		}
		if text == "" {
			continue
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || r == '"' || !unicode.IsPrint(r) }) {
			text = strconv.Quote(text)
		}
		parts = append(parts, oneLine(name, 100)+"="+text)
	}
	return strings.Join(parts, " ")
}

func newIntegrationHistory(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	c := &cobra.Command{
		Use:   "history <id>",
		Short: "Show what happened to a provider integration.",
		Long: `Show what happened to a provider integration, oldest first, as far back as events are kept. "events tail" shows what comes,
and what happened to one that is deleted.`,
		Example: examples(
			`Show the events of provider integration "cspi-12345".`,
			"rolebridge provider-integration history cspi-12345 --environment env-abcdef",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, _, err := l.one(c, args[0])
			if err != nil {
				return err
			}
			all, gap, err := api.History(c.Context(), args[0])
			if err != nil {
				return &called{err}
			}
			if gap {
				fmt.Fprintln(s.err, "Warning: the oldest events are kept no longer.")
			}
			rows := make([][]string, 0, len(all))
			for _, e := range all {
				rows = append(rows, []string{when(e.Time), oneLine(e.Type, 100), essence(e.Data)})
			}
			if all == nil {
				all = []wire.Event{}
			}
			return out.table(s.out, all, []string{"Time", "Event", "Details"}, rows)
		},
	}
	l.flags(c)
	out.flag(c)
	return c
}

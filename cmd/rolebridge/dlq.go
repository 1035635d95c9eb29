package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cmd/internal/plural"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/dlq"
	"github.com/rolebridge/rolebridge/integration"
)

func newDLQ(s streams) *cobra.Command {
	return group("dlq", "Look at records that could not be read, and replay them.", newDLQList(s), newDLQShow(s), newDLQReplay(s))
}

// readWithin bounds a look at topics that may hold a month of records.
const readWithin = 5 * time.Minute

// letters are the flags of the verbs about dead letters.
type letters struct {
	kafkaFlags
	since, reason, topic string
	limit                int
}

func (l *letters) filters(c *cobra.Command) {
	l.add(c)
	f := c.Flags()
	f.StringVar(&l.since, "since", "", "Only those written so long ago at most (90s, 12h, 2d), or since a time (2026-01-02T15:04:05Z).")
	f.StringVar(&l.reason, "reason", "", "Only those whose reason has this text in it.")
	f.StringVar(&l.topic, "topic", "", "Only those of this topic: commands, results or events, with the prefix of the names or without.")
	f.IntVar(&l.limit, "limit", 100, "At most so many, the newest: 1 to 10000.")
}

func (l *letters) filter(t events.Topics) (dlq.Filter, error) {
	f := dlq.Filter{Reason: l.reason, Limit: l.limit}
	if l.limit < 1 || l.limit > 10_000 {
		return f, usagef("--limit: %d: want 1 to 10000", l.limit)
	}
	if l.topic != "" {
		read := []string{t.Commands(), t.Results(), t.Events()}
		at := slices.IndexFunc(read, func(name string) bool { return l.topic == name || t.Prefix+l.topic == name })
		if at < 0 {
			return f, usagef("--topic %s: want one of %s", l.topic, strings.Join(read, ", "))
		}
		f.Topic = read[at]
	}
	if l.since == "" {
		return f, nil
	}
	var err error
	f.Since, err = sinceFlag(l.since)
	return f, err
}

// found are the letters that the filters let through.
func (l *letters) found(ctx context.Context, s streams, box dlq.Box) ([]dlq.Letter, error) {
	f, err := l.filter(box.Topics)
	if err != nil {
		return nil, err
	}
	found, more, err := callTwo(box.List(ctx, f))
	if more > 0 {
		fmt.Fprintf(s.err, "%s left out; see --limit and --since.\n", plural.Of(more, "older one"))
	}
	return found, err
}

// one is the letter that an argument names.
func one(ctx context.Context, box dlq.Box, name string) (l dlq.Letter, r *kgo.Record, err error) {
	id, err := dlq.ParseID(name)
	if err != nil {
		return l, nil, usage(err)
	}
	l, r, err = callTwo(box.Show(ctx, id))
	if errors.Is(err, events.ErrNoRecord) || errors.Is(err, dlq.ErrNoLetter) {
		err = &exit{integration.CodeNotFound.Answer().Exit, err}
	}
	return l, r, err
}

// look has do look at the box. options add to those of the client.
func (l *letters) look(c *cobra.Command, s streams, options func(events.Topics) []kgo.Opt, do func(context.Context, dlq.Box) error) error {
	return l.with(c, s, readWithin, options, func(ctx context.Context, k atKafka) error {
		topics, err := events.Counted(ctx, kadm.NewClient(k.cl), k.topics, append(k.topics.Replayable(), k.topics.DeadLetters())...)
		if err != nil {
			return &called{err}
		}
		return do(ctx, dlq.Box{Client: k.cl, Topics: topics})
	})
}

// letterShown is a dead letter as it is printed for machines.
type letterShown struct {
	ID        string     `json:"id"`
	Time      time.Time  `json:"time"`
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Key       bytesShown `json:"key"`
	Size      int        `json:"size"`
	Reason    string     `json:"reason"`
	Cut       string     `json:"cut,omitempty"`
	Earlier   string     `json:"replayed_from,omitempty"`
	Replayed  *time.Time `json:"replayed_at,omitempty"`
}

// bytesShown is text, or whatever else, so that a terminal shows it and nothing is lost.
type bytesShown struct {
	Text   *string `json:"text,omitempty"`
	Base64 *string `json:"base64,omitempty"`
}

func showBytes(b []byte) bytesShown {
	if text := string(b); printable(text) == text {
		return bytesShown{Text: &text}
	}
	return bytesShown{Base64: new(base64.StdEncoding.EncodeToString(b))}
}

func showLetter(l dlq.Letter) letterShown {
	shown := letterShown{
		ID: l.ID.String(), Time: l.At.UTC(), Topic: oneLine(l.Topic, 300), Partition: l.From, Offset: l.Position, Key: showBytes(l.Key),
		Size: l.Size, Reason: oneLine(l.Reason, 2000), Cut: oneLine(l.Cut, 100), Earlier: oneLine(l.Earlier, 100),
	}
	if !l.Replayed.IsZero() {
		shown.Replayed = new(l.Replayed.UTC())
	}
	return shown
}

func newDLQList(s streams) *cobra.Command {
	l, out := letters{}, format("")
	c := &cobra.Command{
		Use:   "list",
		Short: "List records that could not be read, the newest last.",
		Long: `List records that could not be read, the newest last: why, where they were, and whether they were replayed.

The id, partition@offset, is where the dead letter is, and names it for show and replay. Only committed ones are listed.`,
		Example: examples(
			"What could not be read since yesterday.",
			"rolebridge dlq list --since 24h",
		),
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return l.look(c, s, nil, func(ctx context.Context, box dlq.Box) error {
				found, err := l.found(ctx, s, box)
				if err != nil {
					return err
				}
				return s.showLetters(out, found)
			})
		},
	}
	l.filters(c)
	out.flag(c)
	return c
}

func (s streams) showLetters(out format, found []dlq.Letter) error {
	shown := make([]letterShown, len(found))
	for n, l := range found {
		shown[n] = showLetter(l)
	}
	if out != human {
		return out.document(s.out, shown)
	}
	if len(shown) == 0 {
		_, err := fmt.Fprintln(s.out, noneYet)
		return err
	}
	rows := make([][]string, len(shown))
	for n, l := range shown {
		replayed := ""
		switch {
		case l.Replayed != nil:
			replayed = when(*l.Replayed)
		case l.Earlier != "":
			replayed = "died again"
		}
		rows[n] = []string{
			l.ID, when(l.Time), fmt.Sprintf("%s/%d at %d", l.Topic, l.Partition, l.Offset), oneLine(string(found[n].Key), 40),
			strconv.Itoa(l.Size), replayed, oneLine(l.Reason, 120),
		}
	}
	return list(s.out, []string{"ID", "Time", "Origin", "Key", "Bytes", "Replayed", "Reason"}, rows)
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/cmd/internal/plural"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/snapshot"
	"github.com/rolebridge/rolebridge/integration"
)

func newState(s streams) *cobra.Command {
	return group("state", "Take the state into a file, and from a file into an empty installation.", newStateExport(s), newStateImport(s))
}

// movedWithin bounds an export, and an import with its one transaction: below what a broker lets a transaction take.
const movedWithin = 10 * time.Minute

func newStateExport(s streams) *cobra.Command {
	var kafka kafkaFlags
	out := format("")
	var organization string
	c := &cobra.Command{
		Use:   "export <file>",
		Short: "Write the state of all organizations, or of one, to a file.",
		Long: `Write the state of all organizations, or of one, to a file: one JSON object a line, each organization as it is between two
commands. Deciders may run meanwhile.

The file holds no secret that opens anything, but the proofs and hashes of all tokens and keys, and names, roles and external
IDs of all customers: it is readable by you alone (0600). A file that is there already is not replaced.

Not in it: events, dead letters, the audit, and how far topics were read.`,
		Example: examples("Take the whole state into a file.", "rolebridge state export state.jsonl --config rolebridge.yaml"),
		Args:    exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			return kafka.with(c, s, movedWithin, nil, func(ctx context.Context, k atKafka) error {
				topics, err := events.Counted(ctx, kadm.NewClient(k.cl), k.topics, k.topics.State())
				if err != nil {
					return &called{err}
				}
				counts, err := exportTo(ctx, args[0], k.cl, topics, integration.OrganizationID(organization))
				if err != nil {
					return err
				}
				return s.counted(out, "Exported", counts)
			})
		},
	}
	kafka.add(c)
	out.flag(c)
	c.Flags().StringVar(&organization, "organization", "", "Only this organization.")
	return c
}

func (s streams) counted(out format, done string, n snapshot.Counts) error {
	return out.tell(s.out, n, "%s %s, %s, %s and %s.", done, plural.Of(n.Organizations, "organization"), plural.Of(n.Integrations, "integration"),
		plural.Of(n.Accounts, "account"), plural.Of(n.Receipts, "receipt"))
}

// exportTo writes a new file, and removes it again if it does not become whole.
func exportTo(ctx context.Context, path string, cl *kgo.Client, t events.Topics, o integration.OrganizationID) (n snapshot.Counts, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return n, &exit{integration.CodeExists.Answer().Exit, fmt.Errorf("%s is there already", path)}
	}
	if err != nil {
		return n, usage(err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	to := bufio.NewWriterSize(file, 1<<20)
	n, err = snapshot.Export(ctx, cl, t, o, time.Now(), to)
	switch {
	case errors.Is(err, snapshot.ErrNothing) && o != "":
		return n, integration.Refuse(integration.CodeNotFound, "%s has no organization %s", t.State(), o)
	case errors.Is(err, snapshot.ErrNothing):
		return n, &exit{integration.CodeNotFound.Answer().Exit, fmt.Errorf("%s: %w", t.State(), err)}
	case err != nil:
		return n, &called{err}
	}
	return n, errors.Join(to.Flush(), file.Sync())
}

func newStateImport(s streams) *cobra.Command {
	var kafka kafkaFlags
	out := format("")
	var dry bool
	c := &cobra.Command{
		Use:   "import <file>",
		Short: "Write a file's state into an empty installation.",
		Long: `Write a file's state into an empty installation, whose topics are there (rolebridge topics apply) and may have another number
of partitions. Stop every process with the role lifecycle first, here and at the installation that the file is of: two that
decide about the same customers take each other's platform roles away.

Every line is checked before anything is written, and all of it is written in one transaction, or nothing.

Tokens, API keys, external IDs and trust stay as they are. A command that was answered before the export, and is sent again
within a week, is recognised. What was asked for and not answered is asked again when its time has come, within minutes. No
cached session of the former installation is used. Exit code 5 means that the installation is not empty, or deciders run.`,
		Example: examples(
			"Look whether a file can be imported, without Kafka.",
			"rolebridge state import state.jsonl --dry-run",
			"Import it into new topics.",
			"rolebridge state import state.jsonl --config rolebridge.yaml --prefix next.",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := os.Open(args[0])
			if err != nil {
				return usage(err)
			}
			defer func() { _ = file.Close() }() // only read
			f, err := snapshot.Read(file)
			if err != nil {
				return usage(fmt.Errorf("%s: %w", args[0], err))
			}
			if dry {
				return s.counted(out, "Could import", f.Counts)
			}
			options := func(t events.Topics) []kgo.Opt { return snapshot.Options(t, movedWithin) }
			return kafka.with(c, s, movedWithin, options, func(ctx context.Context, k atKafka) error {
				topics, err := events.Counted(ctx, kadm.NewClient(k.cl), k.topics, append(k.topics.Replayable(), k.topics.Events(), k.topics.State())...)
				if err != nil {
					return &exit{integration.CodeConflict.Answer().Exit, fmt.Errorf("%w; make them with `rolebridge topics apply`", err)}
				}
				err = snapshot.Import(ctx, k.cl, topics, k.Groups()[app.Lifecycle], f)
				switch {
				case errors.Is(err, snapshot.ErrNotEmpty) || errors.Is(err, snapshot.ErrDeciders):
					return &exit{integration.CodeConflict.Answer().Exit, err}
				case err != nil:
					return &called{err}
				}
				return s.counted(out, "Imported", f.Counts)
			})
		},
	}
	kafka.add(c)
	out.flag(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "Check the file, and write nothing.")
	return c
}

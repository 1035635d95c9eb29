package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/integration"
)

// keysetCommand makes the keyset that seals sessions in Redis, and changes its keys.
func keysetCommand() *cobra.Command {
	cmd := group("keyset", "The keyset that seals sessions in Redis",
		&cobra.Command{
			Use:   "create <file>",
			Short: "Write a new keyset to a file that only its owner can read",
			Long: `Write a new keyset (tink, AES-256-GCM) to a file that only its owner can read. Every broker needs the same file, in
broker.keyset_file. Losing it loses no data: brokers begin with a cold cache.`,
			Example: "  rolebridge keyset create /etc/rolebridge/keyset.json",
			Args:    exactly(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				switch err := (creds.KeysetFile{Path: args[0]}).Create(cmd.Context()); {
				case errors.Is(err, fs.ErrExist):
					return &exit{integration.CodeExists.Answer().Exit, fmt.Errorf("%s exists; a keyset is never overwritten", args[0])}
				case err != nil:
					return usage(err)
				}
				return say(cmd, "%s holds a new keyset; every broker needs it in broker.keyset_file.", args[0])
			},
		},
		&cobra.Command{
			Use:     "list <file>",
			Short:   "List the ids of the keys",
			Example: "  rolebridge keyset list /etc/rolebridge/keyset.json",
			Args:    exactly(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				keys, err := creds.KeysetFile{Path: args[0]}.Keys(cmd.Context())
				if err != nil {
					return usage(err)
				}
				for _, k := range keys {
					does := "opens"
					if k.Primary {
						does = "seals and opens"
					}
					if err := say(cmd, "%d %s", k.ID, does); err != nil {
						return err
					}
				}
				return nil
			},
		},
		&cobra.Command{
			Use:     "add <file>",
			Short:   "Add a key, which opens and does not seal yet",
			Example: "  rolebridge keyset add /etc/rolebridge/keyset.json",
			Args:    exactly(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				id, err := creds.KeysetFile{Path: args[0]}.Add(cmd.Context())
				if err != nil {
					return usage(err)
				}
				return say(cmd, "%d was added. Give the file to every broker, wait until each has logged \"keyset loaded\", and then:\n"+
					"  rolebridge keyset promote %s %d", id, args[0], id)
			},
		},
		&cobra.Command{
			Use:     "promote <file> <key>",
			Short:   "Let a key seal from now on",
			Example: "  rolebridge keyset promote /etc/rolebridge/keyset.json 1462810937",
			Args:    exactly(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				return withKey(args[1], func(id uint32) error {
					if err := (creds.KeysetFile{Path: args[0]}).Promote(cmd.Context(), id); err != nil {
						return err
					}
					return say(cmd, "%d seals from now on. Give the file to every broker; an hour later the keys before it can be removed:\n"+
						"  rolebridge keyset remove %s <key>", id, args[0])
				})
			},
		},
		&cobra.Command{
			Use:     "remove <file> <key>",
			Short:   "Remove a key that does not seal any more",
			Example: "  rolebridge keyset remove /etc/rolebridge/keyset.json 305441741",
			Args:    exactly(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				return withKey(args[1], func(id uint32) error {
					if err := (creds.KeysetFile{Path: args[0]}).Remove(cmd.Context(), id); err != nil {
						return err
					}
					return say(cmd, "%d was removed. What it sealed does not open any more.", id)
				})
			},
		},
	)
	cmd.Long = `The keyset that seals sessions in Redis. Brokers look at their file every 10 s and need no restart. To rotate its keys,
take these steps, and give the file to every broker after each:
  1. keyset add       every broker can open what the new key will seal
  2. keyset promote   the new key seals; the old one still opens
  3. keyset remove    an hour later, when the last session that the old key sealed has expired`
	return cmd
}

func withKey(text string, do func(uint32) error) error {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return usage(fmt.Errorf("%q is no id of a key; see keyset list", text))
	}
	if err := do(uint32(id)); err != nil {
		return usage(err)
	}
	return nil
}

func say(cmd *cobra.Command, format string, args ...any) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/config"
)

// newKeyset makes the keyset that seals sessions in Redis, and changes its keys.
func newKeyset(s streams) *cobra.Command {
	in := keysetFlags{s: s}
	cmd := group("keyset", "The keyset that seals sessions in Redis", in.create(), in.list(), in.addKey(), in.promote(), in.remove())
	cmd.Long = `The keyset that seals sessions in Redis. Brokers look at their file every 10 s and need no restart. To rotate its keys,
take these steps, and give the file to every broker after each:
  1. keyset add       every broker can open what the new key will seal
  2. keyset promote   the new key seals; the old one still opens
  3. keyset remove    an hour later, when the last session that the old key sealed has expired
With --kms the file holds the keyset encrypted by a key of AWS KMS, and every verb needs the same --kms.`
	in.add(cmd)
	return cmd
}

// keysetDone is what was done, as it is printed for machines.
type keysetDone struct {
	File string `json:"file"`
	KMS  string `json:"kms,omitempty"`
	Key  uint32 `json:"key,omitempty"`
}

// keyShown is a key as it is printed for machines; all of them open.
type keyShown struct {
	ID    uint32 `json:"id"`
	Seals bool   `json:"seals"`
}

func (in *keysetFlags) create() *cobra.Command {
	return in.prints(&cobra.Command{
		Use:   "create <file>",
		Short: "Write a new keyset to a file that only its owner can read",
		Long: `Write a new keyset (tink, AES-256-GCM) to a file that only its owner can read. Every broker needs the same file, in
broker.keyset_file. Losing it loses no data: brokers begin with a cold cache.`,
		Example: "  rolebridge keyset create /etc/rolebridge/keyset.json\n" +
			"  rolebridge keyset create /etc/rolebridge/keyset.json --kms arn:aws:kms:eu-central-1:111122223333:alias/rolebridge",
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := in.with(cmd, args[0], func(ctx context.Context, f creds.KeysetFile) error { return f.Create(ctx) })
			if errors.Is(err, fs.ErrExist) {
				return &exit{integration.CodeExists.Answer().Exit, fmt.Errorf("%s exists; a keyset is never overwritten", args[0])}
			}
			if err != nil {
				return err
			}
			done := keysetDone{File: args[0], KMS: in.kms}
			if in.kms != "" {
				return in.say(done, "%s holds a new keyset; every broker needs it in broker.keyset_file, and in broker.keyset_kms:\n  %s", args[0], in.kms)
			}
			return in.say(done, "%s holds a new keyset; every broker needs it in broker.keyset_file.", args[0])
		},
	})
}

func (in *keysetFlags) list() *cobra.Command {
	return in.prints(&cobra.Command{
		Use:     "list <file>",
		Short:   "List the ids of the keys",
		Example: "  rolebridge keyset list /etc/rolebridge/keyset.json",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var keys []creds.KeysetKey
			err := in.with(cmd, args[0], func(ctx context.Context, f creds.KeysetFile) (err error) {
				keys, err = f.Keys(ctx)
				return err
			})
			if err != nil {
				return err
			}
			shown, lines := []keyShown{}, make([]string, 0, len(keys))
			for _, k := range keys {
				does := "opens"
				if k.Primary {
					does = "seals and opens"
				}
				shown, lines = append(shown, keyShown{k.ID, k.Primary}), append(lines, fmt.Sprintf("%d %s", k.ID, does))
			}
			return in.say(shown, "%s", strings.Join(lines, "\n"))
		},
	})
}

func (in *keysetFlags) addKey() *cobra.Command {
	return in.prints(&cobra.Command{
		Use:     "add <file>",
		Short:   "Add a key, which opens and does not seal yet",
		Example: "  rolebridge keyset add /etc/rolebridge/keyset.json",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var id uint32
			err := in.with(cmd, args[0], func(ctx context.Context, f creds.KeysetFile) (err error) {
				id, err = f.Add(ctx)
				return err
			})
			if err != nil {
				return err
			}
			return in.say(keysetDone{args[0], in.kms, id}, "%d was added. Give the file to every broker, wait until each has logged \"keyset loaded\", and then:\n"+
				"  rolebridge keyset promote %s %d%s", id, args[0], id, in.again())
		},
	})
}

func (in *keysetFlags) promote() *cobra.Command {
	return in.prints(&cobra.Command{
		Use:     "promote <file> <key>",
		Short:   "Let a key seal from now on",
		Example: "  rolebridge keyset promote /etc/rolebridge/keyset.json 1462810937",
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := in.withKey(cmd, args, func(ctx context.Context, f creds.KeysetFile, k creds.KeysetKey) error { return f.Promote(ctx, k.ID) })
			if err != nil {
				return err
			}
			return in.say(keysetDone{args[0], in.kms, id}, "%d seals from now on. Give the file to every broker; an hour later the keys before it can be removed:\n"+
				"  rolebridge keyset remove %s <key>%s", id, args[0], in.again())
		},
	})
}

func (in *keysetFlags) remove() *cobra.Command {
	return in.prints(&cobra.Command{
		Use:     "remove <file> <key>",
		Short:   "Remove a key that does not seal any more",
		Example: "  rolebridge keyset remove /etc/rolebridge/keyset.json 305441741",
		Args:    exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := in.withKey(cmd, args, func(ctx context.Context, f creds.KeysetFile, k creds.KeysetKey) error {
				if k.Primary {
					return fmt.Errorf("key %d seals, and stays until another does: rolebridge keyset promote", k.ID)
				}
				return f.Remove(ctx, k.ID)
			})
			if err != nil {
				return err
			}
			return in.say(keysetDone{args[0], in.kms, id}, "%d was removed. What it sealed does not open any more.", id)
		},
	})
}

// withKey does something with the key that the second argument names, in the keyset of the first.
func (in *keysetFlags) withKey(cmd *cobra.Command, args []string, do func(context.Context, creds.KeysetFile, creds.KeysetKey) error) (uint32, error) {
	id, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return 0, usagef("%q is no id of a key; see keyset list", args[1])
	}
	return uint32(id), in.with(cmd, args[0], func(ctx context.Context, f creds.KeysetFile) error {
		keys, err := f.Keys(ctx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			if uint64(k.ID) == id {
				return do(ctx, f, k)
			}
		}
		return fmt.Errorf("%s has no key %d; see keyset list", args[0], id)
	})
}

// keysetFlags say with which key of KMS a keyset is encrypted, and where KMS is.
type keysetFlags struct {
	s           streams
	kms, config string
	out         format
}

// say prints a result.
func (in *keysetFlags) say(v any, sentence string, args ...any) error {
	return in.out.tell(in.s.out, v, sentence, args...)
}

// prints adds the flag of the output's format to a verb; only one of them runs.
func (in *keysetFlags) prints(c *cobra.Command) *cobra.Command {
	in.out.flag(c)
	return c
}

func (in *keysetFlags) add(c *cobra.Command) {
	c.PersistentFlags().StringVar(&in.kms, "kms", "", "ARN of the AWS KMS key that encrypts the keyset; empty: it stands in the file in the clear")
	c.PersistentFlags().StringVarP(&in.config, "config", "c", "", "YAML file with settings, of which --kms takes those under aws")
}

// again is what the next command line needs, too.
func (in *keysetFlags) again() string {
	if in.kms == "" {
		return ""
	}
	return " --kms " + in.kms
}

// with does something with the keyset of a file. KMS is asked with the SDK's default chain of credentials.
func (in *keysetFlags) with(cmd *cobra.Command, path string, do func(context.Context, creds.KeysetFile) error) error {
	file := creds.KeysetFile{Path: path}
	if in.kms != "" {
		if _, err := aws.ParseKMSKey(in.kms); err != nil {
			return usage(fmt.Errorf("--kms: %w", err))
		}
		settings := app.Defaults()
		if err := config.Load(in.config, os.Environ(), &settings); err != nil {
			return usage(err)
		}
		client, err := aws.New(cmd.Context(), aws.Config{Region: settings.AWS.Region, Endpoint: settings.AWS.Endpoint})
		if err != nil {
			return usage(err)
		}
		defer client.Close()
		if file.KMS, err = client.KMS(cmd.Context(), in.kms); err != nil {
			return usage(err)
		}
	}
	err := do(cmd.Context(), file)
	refused, ok := errors.AsType[*cloud.Error](err)
	switch {
	case ok && refused.Temporary():
		return &exit{integration.CodeUnavailable.Answer().Exit, err}
	case ok && refused.Fault == cloud.FaultDenied:
		return &exit{integration.CodeDenied.Answer().Exit, err}
	}
	return usage(err)
}

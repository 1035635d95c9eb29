package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/wholefile"
)

// newSigningKey makes keys that sign commands.
func newSigningKey(s streams) *cobra.Command {
	c := group("signing-key", "Manage keys that sign commands.", newSigningKeyCreate(s), newSigningKeyShow(s), newSigningKeySign(s))
	c.Long = `Manage keys that sign commands. Whoever may write to the commands topic may name any actor; with lifecycle.require_signed
only who holds a registered key may, and only as the actors and sources that it is registered for. To begin with it, take these steps:
  1. signing-key create     one for the api, one for each control plane, each with --source; its entry goes to the file lifecycle.signers_file
  2. lifecycle.signers_file given to every decider, which reads it again every few seconds: signatures count when they are there
  3. commands.signing_key_file  given to the api; other producers sign as docs/COMMANDS.md says
  4. lifecycle.require_signed: true`
	return c
}

func newSigningKeyCreate(s streams) *cobra.Command {
	var registered signature.Signer
	out := format("")
	c := &cobra.Command{
		Use:   "create <file>",
		Short: "Write a new private key to a file that only its owner can read, and print how to register it.",
		Example: examples(
			"A key for the api, which acts as everybody but the platform.",
			"rolebridge signing-key create api.pem --name api --actor '*' --source /rolebridge/api",
			"A key for a control plane that makes organizations.",
			"rolebridge signing-key create plane.pem --name plane --actor platform:plane --source /plane",
			"A key for bootstrap and organization, the verbs that write to Kafka.",
			"rolebridge signing-key create cli.pem --name cli --actor platform:cli --source /rolebridge/cli",
			"A key that acts as one principal, in one organization.",
			"rolebridge signing-key create job.pem --name job --actor u-admin --organization org-1 --source /job",
		),
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key := signature.NewKey()
			registered.PublicKey = key.Public().String()
			entry, err := registered.Entry()
			if err != nil {
				return usagef("%s", entryTyped.Replace(err.Error()))
			}
			err = wholefile.Create(args[0], key.PEM())
			if errors.Is(err, fs.ErrExist) {
				return &exit{integration.CodeExists.Answer().Exit, fmt.Errorf("%s exists; a key is never overwritten", args[0])}
			}
			if err != nil {
				return usage(err)
			}
			if _, err := fmt.Fprintf(s.err, "%s holds a new private key. Register it with every decider, in lifecycle.signers_file:\n\n", args[0]); err != nil {
				return err
			}
			if out == inJSON { // which is YAML, too
				var register map[string]any
				if err := yaml.Unmarshal(entry, &register); err != nil {
					return err
				}
				return out.document(s.out, register)
			}
			_, err = s.out.Write(entry)
			return err
		},
	}
	out.flag(c)
	c.Flags().StringVar(&registered.Name, "name", "", "Name of the producer, for logs and refusals.")
	c.Flags().StringSliceVar(&registered.Actors, "actor", nil, "Whom the key may act as: a principal, a beginning with \"*\", or \"*\" for all but the platform (repeat).")
	c.Flags().StringSliceVar(&registered.Organizations, "organization", nil, "Where it may: an organization, or a beginning with \"*\" (repeat); all when absent.")
	c.Flags().StringSliceVar(&registered.Sources, "source", nil, "What its commands may name as their source, which only keys with the same text in their list may then: a source, or a beginning with \"*\" (repeat); when absent, what no other key has.")
	return c
}

// entryTyped puts flags in the place of an entry's fields.
var entryTyped = strings.NewReplacer("signers[0].name", "--name", "signers[0].actors", "--actor", "signers[0].organizations", "--organization", "signers[0].sources", "--source")

func newSigningKeyShow(s streams) *cobra.Command {
	out := format("")
	c := &cobra.Command{
		Use:   "show <file>",
		Short: "Show the public half of a private key.",
		Long:  "Show the public half of a private key: what is registered, and the id that signed commands name.",
		Args:  exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := signature.ReadKey(args[0])
			if err != nil {
				return usage(err)
			}
			if out != human {
				return out.document(s.out, struct {
					ID        string `json:"id"`
					PublicKey string `json:"public_key"`
				}{key.Public().ID(), key.Public().String()})
			}
			return object(s.out, []row{{"ID", key.Public().ID()}, {"Public Key", key.Public().String()}})
		},
	}
	out.flag(c)
	return c
}

func newSigningKeySign(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "sign <file>",
		Short: "Sign an event from standard input.",
		Long: `Sign an event from standard input: a command in the JSON format of CloudEvents, as a record in structured mode carries it.
The signed event is printed, for producers that cannot sign for themselves.`,
		Example: examples(
			"Sign a command and send it with kcat.",
			"rolebridge signing-key sign plane.pem < command.json | kcat -P -b kafka-1:9092 -t rolebridge.commands -k org-1 -H content-type=application/cloudevents+json",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			key, err := signature.ReadKey(args[0])
			if err != nil {
				return usage(err)
			}
			text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), maxEvent+1))
			if err != nil {
				return err
			}
			if len(text) > maxEvent {
				return usagef("the event is larger than %d bytes", maxEvent)
			}
			signed, err := key.SignEvent(text)
			if err != nil {
				return usage(err)
			}
			_, err = fmt.Fprintf(s.out, "%s\n", signed)
			return err
		},
	}
}

// maxEvent is the most that is read of an event, as deciders do.
const maxEvent = 64 << 10

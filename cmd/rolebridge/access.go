package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
)

func newAccess(s streams) *cobra.Command {
	return group("access", "Manage who may do what.",
		accounts{"user", "user", client.Users}.group(s), accounts{"service-account", "service account", client.ServiceAccounts}.group(s),
		newAPIKeys(s), newRoleBindings(s),
	)
}

// deleting is the verb that deletes things by their ids.
func deleting(s streams, word, example string, name func(*cobra.Command, *client.Client, string) (string, error), remove func(*cobra.Command, *client.Client, string) error) *cobra.Command {
	l, out, force := login{streams: s}, format(""), false
	c := &cobra.Command{
		Use:     "delete <id-1> [id-2] ... [id-n]",
		Short:   fmt.Sprintf("Delete one or more %ss. Asks first, unless forced.", word),
		Example: example,
		Args:    atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := l.client()
			if err != nil {
				return err
			}
			return deletion{
				word: word, out: out, force: force, ids: args,
				name:   func(id string) (string, error) { return name(c, api, id) },
				remove: func(id string) error { return remove(c, api, id) },
			}.do(c.Context(), s)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "Do not ask.")
	l.flags(c)
	out.flag(c)
	return c
}

// table prints a list: for machines all, for people its rows under a heading.
func (f *format) table(to io.Writer, all any, heading []string, rows [][]string) error {
	switch {
	case *f != human:
		return f.document(to, all)
	case len(rows) == 0:
		_, err := io.WriteString(to, noneYet+"\n")
		return err
	}
	return list(to, heading, rows)
}

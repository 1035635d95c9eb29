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
func deleting(s streams, word, example string, remove func(c *cobra.Command, api *client.Client, id string) error) *cobra.Command {
	l := login{streams: s}
	c := &cobra.Command{
		Use:     "delete <id> [id…]",
		Short:   fmt.Sprintf("Delete one or more %ss.", word),
		Example: example,
		Args:    atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := l.client()
			if err != nil {
				return err
			}
			for _, id := range args {
				if _, err := call(0, remove(c, api, id)); err != nil {
					return err
				}
				fmt.Fprintf(s.out, "Deleted %s %q.\n", word, id)
			}
			return nil
		},
	}
	l.flags(c)
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

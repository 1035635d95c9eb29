package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// accounts are those of one kind: the verb, the words for people, and where the API has them.
type accounts struct{ verb, word, path string }

// person is an account as it is printed.
type person struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Description string             `json:"description"`
	Identities  []integration.OIDC `json:"identities"`
}

func aPerson(a wire.Account) person { return person{a.ID, a.DisplayName, a.Description, a.Identities} }

// identified is one identity on one line.
func identified(who integration.OIDC) string {
	return strings.Join([]string{who.Issuer, who.Audience, who.Subject}, ",")
}

func (k accounts) group(s streams) *cobra.Command {
	return group(k.verb, fmt.Sprintf("Manage %ss.", k.word), k.create(s), k.list(s), k.describe(s), k.update(s),
		deleting(s, k.word, examples("Delete one, with its keys and roles.", "rolebridge access "+k.verb+" delete "+k.example()),
			func(c *cobra.Command, api *client.Client, id string) (string, error) {
				a, err := api.Account(c.Context(), k.path, id)
				return a.DisplayName, err
			},
			func(c *cobra.Command, api *client.Client, id string) error {
				return api.DeleteAccount(c.Context(), k.path, id)
			}))
}

func (k accounts) example() string {
	return map[string]string{client.Users: "u-12345abcde", client.ServiceAccounts: "sa-12345abcde"}[k.path]
}

// about is what can be said of an account.
type about struct {
	description string
	identities  []string
}

func (a *about) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.description, "description", "", "Description.")
	c.Flags().StringArrayVar(&a.identities, "identity", nil,
		"Whose OpenID Connect tokens prove the account, as ISSUER,AUDIENCE,SUBJECT; can be given several times.")
}

// request holds what was given on the command line.
func (a *about) request(c *cobra.Command) (r wire.AccountRequest, err error) {
	if c.Flags().Changed("description") {
		r.Description = &a.description
	}
	if c.Flags().Changed("identity") {
		all := []integration.OIDC{}
		for _, text := range a.identities {
			if text == "" {
				continue // --identity "" takes all away
			}
			parts := strings.SplitN(text, ",", 3)
			if len(parts) != 3 {
				return r, usagef("--identity %s: want ISSUER,AUDIENCE,SUBJECT", text)
			}
			all = append(all, integration.OIDC{Issuer: parts[0], Audience: parts[1], Subject: parts[2]})
		}
		r.Identities = &all
	}
	return r, nil
}

func (k accounts) show(s streams, out format, a wire.Account) error {
	if out != human {
		return out.document(s.out, aPerson(a))
	}
	var who []string
	for _, i := range a.Identities {
		who = append(who, identified(i))
	}
	return object(s.out, []row{
		{"ID", a.ID}, {"Name", a.DisplayName}, {"Description", a.Description}, {"Identities", strings.Join(who, "\n")},
	})
}

func (k accounts) create(s streams) *cobra.Command {
	var of about
	c := asking(s, &cobra.Command{
		Use:     "create <name>",
		Short:   fmt.Sprintf("Create a %s.", k.word),
		Example: examples("Create one; it may do nothing before it has a role.", "rolebridge access "+k.verb+` create "Nightly loads"`),
		Args:    exactly(1),
	}, func(a asked, args []string) error {
		r, err := of.request(a.Command)
		if err != nil {
			return err
		}
		r.DisplayName = &args[0]
		made, err := call(a.api.CreateAccount(a.Context(), k.path, r))
		if err != nil {
			return err
		}
		return k.show(s, a.out, made)
	})
	of.flags(c)
	return c
}

func (k accounts) update(s streams) *cobra.Command {
	var of about
	var name string
	c := asking(s, &cobra.Command{
		Use:     "update <id>",
		Short:   fmt.Sprintf("Change a %s; what is not given stays.", k.word),
		Example: examples("Give it another name.", "rolebridge access "+k.verb+" update "+k.example()+` --name "Hourly loads"`),
		Args:    exactly(1),
	}, func(a asked, args []string) error {
		r, err := of.request(a.Command)
		if err != nil {
			return err
		}
		if a.Flags().Changed("name") {
			r.DisplayName = &name
		}
		if r == (wire.AccountRequest{}) {
			return usagef("nothing to change: set --name, --description or --identity")
		}
		changed, err := call(a.api.UpdateAccount(a.Context(), k.path, args[0], r))
		if err != nil {
			return err
		}
		return k.show(s, a.out, changed)
	})
	c.Flags().StringVar(&name, "name", "", "Name.")
	of.flags(c)
	return c
}

func (k accounts) describe(s streams) *cobra.Command {
	return asking(s, &cobra.Command{
		Use:     "describe <id>",
		Short:   fmt.Sprintf("Describe a %s.", k.word),
		Example: examples("Describe one.", "rolebridge access "+k.verb+" describe "+k.example()),
		Args:    exactly(1),
	}, func(a asked, args []string) error {
		is, err := call(a.api.Account(a.Context(), k.path, args[0]))
		if err != nil {
			return err
		}
		return k.show(s, a.out, is)
	})
}

func (k accounts) list(s streams) *cobra.Command {
	return asking(s, &cobra.Command{
		Use:     "list",
		Short:   fmt.Sprintf("List %ss.", k.word),
		Example: examples("List them.", "rolebridge access "+k.verb+" list"),
		Args:    exactly(0),
	}, func(a asked, _ []string) error {
		all, err := call(a.api.Accounts(a.Context(), k.path))
		if err != nil {
			return err
		}
		people, rows := make([]person, 0, len(all)), make([][]string, 0, len(all))
		for _, one := range all {
			people = append(people, aPerson(one))
			rows = append(rows, []string{one.ID, one.DisplayName, one.Description})
		}
		return a.out.table(s.out, people, []string{"ID", "Name", "Description"}, rows)
	})
}

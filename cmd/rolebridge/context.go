package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/cmd/rolebridge/contexts"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

func newContext(s streams) *cobra.Command {
	c := group("context", "Manage contexts: addresses, API keys and environments, by name.",
		newContextCreate(s), newContextDelete(s), newContextDescribe(s), newContextList(s), newContextUpdate(s), newContextUse(s))
	c.Long = `Manage contexts: addresses, API keys and environments, by name.

Every verb that asks the API takes what its flags and the environment do not say from the current context, or from the one
that --context names. A context's key is sent to the context's own address only. Contexts are kept in rolebridge/config.yaml
in the user's folder of settings ($` + envContexts + ` names another file), which only its owner can read.`
	return c
}

func noContext(name string) error {
	return integration.Refuse(integration.CodeNotFound, "context %q does not exist; see rolebridge context list", name)
}

// saved is a context as it is printed: all but its secret.
type saved struct {
	Current     bool   `json:"is_current"`
	Name        string `json:"name"`
	URL         string `json:"url"`
	Key         string `json:"api_key"`
	Environment string `json:"environment"`
}

func aContext(c contexts.Context, current string) saved {
	return saved{c.Name == current, c.Name, c.URL, c.Key, c.Environment}
}

func (s streams) showContext(out format, c contexts.Context, current string) error {
	if out != human {
		return out.document(s.out, aContext(c, current))
	}
	is := "no"
	if c.Name == current {
		is = "yes"
	}
	return object(s.out, []row{{"Name", c.Name}, {"Current", is}, {"URL", c.URL}, {"API Key", c.Key}, {"Environment", c.Environment}})
}

// contextFlags are what a context is made of.
type contextFlags struct{ url, key, keyFile, environment string }

func (f *contextFlags) add(c *cobra.Command, or string) {
	c.Flags().StringVar(&f.url, "url", "", "Address of the API"+or+".")
	c.Flags().StringVar(&f.key, "api-key", "", "API key; its secret is asked for, or read as a line of standard input.")
	c.Flags().StringVar(&f.keyFile, "key-file", "", "File that holds the API key as KEY:SECRET.")
	c.Flags().StringVar(&f.environment, "environment", "", "Environment ID.")
}

// apiKey is an API key with its secret; without an id it is none.
type apiKey struct {
	id     string
	secret secret.Text
}

// ask reads the API key that the flags name, and asks for its secret if need be. Nobody must wait for that: it is done
// before the file of contexts is locked.
func (f *contextFlags) ask(ctx context.Context, s streams) (k apiKey, err error) {
	switch {
	case f.key != "" && f.keyFile != "":
		return k, usagef("want one of --api-key and --key-file")
	case f.keyFile != "":
		k.id, k.secret, err = readKey(f.keyFile)
	case f.key != "":
		k.id = f.key
		k.secret, err = s.secret(ctx, "Secret of "+f.key)
	}
	return k, err
}

// on lays the flags and the key that was asked for over a context, which must then be whole.
func (f *contextFlags) on(k apiKey, c *contexts.Context) error {
	c.URL = strings.TrimRight(cmp.Or(f.url, c.URL), "/")
	c.Environment = cmp.Or(f.environment, c.Environment)
	if k.id != "" {
		c.Key, c.Secret = k.id, k.secret
	}
	_, err := client.New(client.Config{URL: c.URL, Key: c.Key, Secret: c.Secret})
	return usage(err)
}

// secret reads a line, which a terminal does not show, until ctx ends.
func (s streams) secret(ctx context.Context, of string) (secret.Text, error) {
	if err := ctx.Err(); err != nil {
		return secret.Text{}, err
	}
	read, restore := func() (string, error) { return s.line(), nil }, func() {}
	if f, ok := s.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fd := int(f.Fd())
		was, err := term.GetState(fd)
		if err != nil {
			return secret.Text{}, usage(err)
		}
		read = func() (string, error) {
			typed, err := term.ReadPassword(fd)
			return string(typed), err
		}
		restore = func() { _ = term.Restore(fd, was) } // what ReadPassword does only once it has read
	}
	fmt.Fprintf(s.err, "%s: ", of)
	text, err := answered(ctx, read)
	fmt.Fprintln(s.err)
	switch {
	case ctx.Err() != nil:
		restore()
		return secret.Text{}, ctx.Err()
	case err != nil:
		return secret.Text{}, usage(err)
	}
	if text = strings.TrimSpace(text); text == "" {
		return secret.Text{}, usage(errors.New("no secret was given"))
	}
	return secret.New(text), nil
}

func newContextCreate(s streams) *cobra.Command {
	var of contextFlags
	out := format("")
	c := &cobra.Command{
		Use:   "create <name>",
		Short: "Create a context.",
		Long: `Create a context. What no flag says is taken from the environment: ` + envURL + `, ` + envKey + `, ` + envSecret + ` and
` + envEnvironment + `. The first context is current at once; "context use" chooses another. No server is asked.`,
		Example: examples(
			"Save where the API is and who asks; the secret is asked for.",
			"rolebridge context create prod --url https://rolebridge.example.com --api-key ABCDEFGHIJKLMNOP --environment env-abcdef",
			"Save what is in the environment now.",
			"rolebridge context create prod",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := contexts.CheckName(args[0]); err != nil {
				return usage(err)
			}
			made := contexts.Context{
				Name: args[0], URL: s.env(envURL), Key: s.env(envKey), Secret: secret.New(s.env(envSecret)), Environment: s.env(envEnvironment),
			}
			isNew := func(b *contexts.Book) error {
				if _, ok := b.Find(made.Name); ok {
					return integration.Refuse(integration.CodeExists, "context %q exists; change it with: rolebridge context update %s", made.Name, made.Name)
				}
				return nil
			}
			now, err := s.readBook()
			if err != nil {
				return err
			}
			if err := isNew(now); err != nil { // before anything is asked
				return err
			}
			key, err := of.ask(c.Context(), s)
			if err != nil {
				return err
			}
			return s.changeContexts(c, func(b *contexts.Book) (func() error, error) {
				if err := isNew(b); err != nil {
					return nil, err
				}
				if err := of.on(key, &made); err != nil {
					return nil, err
				}
				b.Put(made)
				b.Current = cmp.Or(b.Current, made.Name)
				return func() error {
					err := s.showContext(out, made, b.Current)
					if err == nil && out == human && b.Current != made.Name {
						fmt.Fprintf(s.err, "\nThe context %q stays the current one. To use the new one from now on:\n\n  $ rolebridge context use %s\n", b.Current, made.Name)
					}
					return err
				}, nil
			})
		},
	}
	of.add(c, " (default $"+envURL+")")
	out.flag(c)
	return c
}

// changeContexts changes the book and then prints what came of it.
func (s streams) changeContexts(c *cobra.Command, change func(*contexts.Book) (func() error, error)) error {
	file, err := s.book()
	if err != nil {
		return err
	}
	var tell func() error
	err = file.Change(c.Context(), func(b *contexts.Book) (err error) {
		tell, err = change(b)
		return err
	})
	if err != nil {
		return kept(err)
	}
	return tell()
}

// kept is an error of the file, unless it has a code of its own.
func kept(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[*exit](err); ok {
		return err
	}
	if _, ok := errors.AsType[*integration.Refusal](err); ok {
		return err
	}
	return usage(err)
}

func newContextUpdate(s streams) *cobra.Command {
	var of contextFlags
	var name string
	out := format("")
	c := &cobra.Command{
		Use:   "update [name]",
		Short: "Change a context, by default the current one; what is not given stays.",
		Example: examples(
			"Give the current context another environment.",
			"rolebridge context update --environment env-123456",
		),
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			if of == (contextFlags{}) && name == "" {
				return usagef("nothing to change: set --url, --api-key, --key-file, --environment or --name")
			}
			now, err := s.readBook()
			if err != nil {
				return err
			}
			if _, err := chosen(now, args); err != nil { // before anything is asked
				return err
			}
			key, err := of.ask(c.Context(), s)
			if err != nil {
				return err
			}
			return s.changeContexts(c, func(b *contexts.Book) (func() error, error) {
				is, err := chosen(b, args)
				if err != nil {
					return nil, err
				}
				if err := of.on(key, &is); err != nil {
					return nil, err
				}
				if name != "" && name != is.Name {
					if _, ok := b.Find(name); ok {
						return nil, integration.Refuse(integration.CodeExists, "context %q exists", name)
					}
					if err := contexts.CheckName(name); err != nil {
						return nil, usagef("--name: %w", err)
					}
					current := b.Current == is.Name
					b.Remove(is.Name)
					if is.Name = name; current {
						b.Current = name
					}
				}
				b.Put(is)
				return func() error { return s.showContext(out, is, b.Current) }, nil
			})
		},
	}
	of.add(c, "")
	c.Flags().StringVar(&name, "name", "", "New name of the context.")
	out.flag(c)
	return c
}

// chosen is the context that is named, or the current one.
func chosen(b *contexts.Book, args []string) (contexts.Context, error) {
	name := b.Current
	if len(args) > 0 {
		name = args[0]
	}
	if name == "" {
		return contexts.Context{}, usagef("no context is current: name one, or choose one with: rolebridge context use")
	}
	c, ok := b.Find(name)
	if !ok {
		return c, noContext(name)
	}
	return c, nil
}

func newContextUse(s streams) *cobra.Command {
	out := format("")
	c := &cobra.Command{
		Use: "use <name>", Short: "Choose the context that is current.",
		Example: examples("Use a context from now on.", "rolebridge context use prod"),
		Args:    exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			return s.changeContexts(c, func(b *contexts.Book) (func() error, error) {
				is, err := chosen(b, args)
				b.Current = is.Name
				return func() error {
					s.overruled(is)
					return out.tell(s.out, aContext(is, is.Name), "Using context %q.", is.Name)
				}, err
			})
		},
	}
	out.flag(c)
	return c
}

// overruled warns of variables that go before the context that was just chosen, and say something else.
func (s streams) overruled(by contexts.Context) {
	var set []string
	for _, v := range []struct{ name, is string }{
		{envContext, by.Name}, {envURL, by.URL}, {envKey, by.Key}, {envSecret, by.Secret.Reveal()}, {envEnvironment, by.Environment},
	} {
		if value := s.env(v.name); value != "" && value != v.is {
			set = append(set, v.name)
		}
	}
	if len(set) > 0 {
		fmt.Fprintf(s.err, "Warning: the environment goes before the context, and says something else. Take these variables away (unset), or name the context with --context: %s.\n",
			strings.Join(set, ", "))
	}
}

func newContextDelete(s streams) *cobra.Command {
	force, out := false, format("")
	c := &cobra.Command{
		Use: "delete <name-1> [name-2] ... [name-n]", Short: "Delete one or more contexts.",
		Long:    "Delete one or more contexts. Their API keys go on working: \"access api-key delete\" ends them. Asks first, unless forced.",
		Example: examples("Delete a context.", "rolebridge context delete prod"),
		Args:    atLeast(1),
		RunE: func(c *cobra.Command, args []string) error {
			book, err := s.readBook()
			if err != nil {
				return err
			}
			for _, name := range args {
				if _, ok := book.Find(name); !ok {
					return noContext(name)
				}
			}
			if err := s.sure(c.Context(), force, args); err != nil {
				return err
			}
			return s.changeContexts(c, func(b *contexts.Book) (func() error, error) {
				was := b.Current
				for _, name := range args {
					b.Remove(name)
				}
				return func() error {
					if err := out.deletions(s.out, "context", args); err != nil {
						return err
					}
					if was != b.Current {
						fmt.Fprintln(s.err, "No context is current any more; choose one with: rolebridge context use")
					}
					return nil
				}, nil
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "Do not ask.")
	out.flag(c)
	return c
}

// shows makes c a verb that prints something of the file of contexts.
func (s streams) shows(c *cobra.Command, show func(b *contexts.Book, out format, args []string) error) *cobra.Command {
	out := format("")
	c.RunE = func(_ *cobra.Command, args []string) error {
		b, err := s.readBook()
		if err != nil {
			return err
		}
		return show(b, out, args)
	}
	out.flag(c)
	return c
}

func newContextDescribe(s streams) *cobra.Command {
	return s.shows(&cobra.Command{
		Use: "describe [name]", Short: "Describe a context, by default the current one.",
		Example: examples("Describe the current context.", "rolebridge context describe"),
		Args:    atMost(1),
	}, func(b *contexts.Book, out format, args []string) error {
		is, err := chosen(b, args)
		if err != nil {
			return err
		}
		return s.showContext(out, is, b.Current)
	})
}

func newContextList(s streams) *cobra.Command {
	return s.shows(&cobra.Command{
		Use: "list", Short: "List contexts.",
		Example: examples("List them; * marks the current one.", "rolebridge context list"),
		Args:    exactly(0),
	}, func(b *contexts.Book, out format, _ []string) error {
		all, rows := []saved{}, [][]string{}
		for _, c := range b.List() {
			mark := ""
			if c.Name == b.Current {
				mark = "*"
			}
			all = append(all, aContext(c, b.Current))
			rows = append(rows, []string{mark, c.Name, c.URL, c.Key, c.Environment})
		}
		return out.table(s.out, all, []string{"Current", "Name", "URL", "API Key", "Environment"}, rows)
	})
}

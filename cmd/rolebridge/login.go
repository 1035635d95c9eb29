package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cmd/rolebridge/contexts"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Variables of the environment that stand in for flags.
const (
	envURL         = "ROLEBRIDGE_URL"
	envKey         = "ROLEBRIDGE_KEY"
	envSecret      = "ROLEBRIDGE_SECRET" //nolint:gosec // a name
	envEnvironment = "ROLEBRIDGE_ENVIRONMENT"
	envContext     = "ROLEBRIDGE_CONTEXT"
	envContexts    = "ROLEBRIDGE_CLI_CONFIG"
)

// login is where the API is, who asks, and about which environment.
type login struct {
	streams
	context, url, keyFile, environment string
}

// plainIDs refuses arguments that would be another path of the API.
func plainIDs(c *cobra.Command, args []string) error {
	names := strings.Fields(c.Use)[1:]
	for n, arg := range args {
		name := names[min(n, len(names)-1)]
		if name == "<name>" {
			continue
		}
		if arg == "." || arg == ".." || strings.ContainsAny(arg, "?#%\\") || strings.Contains(arg, "/") && name != "<connector>" || strings.Contains(arg, "../") {
			return usagef("%q is no id: want %s as \"list\" shows it", arg, name)
		}
	}
	return nil
}

// flags adds the flags of every verb that asks the API. A secret is no flag: others see the arguments of a process.
func (l *login) flags(c *cobra.Command) {
	fits := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if err := fits(c, args); err != nil {
			return err
		}
		return plainIDs(c, args)
	}
	f := c.Flags()
	f.StringVar(&l.url, "url", "", "Address of the API (default $"+envURL+").")
	f.StringVar(&l.keyFile, "key-file", "", "File that holds the API key as KEY:SECRET (default $"+envKey+" and $"+envSecret+").")
	f.StringVar(&l.environment, "environment", "", "Environment ID (default $"+envEnvironment+").")
	f.StringVar(&l.context, "context", "", "Context that has what no other flag says (default $"+envContext+", else the current one).")
}

// place is where the API is, who asks, and about which environment.
type place struct {
	contexts.Context
	keyFrom string // where the API key was found
}

// place puts together what flags, variables and a context say. A context's key goes to the context's own address only.
func (l *login) place() (p place, err error) {
	saved, err := l.remembered()
	if err != nil {
		return p, err
	}
	v := contexts.Context{URL: l.env(envURL), Key: l.env(envKey), Secret: secret.New(l.env(envSecret)), Environment: l.env(envEnvironment)}
	p.Environment = cmp.Or(l.environment, v.Environment, saved.Environment)
	if l.context != "" { // a flag, too: what it says goes before the variables
		p.Environment = cmp.Or(l.environment, saved.Environment, v.Environment)
		v = contexts.Context{}
	}
	p.URL = cmp.Or(l.url, v.URL, saved.URL)
	switch {
	case l.keyFile != "":
		p.keyFrom = "--key-file " + l.keyFile
		p.Key, p.Secret, err = readKey(l.keyFile)
	case v.Key != "" || !v.Secret.Empty():
		p.keyFrom = envKey + " and " + envSecret
		p.Key, p.Secret = v.Key, v.Secret
	case strings.TrimRight(p.URL, "/") == strings.TrimRight(saved.URL, "/"):
		p.keyFrom = "the context " + saved.Name
		p.Key, p.Secret = saved.Key, saved.Secret
	case saved.Key != "":
		return p, usagef("no API key for %s: that of context %s is for %s and is sent nowhere else; set --key-file, or %s and %s",
			p.URL, saved.Name, saved.URL, envKey, envSecret)
	}
	return p, err
}

// remembered is the context that is named, or the current one; empty when there is none.
func (l *login) remembered() (none contexts.Context, err error) {
	file, err := l.book()
	if err != nil {
		if l.context == "" {
			return none, nil // nobody has to have a folder of settings
		}
		return none, err
	}
	book, err := file.Read()
	if err != nil {
		return none, usage(err)
	}
	name := cmp.Or(l.context, l.env(envContext), book.Current)
	if name == "" {
		return none, nil
	}
	c, ok := book.Find(name)
	if !ok {
		return none, noContext(name)
	}
	return c, nil
}

// book is where contexts are kept.
func (s streams) book() (contexts.File, error) {
	f := contexts.File{Path: s.env(envContexts), Warn: func(text string) { fmt.Fprintln(s.err, "Warning:", text) }}
	if f.Path == "" {
		home, err := s.home()
		if err != nil {
			return f, usagef("where are contexts kept? Set %s: %w", envContexts, err)
		}
		f.Path = filepath.Join(home, "rolebridge", "config.yaml")
	}
	return f, nil
}

// readBook returns all contexts.
func (s streams) readBook() (*contexts.Book, error) {
	file, err := s.book()
	if err != nil {
		return nil, err
	}
	b, err := file.Read()
	return b, usage(err)
}

// readKey reads KEY:SECRET.
func readKey(path string) (string, secret.Text, error) {
	both, err := secret.Read(path)
	if err != nil {
		return "", secret.Text{}, usagef("--key-file: %w", err)
	}
	key, text, ok := strings.Cut(both.Reveal(), ":")
	if !ok || key == "" || text == "" {
		return "", secret.Text{}, usagef("--key-file %s: want one line KEY:SECRET", path)
	}
	return key, secret.New(text), nil
}

func (l *login) client() (*client.Client, error) {
	api, _, err := l.asking()
	return api, err
}

// asking returns the client, and what was found for it.
func (l *login) asking() (*client.Client, place, error) {
	p, err := l.place()
	if err != nil {
		return nil, p, err
	}
	switch {
	case p.URL == "":
		if book, err := l.readBook(); err == nil && len(book.List()) > 0 {
			return nil, p, usagef("no address of the API: set --url or %s, or choose a context: rolebridge context use <name>, --context <name>", envURL)
		}
		return nil, p, usagef("no address of the API: set --url or %s, or save one: rolebridge context create", envURL)
	case p.Key == "" || p.Secret.Empty():
		return nil, p, usagef("no API key for %s: set --key-file, or %s and %s, or save one: rolebridge context create", p.URL, envKey, envSecret)
	}
	api, err := client.New(client.Config{URL: p.URL, Key: p.Key, Secret: p.Secret, Agent: "rolebridge-cli/" + version()})
	return api, p, usage(err)
}

// within returns the environment, which must be named somewhere.
func (l *login) within() (string, error) {
	p, err := l.place()
	if err == nil && p.Environment == "" {
		err = usagef("no environment: set --environment or %s, or save one: rolebridge context update", envEnvironment)
	}
	return p.Environment, err
}

// environmentFlag is the environment as the next command line needs it; empty when none is known.
func (l *login) environmentFlag() string {
	if p, err := l.place(); err == nil && p.Environment != "" {
		return " --environment " + p.Environment
	}
	return ""
}

// both returns what most verbs need.
func (l *login) both() (*client.Client, string, error) {
	api, p, err := l.asking()
	if err != nil {
		return nil, "", err
	}
	if p.Environment == "" {
		_, err = l.within()
	}
	return api, p.Environment, err
}

// one returns an integration of the environment; one of another is not found.
func (l *login) one(c *cobra.Command, id string) (*client.Client, wire.IntegrationV2, error) {
	api, environment, err := l.both()
	if err != nil {
		return nil, wire.IntegrationV2{}, err
	}
	i, err := call(api.Read(c.Context(), environment, id))
	return api, i, err
}

// asked is what a verb that asks the API has when it runs.
type asked struct {
	*cobra.Command
	api *client.Client
	out format
}

// asking makes c a verb that asks the API and prints what it got.
func asking(s streams, c *cobra.Command, run func(a asked, args []string) error) *cobra.Command {
	l, out := login{streams: s}, format("")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := l.client()
		if err != nil {
			return err
		}
		return run(asked{c, api, out}, args)
	}
	l.flags(c)
	out.flag(c)
	return c
}

// examples lays out the examples of a verb: what it does, then the command.
func examples(pairs ...string) string {
	var b strings.Builder
	for n := 0; n+1 < len(pairs); n += 2 {
		if n > 0 {
			b.WriteString("\n\n")
		}
		fmt.Fprintf(&b, "%s\n\n  $ %s", pairs[n], pairs[n+1])
	}
	return b.String()
}

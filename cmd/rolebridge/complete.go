package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/cmd/rolebridge/contexts"
	"github.com/rolebridge/rolebridge/integration"
)

// completedWithin bounds what a person waits for after the tab key.
const completedWithin = 3 * time.Second

// nothing is the answer when there is nothing to propose: no names of files.
const nothing = cobra.ShellCompDirectiveNoFileComp

// completes has arguments and flags of all verbs proposed: names of contexts, and of verbs that ask the API the ids of what
// there is, with its name.
func completes(c *cobra.Command, s streams) {
	for _, child := range c.Commands() {
		completes(child, s)
	}
	names := strings.Fields(c.Use)[1:]
	switch asks := c.Flags().Lookup("context") != nil; {
	case c.HasParent() && c.Parent().Name() == "context" && c.Name() != "create":
		c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) >= len(names) {
				return nil, nothing
			}
			return s.contextNames(args), nothing
		}
	case asks && len(names) > 0:
		c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) >= len(names) {
				return nil, nothing
			}
			return loginOf(c, s).proposals(c, names[len(args)], args), nothing
		}
	}
	for flag, propose := range map[string]func(*cobra.Command) []string{
		"context":              func(*cobra.Command) []string { return s.contextNames(nil) },
		"environment":          func(*cobra.Command) []string { return s.environments() },
		"integration":          func(c *cobra.Command) []string { return loginOf(c, s).integrations(c) },
		"provider-integration": func(c *cobra.Command) []string { return loginOf(c, s).integrations(c) },
		"cloud":                func(*cobra.Command) []string { return []string{"aws", "gcp", "azure"} },
		"role": func(*cobra.Command) (all []string) {
			for _, r := range integration.Roles() {
				all = append(all, string(r))
			}
			return all
		},
	} {
		if c.Flags().Lookup(flag) != nil {
			_ = c.RegisterFlagCompletionFunc(flag, func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
				return propose(c), nothing
			})
		}
	}
}

// loginOf is what the flags of c say.
func loginOf(c *cobra.Command, s streams) *login {
	text := func(name string) string {
		value, _ := c.Flags().GetString(name)
		return value
	}
	return &login{streams: s, context: text("context"), url: text("url"), keyFile: text("key-file"), environment: text("environment")}
}

// proposals are what an argument may be; those that were given already are left out. What goes wrong proposes nothing.
func (l *login) proposals(c *cobra.Command, name string, args []string) []string {
	var all []string
	switch {
	case name == "<connector>" && len(args) > 0 && c.Name() != "bind":
		all = l.ask(c, func(ctx context.Context, api *client.Client) (ids []string, err error) {
			connectors, err := api.Connectors(ctx, args[0])
			for _, u := range connectors {
				ids = append(ids, u.Connector)
			}
			return ids, err
		})
	case strings.HasPrefix(name, "<id") || strings.HasPrefix(name, "[id"):
		switch c.Parent().Name() {
		case "provider-integration", "connector":
			all = l.integrations(c)
		case "user":
			all = l.accounts(c, client.Users)
		case "service-account":
			all = l.accounts(c, client.ServiceAccounts)
		}
	case name == "<account>":
		all = append(l.accounts(c, client.ServiceAccounts), l.accounts(c, client.Users)...)
	}
	return slices.DeleteFunc(all, func(text string) bool {
		id, _, _ := strings.Cut(text, "\t")
		return slices.Contains(args, id)
	})
}

func (l *login) ask(c *cobra.Command, list func(context.Context, *client.Client) ([]string, error)) []string {
	api, err := l.client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.Context(), completedWithin)
	defer cancel()
	all, err := list(ctx, api)
	if err != nil {
		return nil
	}
	return all
}

func (l *login) integrations(c *cobra.Command) []string {
	environment, err := l.within()
	if err != nil {
		return nil
	}
	return l.ask(c, func(ctx context.Context, api *client.Client) (ids []string, err error) {
		all, err := api.List(ctx, environment, "")
		for _, i := range all {
			ids = append(ids, i.ID+"\t"+oneLine(i.DisplayName, 100))
		}
		return ids, err
	})
}

func (l *login) accounts(c *cobra.Command, of string) []string {
	return l.ask(c, func(ctx context.Context, api *client.Client) (ids []string, err error) {
		all, err := api.Accounts(ctx, of)
		for _, a := range all {
			ids = append(ids, a.ID+"\t"+oneLine(a.DisplayName, 100))
		}
		return ids, err
	})
}

// remember returns the contexts of the file.
func (s streams) remember() []contexts.Context {
	book, err := s.readBook()
	if err != nil {
		return nil
	}
	return book.List()
}

// longestURL bounds what stands beside a name that is offered.
const longestURL = 80

// contextNames are those of the file but the given ones, with where they lead.
func (s streams) contextNames(but []string) (names []string) {
	for _, c := range s.remember() {
		if !slices.Contains(but, c.Name) {
			names = append(names, c.Name+"\t"+oneLine(c.URL, longestURL))
		}
	}
	return names
}

// environments are those of the contexts: the API keeps no list of them.
func (s streams) environments() (all []string) {
	for _, c := range s.remember() {
		if c.Environment != "" && !slices.Contains(all, c.Environment) {
			all = append(all, c.Environment)
		}
	}
	return all
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Variables of the environment that stand in for flags.
const (
	envURL         = "ROLEBRIDGE_URL"
	envKey         = "ROLEBRIDGE_KEY"
	envSecret      = "ROLEBRIDGE_SECRET" //nolint:gosec // a name
	envEnvironment = "ROLEBRIDGE_ENVIRONMENT"
)

// login is where the API is, who asks, and about which environment.
type login struct {
	streams
	url, keyFile, environment string
}

// flags adds the flags of every verb that asks the API. A secret is no flag: others see the arguments of a process.
func (l *login) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.url, "url", "", "Address of the API (default $"+envURL+").")
	f.StringVar(&l.keyFile, "key-file", "", "File that holds the API key as KEY:SECRET (default $"+envKey+" and $"+envSecret+").")
	f.StringVar(&l.environment, "environment", "", "Environment ID (default $"+envEnvironment+").")
}

func (l *login) client() (*client.Client, error) {
	c := client.Config{URL: l.url, Key: l.env(envKey), Secret: secret.New(l.env(envSecret)), Agent: "rolebridge-cli/" + version()}
	if c.URL == "" {
		c.URL = l.env(envURL)
	}
	if l.keyFile != "" {
		both, err := secret.Read(l.keyFile)
		if err != nil {
			return nil, usage(err)
		}
		key, text, ok := strings.Cut(both.Reveal(), ":")
		if !ok {
			return nil, usagef("%s: want one line KEY:SECRET", l.keyFile)
		}
		c.Key, c.Secret = key, secret.New(text)
	}
	switch {
	case c.URL == "":
		return nil, usagef("no address of the API: set --url or %s", envURL)
	case c.Key == "" || c.Secret.Empty():
		return nil, usagef("no API key: set --key-file, or %s and %s", envKey, envSecret)
	}
	api, err := client.New(c)
	return api, usage(err)
}

// within returns the environment, which must be named somewhere.
func (l *login) within() (string, error) {
	if l.environment != "" {
		return l.environment, nil
	}
	if e := l.env(envEnvironment); e != "" {
		return e, nil
	}
	return "", usagef("no environment: set --environment or %s", envEnvironment)
}

// both returns what most verbs need.
func (l *login) both() (*client.Client, string, error) {
	api, err := l.client()
	if err != nil {
		return nil, "", err
	}
	e, err := l.within()
	return api, e, err
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

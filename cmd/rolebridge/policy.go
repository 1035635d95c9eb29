package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

func newPolicy(s streams) *cobra.Command {
	return group("policy", "Check, try and write IAM policies, without AWS.",
		newPolicyEvaluate(s), newPolicyLint(s), newPolicyRender(s))
}

// stdin is the name of standard input as a file.
const stdin = "-"

// longestPolicy bounds what is read of a file; IAM takes a twentieth of it.
const longestPolicy = 1 << 20

func (s streams) file(name string) ([]byte, error) {
	in := s.in
	if name != stdin {
		f, err := os.Open(name)
		if err != nil {
			return nil, usage(err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, longestPolicy+1))
	switch {
	case err != nil:
		return nil, usage(err)
	case len(text) > longestPolicy:
		return nil, usagef("%s: more than %d bytes", name, longestPolicy)
	}
	return text, nil
}

// theFile is the one file that a verb was given, as an argument or with --file.
func theFile(args []string, flag string) (string, error) {
	switch {
	case flag != "" && len(args) > 0:
		return "", usagef("want the file as an argument or with --file, not both")
	case flag != "":
		return flag, nil
	case len(args) == 1:
		return args[0], nil
	}
	return "", usagef("no file: name one, or - for standard input")
}

// kindFlag is the kind of a policy as a flag.
type kindFlag policy.Kind

func (k *kindFlag) String() string { return policy.Kind(*k).String() }

// Type is what --help shows as the flag's value.
func (k *kindFlag) Type() string { return "string" }

// Set refuses what is no kind.
func (k *kindFlag) Set(s string) error {
	for _, kind := range []policy.Kind{policy.Trust, policy.Identity, policy.Session} {
		if kind.String() == s {
			*k = kindFlag(kind)
			return nil
		}
	}
	return errors.New("want trust, identity or session")
}

// choice is a flag with a few values, the first of them the default.
type choice struct {
	value string
	of    []string
}

func oneOfThese(of ...string) *choice { return &choice{of[0], of} }

func (c *choice) String() string { return c.value }

// Type is what --help shows as the flag's value.
func (c *choice) Type() string { return "string" }

// Set refuses what is not among them.
func (c *choice) Set(s string) error {
	if slices.Contains(c.of, s) {
		c.value = s
		return nil
	}
	return fmt.Errorf("want one of %v", c.of)
}

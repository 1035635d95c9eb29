package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/integration"
)

// exit is an error with an exit code of its own. Without a text nothing is printed: the verb has said it.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usage marks err as a mistake in the command line.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exit{integration.CodeInvalid.Answer().Exit, err}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// quiet is a result that is not an error: it was printed already.
func quiet(code integration.Code) error { return &exit{code: code.Answer().Exit} }

// exactly wants n arguments, atLeast n or more. An empty one is most often a variable of a shell that is not set.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error { return arguments(c, args, len(args) == n) }
}

func atLeast(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error { return arguments(c, args, len(args) >= n) }
}

func atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error { return arguments(c, args, len(args) <= n) }
}

func arguments(c *cobra.Command, args []string, enough bool) error {
	switch {
	case !enough && len(args) == 0:
		return usagef("an argument is missing: %s", c.UseLine())
	case !enough:
		return usagef("the arguments do not fit: %s", c.UseLine())
	case slices.Contains(args, ""):
		return usagef("an argument is empty: %s", c.UseLine())
	}
	return nil
}

// interrupted is the exit code of what a user stopped: 128 and the number of the signal, as shells have it.
const interrupted = 128 + 2

// called is an error of the API or on the way to it.
type called struct{ err error }

func (c *called) Error() string { return c.err.Error() }

func (c *called) Unwrap() error { return c.err }

// call marks what a call to the API returned.
func call[T any](v T, err error) (T, error) {
	if err != nil {
		err = &called{err}
	}
	return v, err
}

// report prints err and returns the exit code for it.
func report(err error, to io.Writer) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*exit](err); ok {
		if e.err != nil {
			fmt.Fprintf(to, "Error: %v\n", e.err)
		}
		return e.code
	}
	code := integration.CodeInternal
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(to, "Interrupted.")
		return interrupted
	}
	fmt.Fprintf(to, "Error: %v\n", err)
	if c, ok := errors.AsType[*called](err); ok {
		code = client.Code(c.err)
	}
	if r, ok := errors.AsType[*integration.Refusal](err); ok {
		code = r.Code
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		if text := e.Resolution(); text != "" {
			fmt.Fprintf(to, "\nSuggestions:\n    %s\n", text)
		}
		if e.Status >= 500 && e.Request != "" {
			fmt.Fprintf(to, "Request: %s\n", e.Request)
		}
	}
	return code.Answer().Exit
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/creds"
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

// callTwo is [call] for two values.
func callTwo[T, U any](v T, u U, err error) (T, U, error) {
	_, err = call(v, err)
	return v, u, err
}

// report prints what c returned and returns the exit code for it.
func report(c *cobra.Command, err error, s streams) int {
	if err == nil {
		return 0
	}
	to := s.err
	code := integration.CodeInternal.Answer().Exit
	e, own := errors.AsType[*exit](err)
	switch {
	case own && e.err == nil:
		return e.code // it was printed already
	case own:
		code = e.code
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(to, "Interrupted.")
		return interrupted
	}
	err = typed(c, err)
	answer, answered := errors.AsType[*client.Error](err)
	refusal, refused := errors.AsType[*integration.Refusal](err)
	_, asked := errors.AsType[*called](err)
	switch {
	case own:
	case refused:
		code = refusal.Code.Answer().Exit
	case asked:
		code = client.Code(err).Answer().Exit
	}
	for _, one := range apart(err) {
		fmt.Fprintf(to, "Error: %s\n", printable(words(one)))
	}
	if text := advice(c, err, answer, s); text != "" {
		fmt.Fprintf(to, "\nSuggestions:\n    %s\n", printable(text))
	}
	if answered && answer.Status >= 500 && answer.Request != "" {
		fmt.Fprintf(to, "Request: %s\n", printable(answer.Request))
	}
	return code
}

// apart takes errors apart that were joined.
func apart(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// words are the text of an error, with its code behind it if it has one.
func words(err error) string {
	if r, ok := errors.AsType[*integration.Refusal](err); ok {
		text := r.Message
		if r.Field != "" {
			text = r.Field + ": " + text
		}
		return fmt.Sprintf("%s (%s)", text, r.Code)
	}
	if e, ok := errors.AsType[*client.Error](err); ok && len(e.Faults) > 0 {
		return fmt.Sprintf("%s (%s)", e.Error(), e.Faults[0].Code)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return unreached(u)
	}
	return err.Error()
}

// unreached says why a server was not reached, and which.
func unreached(u *url.Error) string {
	at := u.URL
	if to, err := url.Parse(u.URL); err == nil {
		at = to.Scheme + "://" + to.Host
	}
	name, unknown := errors.AsType[*net.DNSError](u.Err)
	switch {
	case errors.Is(u.Err, syscall.ECONNREFUSED):
		return "nothing answers at " + at + ": connection refused"
	case unknown && name.IsNotFound:
		return "there is no host " + name.Name
	case u.Timeout():
		return at + " did not answer in time"
	}
	return fmt.Sprintf("%s cannot be reached: %v", at, u.Err)
}

// longestNamed is the longest key id that is printed: shorter than any secret, which may stand where the key should.
const longestNamed = 20

func named(key string) string {
	if len(key) > longestNamed {
		return ""
	}
	return " " + oneLine(key, longestNamed)
}

// advice is what to do about err.
func advice(c *cobra.Command, err error, answer *client.Error, s streams) string {
	if answer != nil {
		code := client.Code(err)
		if own, ok := c.Annotations[string(code)]; ok {
			return own
		}
		if p, err := loginOf(c, s).place(); err == nil && code == integration.CodeUnauthenticated {
			return fmt.Sprintf("%s asked with the API key%s of %s. Has it ended, is its secret right, and is it a key of this installation?", p.URL, named(p.Key), p.keyFrom)
		}
		return answer.Resolution()
	}
	if r, ok := errors.AsType[*integration.Refusal](err); ok && r.Code == integration.CodeUnproved && c.Flags().Lookup("signing-key") != nil {
		return "The command is one of " + string(platformActor) + ". Set --signing-key to a key that is registered for it; see rolebridge signing-key --help."
	}
	if errors.Is(err, errKafka) {
		return "Is Kafka running there, and are the brokers right? They are those of --brokers, " + envBrokers + " or kafka.brokers of the settings."
	}
	if u, ok := errors.AsType[*url.Error](err); !ok || u.Op == "parse" {
		return ""
	}
	switch {
	case c.Flags().Lookup("context") != nil:
		return "Is the API running there, and is the address right? It is that of --url, " + envURL + " or the context (rolebridge context list)."
	case c.Flags().Lookup("operations-url") != nil:
		return "Is a broker running there, and is the address the one of its probes (telemetry.listen)? It is that of --operations-url or " + envOperations + "."
	case c.Flags().Lookup("token-file") != nil:
		return "Is a broker running there, and is the address right? It is that of --url or " + creds.EnvURL + "."
	}
	return ""
}

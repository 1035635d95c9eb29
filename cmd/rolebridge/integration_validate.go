package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

func newIntegrationValidate(s streams) *cobra.Command {
	l, who, out := login{streams: s}, identity{}, format("")
	var wait waiting
	dry := false
	c := &cobra.Command{
		Use:   "validate <id>",
		Short: "Prove the customer's trust policy.",
		Long: `Prove the customer's trust policy, and print every check with what to change.

The customer's role is assumed with the right external ID, and must refuse a wrong one and none. Exit code 0 means that
trust is valid, 5 that it is not.

With --dry-run nothing is saved and nothing changes: the identity that is given is tried with the external ID and the
platform's role that are reserved for the draft. Exit code 7 means that it could not be tried.`,
		Example: examples(
			`Prove provider integration "cspi-12345", and wait while a change of the policy spreads.`,
			"rolebridge provider-integration validate cspi-12345 --environment env-abcdef --wait",
			`Try a role before the draft "cspi-12345" is given it.`,
			"rolebridge provider-integration validate cspi-12345 --dry-run --customer-role-arn arn:aws:iam::000000000000:role/my-test-aws-role --environment env-abcdef",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			api, environment, err := l.both()
			if err != nil {
				return err
			}
			config, err := who.config()
			switch {
			case err != nil:
				return err
			case config != nil && !dry:
				return usagef("an identity is tried with --dry-run only; \"update\" gives it to a draft")
			case dry && wait.on:
				return usagef("want one of --dry-run and --wait")
			}
			if _, err := call(api.Read(c.Context(), environment, args[0])); err != nil {
				return err // of another environment, or none
			}
			if dry {
				return s.dryRun(c.Context(), out, api, args[0], config)
			}
			first := oneAsk
			if wait.on {
				first = 0 // the wait tells what goes on
			}
			v, err := call(api.Validate(c.Context(), args[0], first))
			if err == nil && wait.on {
				v, err = wait.until(c.Context(), s.err, api, v)
			}
			if err != nil {
				return err
			}
			if err = s.showValidation(c.Context(), api, out, v); wait.on && !decided(v) {
				return wait.over(v)
			}
			return err
		},
	}
	l.flags(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "Try the identity without saving anything.")
	who.flags(c, false)
	wait.flags(c, "Wait while trust is pending, with progress on standard error.")
	out.flag(c)
	return c
}

// oneAsk is how long one request waits for news.
const oneAsk = 20 * time.Second

// waiting is the wait for a proof of trust.
type waiting struct {
	on      bool
	timeout time.Duration
}

func (w *waiting) flags(c *cobra.Command, use string) {
	c.Flags().BoolVar(&w.on, "wait", false, use)
	lifeVar(c.Flags(), &w.timeout, "wait-timeout", 3*time.Minute, "How long to wait at most.")
}

// until follows the integration from v on until its trust is decided or time is up, and says each change of it.
func (w *waiting) until(ctx context.Context, to io.Writer, api *client.Client, v wire.Validation) (wire.Validation, error) {
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	said := ""
	for {
		if now := fmt.Sprintf("role %s, trust %s", v.Mapping.Status, v.Trust.Status); now != said {
			said = now
			fmt.Fprintln(to, now)
		}
		if decided(v) {
			return v, nil
		}
		after, err := api.Validation(limited, v.Integration, v.Version, oneAsk)
		switch {
		case ctx.Err() != nil:
			return v, ctx.Err()
		case limited.Err() != nil:
			return v, nil // time is up: what is known is the answer
		case err != nil:
			return v, &called{err}
		}
		v = after
	}
}

// gone follows an integration that is being deleted until its platform role is removed, and says what happens.
func (w *waiting) gone(ctx context.Context, to io.Writer, api *client.Client, id string, before time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	begun := false
	for e, err := range api.Follow(limited, client.Watch{Integration: id, Since: time.Now().Add(-before)}) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case limited.Err() != nil:
			return &exit{integration.CodeTimeout.Answer().Exit, fmt.Errorf("%s is deleted, and its platform role is not removed yet", id)}
		case err != nil:
			return &called{err}
		}
		switch e.Type {
		case integration.Deleted{}.Type():
			return nil
		case integration.DeletionStarted{}.Type():
			begun = true
			fmt.Fprintf(to, "%s: no connector gets credentials any more\n", id)
		case integration.MappingAsked{}.Type():
			if begun {
				fmt.Fprintf(to, "%s: the platform's role is being removed\n", id)
			}
		case integration.MappingRefused{}.Type():
			fmt.Fprintf(to, "%s: the platform's role could not be removed (%s); it is tried again\n", id, essence(e.Data))
		}
	}
	return nil
}

// trust waits for a proof and then prints the checks on standard error.
func (w *waiting) trust(ctx context.Context, s streams, api *client.Client, id string) error {
	v, err := call(api.Validation(ctx, id, 0, 0))
	if err != nil {
		return err
	}
	if v, err = w.until(ctx, s.err, api, v); err != nil {
		return err
	}
	if err := printValidation(s.err, human, v, nil); err != nil {
		return err
	}
	if !decided(v) {
		return w.over(v)
	}
	return proved(v)
}

// over says that the time is up and nothing is decided.
func (w *waiting) over(v wire.Validation) error {
	return &exit{integration.CodeTimeout.Answer().Exit, fmt.Errorf(
		"after %v the role is %s and trust %s; it is proved again by itself, see: rolebridge provider-integration report %s", w.timeout, v.Mapping.Status, v.Trust.Status, v.Integration)}
}

// decided reports whether waiting longer is of no use: pending and unknown trust are looked at again soon, and so is an
// error of ours.
func decided(v wire.Validation) bool {
	switch v.Trust.Status {
	case integration.TrustValid, integration.TrustInsecure, integration.TrustDenied:
		return v.Settled
	}
	return v.Mapping.Status == integration.MappingFailed
}

// proved is the exit code of a validation.
func proved(v wire.Validation) error {
	if v.Trust.Status == integration.TrustValid {
		return nil
	}
	return quiet(integration.CodeConflict)
}

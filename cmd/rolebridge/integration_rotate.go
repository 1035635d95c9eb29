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

func newIntegrationRotate(s streams) *cobra.Command {
	l, out := login{streams: s}, format("")
	var wait turning
	var abort, status bool
	c := &cobra.Command{
		Use:   "rotate-external-id <id>",
		Short: "Replace the external ID while connectors go on reading.",
		Long: `Replace the external ID while connectors go on reading.

A second external ID is made, and the trust policy to paste accepts both. Once the role has accepted the new one for a
minute, sessions are made with it, and the trust policy to paste accepts the new one alone. The rotation is over when the
role refuses the former one, and ten minutes have gone by since the exchange. Nothing is in a hurry: a rotation waits.

With --wait the verb follows the rotation until its phase is over: until the new external ID is in use, or, of one whose
new ID is in use, until the former one is retired. Exit code 7 means that it was not within --wait-timeout, and 5 that the
rotation took another way: it was aborted, or the edit was undone.`,
		Example: examples(
			`Give provider integration "cspi-12345" a new external ID.`,
			"rolebridge provider-integration rotate-external-id cspi-12345 --environment env-abcdef",
			"Show how far it has come, and follow it.",
			"rolebridge provider-integration rotate-external-id cspi-12345 --environment env-abcdef --status --wait",
			"Drop the new external ID while it is not in use.",
			"rolebridge provider-integration rotate-external-id cspi-12345 --environment env-abcdef --abort",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if abort && (status || wait.on) {
				return usagef("--abort goes without --status and --wait")
			}
			api, i, err := l.one(c, args[0])
			if err != nil {
				return err
			}
			ask := api.Rotate
			switch {
			case abort:
				ask = api.AbortRotation
			case status:
				ask = api.Rotation
			}
			r, err := call(ask(c.Context(), args[0]))
			if err != nil {
				return err
			}
			var ended error
			if wait.on && r.Phase != wire.RotationNone {
				if out == human {
					nextTurn(s.err, i, r)
				}
				if r, ended, err = wait.until(c.Context(), s.err, api, r); err != nil {
					return err
				}
			}
			if err := printRotation(s.out, out, r); err != nil {
				return err
			}
			switch {
			case out != human:
			case abort:
				setBack(s.err, i, r)
			default:
				nextTurn(s.err, i, r)
			}
			return ended
		},
	}
	l.flags(c)
	c.Flags().BoolVar(&abort, "abort", false, "Drop the new external ID, while it is not in use.")
	c.Flags().BoolVar(&status, "status", false, "Show how far the rotation has come, and begin none.")
	c.Flags().BoolVar(&wait.on, "wait", false, "Wait for the end of the phase, with progress on standard error.")
	lifeVar(c.Flags(), &wait.timeout, "wait-timeout", 15*time.Minute, "How long to wait at most.")
	out.flag(c)
	return c
}

// turning is the wait for the end of a rotation's phase.
type turning struct {
	on      bool
	timeout time.Duration
}

// until follows rotation r until its phase is over or time is up, and says each change of it. ended is the exit code of
// what came of it.
func (w *turning) until(ctx context.Context, to io.Writer, api *client.Client, r wire.Rotation) (now wire.Rotation, ended, err error) {
	limited, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	began, said, version := r, "", int64(0)
	for {
		v, err := api.Validation(limited, r.Integration, version, oneAsk)
		if err == nil {
			now, err = api.Rotation(limited, r.Integration)
		}
		switch {
		case ctx.Err() != nil:
			return r, nil, ctx.Err()
		case limited.Err() != nil:
			return r, quiet(integration.CodeUnavailable), nil // time is up: what is known is the answer
		case err != nil:
			return r, nil, &called{err}
		}
		r, version = now, v.Version
		if is := progress(r, v); is != said {
			said = is
			fmt.Fprintln(to, is)
		}
		switch {
		case r.Phase == began.Phase:
		case r.ExternalID == turned(began):
			return r, nil, nil
		default:
			return r, quiet(integration.CodeConflict), nil
		}
	}
}

// turned is the external ID that is in use when the phase of r is over as it should be.
func turned(r wire.Rotation) string {
	if r.NextExternalID != "" {
		return r.NextExternalID
	}
	return r.ExternalID
}

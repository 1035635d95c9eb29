package dryrun

import (
	"context"
	"errors"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// Claim is what is to be proved: all that the order of a proof of the integration would hold, with the configuration that
// is tried. Its number and due time mean nothing here.
type Claim struct {
	Organization integration.OrganizationID `json:"organization"`
	Integration  integration.ID             `json:"integration"`
	Ask          integration.TrustAsked     `json:"ask"`
}

// Prover makes proofs. The error is an [integration.Refusal] when none was made and the reason is for the asker's eyes:
// [integration.CodeThrottled], [integration.CodeUnavailable]. Safe for concurrent use.
type Prover interface {
	Prove(ctx context.Context, c Claim) (integration.Report, error)
}

// ProverFunc is a function as a [Prover].
type ProverFunc func(context.Context, Claim) (integration.Report, error)

// Prove implements [Prover].
func (f ProverFunc) Prove(ctx context.Context, c Claim) (integration.Report, error) { return f(ctx, c) }

// Bounds of a dry run. A proof makes some ten calls, one after the other, of which each may take its time-out.
const (
	MostAtOnce = 8 // in one process: proofs that were ordered must not wait for them
	Longest    = 30 * time.Second
)

// Bounded lets at most [MostAtOnce] proofs of p run at a time, each for [Longest] at most. More are refused at once.
func Bounded(p Prover) Prover {
	running := make(chan struct{}, MostAtOnce)
	return ProverFunc(func(ctx context.Context, c Claim) (integration.Report, error) {
		select {
		case running <- struct{}{}:
			defer func() { <-running }()
		default:
			return integration.Report{}, integration.Refuse(integration.CodeThrottled, "%d dry runs are under way; try again in a few seconds", MostAtOnce)
		}
		ctx, cancel := context.WithTimeout(ctx, Longest)
		defer cancel()
		report, err := p.Prove(ctx, c)
		if err != nil && errors.Is(err, context.DeadlineExceeded) {
			err = integration.Refuse(integration.CodeTimeout, "the dry run took too long")
		}
		return report, err
	})
}

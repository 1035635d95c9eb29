package dryrun

import (
	"context"
	"errors"
	"sync"
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
	MostOfOne  = 3 // of these are one organization's: the others must not wait for it
	Longest    = 30 * time.Second
)

// Bounded lets at most [MostAtOnce] proofs of p run at a time, [MostOfOne] of one organization, each for [Longest] at most.
// More are refused at once. A process has one, whoever asks.
func Bounded(p Prover) Prover {
	slots := slots{of: map[integration.OrganizationID]int{}}
	return ProverFunc(func(ctx context.Context, c Claim) (integration.Report, error) {
		if refused := slots.take(c.Organization); refused != nil {
			return integration.Report{}, refused
		}
		defer slots.give(c.Organization)
		ctx, cancel := context.WithTimeout(ctx, Longest)
		defer cancel()
		report, err := p.Prove(ctx, c)
		if err != nil && errors.Is(err, context.DeadlineExceeded) {
			err = integration.Refuse(integration.CodeTimeout, "the dry run took too long")
		}
		return report, err
	})
}

// slots counts what is under way.
type slots struct {
	mu  sync.Mutex
	all int
	of  map[integration.OrganizationID]int
}

func (s *slots) take(o integration.OrganizationID) *integration.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.of[o] >= MostOfOne:
		return integration.Refuse(integration.CodeThrottled, "%d dry runs of the organization are under way; try again in a few seconds", MostOfOne)
	case s.all >= MostAtOnce:
		return integration.Refuse(integration.CodeThrottled, "%d dry runs are under way; try again in a few seconds", MostAtOnce)
	}
	s.all++
	s.of[o]++
	return nil
}

func (s *slots) give(o integration.OrganizationID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[o]--; s.of[o] == 0 {
		delete(s.of, o)
	}
}

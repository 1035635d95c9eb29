package trust

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// Reasons why a trust policy was not read.
const (
	ReasonNotAllowed = "NotAllowed" // iam:GetRole is optional, and the role does not permit it
	ReasonNoSession  = "NoSession"  // the role did not let us in
	ReasonNotWanted  = "NotWanted"  // switched off
)

// mostPasted is the longest mended policy that a report holds, in bytes: IAM's quota with its white space.
const mostPasted = 4096

// read has the linter look at the real trust policy, where the role permits it to be read. It is no check: what it finds
// speaks neither for nor against the customer.
func (p *proof) read(ctx context.Context) *integration.Reading {
	switch {
	case !p.prover.config.ReadPolicy:
		return unread(ReasonNotWanted, "this platform does not read trust policies; the linter has not seen it")
	case p.hop2.Token.Empty():
		return unread(ReasonNoSession, "without a session of the role its trust policy could not be read; the linter has not seen it")
	}
	text, err := tryOn(ctx, p, p.customer.Account, func(ctx context.Context) (string, error) {
		return p.client.TrustPolicy(ctx, &p.hop2, p.customer.Name)
	})
	if err != nil {
		if accessDenied(err) {
			r := unread(ReasonNotAllowed, "the role does not permit the platform to read it, which is optional; the linter has not seen its trust policy")
			r.Remedy = p.permitReading()
			return r
		}
		c := failed(integration.Check{}, err, false)
		return unread(c.Reason, "the trust policy could not be read; the linter has not seen it")
	}
	parsed := policy.Parse(policy.Trust, []byte(text))
	expect := policy.Expect{
		PlatformRole: p.claim.Platform, ExternalIDs: p.accepts(), CustomerRole: p.claim.Config.Customer,
	}
	found := parsed.Lint(expect)
	r := &integration.Reading{Read: true, LeftOut: max(0, len(found)-integration.MaxFindings)}
	for _, f := range found[:len(found)-r.LeftOut] {
		r.Findings = append(r.Findings, integration.LintFinding{
			Code: string(f.Code), Severity: string(f.Severity), Line: f.Line, Column: f.Column,
			Message: clip(f.Message, integration.MaxFindingMessage), Pointer: clip(f.Pointer, integration.MaxFindingPointer),
			Remedy: clip(f.Remedy, integration.MaxFindingRemedy),
		})
	}
	if policy.Worst(found) == policy.Error {
		if mended, err := parsed.Mend(expect); err == nil && len(mended) <= mostPasted {
			r.Remedy = fmt.Sprintf("The trust policy of the role %s with its errors mended:\n%s", p.customer.Name, mended)
		}
	}
	return r
}

func unread(reason, detail string) *integration.Reading {
	return &integration.Reading{Reason: reason, Detail: detail}
}

// permitReading is the permission policy that lets the platform read the role; nothing else follows from it.
func (p *proof) permitReading() string {
	document, err := policy.ReadRole(p.claim.Config.Customer)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("Optional: to have the linter look at the trust policy at every proof, add this permission policy to the role %s:\n%s",
		p.customer.Name, document.JSON())
}

// clip bounds a text to n characters.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

package integration

import (
	"slices"
	"time"
)

func (d *decision) bind(i Integration, actor Principal, ask Bind) *Refusal {
	if r := checkIdentifier("/connector", string(ask.Connector)); r != nil {
		return r
	}
	if !ask.TokenClaim.given() && len(ask.Workloads) == 0 {
		return refuseField("/token_sha256", "is missing: a connector shows a token or a workload identity")
	}
	if ask.TokenClaim.given() {
		if r := ask.TokenClaim.check(d.in.Now); r != nil {
			return r
		}
	}
	if i.Config.Draft() {
		return Refuse(CodeConflict, "%s is a draft: the customer's identity is missing", i.ID)
	}
	if r := ask.Terms.check(i.Config, d.in); r != nil {
		return r
	}
	if _, bound := i.Connectors[ask.Connector]; bound {
		return &Refusal{Code: CodeExists, Field: "/connector", Message: "is bound to " + string(i.ID) + " already"}
	}
	if len(i.Connectors) >= MaxConnectors {
		return Refuse(CodeQuota, "%s has %d connectors; at most %d are allowed", i.ID, len(i.Connectors), MaxConnectors)
	}
	if r := i.fits(Binding{Tokens: make([]Token, 1), Terms: ask.Terms, BoundBy: actor}.size()); r != nil {
		return r
	}
	if r := d.freeToken(ask.Hash); r != nil {
		return r
	}
	d.emit(i.ID, Bound{Connector: ask.Connector, TokenClaim: ask.TokenClaim.canonical(), Terms: ask.Terms, BoundBy: actor})
	// A connector is about to rely on it: what was proved up to an hour ago is proved again.
	switch {
	case !i.mapped():
	case !i.Trust.Asked:
		d.askTrust(i.ID)
	case ask.SourceIdentity, len(ask.Resources) > 0:
		d.emit(i.ID, ValidationRequested{}) // the proof on its way does not look at what this connector needs
	}
	return nil
}

// freeToken checks that no connector of the organization has the token.
func (d *decision) freeToken(hash string) *Refusal {
	if _, taken := d.state.token(hash); taken {
		return &Refusal{Code: CodeExists, Field: "/token_sha256", Message: "is a token of this connector, or of another one, already"}
	}
	return nil
}

func (d *decision) rotateToken(i Integration, actor Principal, ask RotateToken) *Refusal {
	b, bound := i.Connectors[ask.Connector]
	if !bound {
		return &Refusal{Code: CodeNotFound, Field: "/connector", Message: "is not bound to " + string(i.ID)}
	}
	if r := ask.TokenClaim.check(d.in.Now); r != nil {
		return r
	}
	overlap := DefaultOverlap
	if s := ask.Overlap; s != nil {
		if *s < 0 || *s > int64(MaxOverlap/time.Second) {
			return refuseField("/overlap_seconds", "want 0 to %d", MaxOverlap/time.Second)
		}
		overlap = time.Duration(*s) * time.Second
	}
	if r := d.freeToken(ask.Hash); r != nil {
		return r
	}
	fact := TokenRotated{Connector: ask.Connector, TokenClaim: ask.TokenClaim.canonical(), OthersExpireAt: d.in.Now.Add(overlap), RotatedBy: actor}
	next := b.withToken(fact.token(d.in.Now), fact.OthersExpireAt)
	if n := len(next.Tokens); n > MaxTokens {
		return Refuse(CodeConflict, "%s has %d tokens that still work, the next ends at %s; rotate without overlap to end them now",
			ask.Connector, n-1, firstEnd(next.Tokens).UTC().Format(time.RFC3339))
	}
	if r := i.fits(next.size() - b.size()); r != nil {
		return r
	}
	d.emit(i.ID, fact)
	return nil
}

func (d *decision) unbind(i Integration, ask Unbind) *Refusal {
	if _, bound := i.Connectors[ask.Connector]; !bound {
		return &Refusal{Code: CodeNotFound, Field: "/connector", Message: "is not bound to " + string(i.ID)}
	}
	d.emit(i.ID, Unbound{Connector: ask.Connector})
	return nil
}

// expireTokens forgets the tokens that are over. The broker asks the clock itself, so nothing depends on when.
func (d *decision) expireTokens(i Integration) {
	var late []ConnectorID
	for c, b := range i.Connectors {
		if len(b.expired(d.in.Now)) > 0 {
			late = append(late, c)
		}
	}
	slices.Sort(late)
	for _, c := range late {
		d.emit(i.ID, TokensExpired{Connector: c, Hashes: i.Connectors[c].expired(d.in.Now)})
	}
}

// NextDue is when [TimerIsDue] has something to decide: about mapping and trust, or about a token that ends; zero is
// never.
func (i Integration) NextDue() time.Time {
	due := i.Due
	for _, b := range i.Connectors {
		due = earlier(due, firstEnd(b.Tokens))
	}
	return due
}

// firstEnd is when the first of the tokens ends; zero is never.
func firstEnd(tokens []Token) (first time.Time) {
	for _, t := range tokens {
		first = earlier(first, t.ExpiresAt)
	}
	return first
}

// earlier is the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

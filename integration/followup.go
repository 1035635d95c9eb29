package integration

import "time"

// timeZero is no due time.
var timeZero time.Time

// askMapping orders the mapping worker to make or remove the platform's identity.
func (d *decision) askMapping(id ID, op MappingOperation) {
	i, _ := d.state.Integration(id)
	d.emit(id, MappingAsked{
		Attempt: i.Mapping.Attempt + 1, Operation: op, Environment: i.Environment, Config: i.Config,
		Platform: i.Mapping.Platform,
		Due:      d.in.Now.Add(i.patience(d.in.Now, i.Mapping.Status != MappingReady && i.Mapping.Reason == "", d.in.Jitter)),
	})
}

// askTrust orders the trust worker to try the customer's trust policy.
func (d *decision) askTrust(id ID) {
	i, _ := d.state.Integration(id)
	ask := i.TrustAsk()
	ask.Attempt, ask.Due = i.Trust.Attempt+1, i.trustDue(d.in.Now.Add(i.patience(d.in.Now, i.Trust.Asked, d.in.Jitter)))
	d.emit(id, ask)
}

// TrustAsk is all that a proof of i depends on as it is now, without a number and a due time. A dry run asks for the same,
// so that it finds what a proof would.
func (i Integration) TrustAsk() TrustAsked {
	resources, leftOut := i.Resources(MaxProbed)
	return TrustAsked{
		Config: i.Config, Platform: i.Mapping.Platform, ExternalID: i.ExternalID,
		Next: i.NextExternalID(), Former: i.FormerExternalID(), Tags: i.NextExternalID() != "" && i.Trust.TagSession(),
		SourceIdentity: i.SourceIdentity(), Resources: resources, ResourcesLeftOut: leftOut,
	}
}

// trustDue is when to look again if trust alone would want to at then. A mapping that is not ready has its own time, at
// which trust is proved too: moving it would keep the mapping from being made, or make its answer stale.
func (i Integration) trustDue(then time.Time) time.Time {
	if i.Mapping.Status == MappingReady {
		return then
	}
	return i.Due
}

// DecideResult turns what a worker found out into events; none when the answer is stale, that is, not to the latest
// request. It does not change s.
func DecideResult(s *State, r Result, in Inputs) []Event {
	i, ok := s.Integration(r.Integration)
	if !ok {
		return nil
	}
	d := newDecision(s, r.Organization, in)
	switch finding := r.Finding.(type) {
	case MappingWasMade:
		if r.Attempt == i.Mapping.Attempt && i.Mapping.Status == MappingRequested {
			d.emit(i.ID, Mapped(finding))
			if !i.Config.Draft() {
				d.askTrust(i.ID)
			}
		}
	case MappingWasRefused:
		if r.Attempt == i.Mapping.Attempt && (i.Mapping.Status == MappingRequested || i.Deleting()) {
			due := i.retry(firstRetry, i.Mapping.Tries+1, in.Now, in.Jitter)
			if finding.Permanent {
				// Somebody has to change something first; looking now and then finds out when they did.
				due = i.ID.slot(in.Now, in.Jitter)
			}
			d.emit(i.ID, MappingRefused{Reason: finding.Reason, Detail: finding.Detail, Permanent: finding.Permanent, Due: due})
		}
	case MappingWasRemoved:
		if r.Attempt == i.Mapping.Attempt && i.Deleting() {
			d.emit(i.ID, Deleted{})
			d.takeRoles(i.ID)
		}
	case SessionWasRefused:
		d.question(i)
	case TimerIsDue:
		d.wake(i)
	case TrustWasProbed:
		if r.Attempt == i.Trust.Attempt && i.Trust.Asked && !i.Deleting() {
			d.validated(i, finding.Report)
		}
	}
	return d.events
}

// takeRoles takes every role away that was given on integration id alone: it would stay, and count, for ever.
func (d *decision) takeRoles(id ID) {
	o, _ := d.state.Organization()
	for _, b := range o.RoleBindings {
		if b.Scope.Integration == id {
			d.emit("", RoleBindingDeleted{b})
		}
	}
}

func (d *decision) validated(i Integration, r Report) {
	next := i
	next.Trust, next.Rotation = i.Trust.after(r, d.in.Now), i.Rotation.after(r, d.in.Now)
	d.emit(i.ID, Validated{Report: r, Status: next.Trust.Status, Due: i.trustDue(next.NextProof(d.in.Now, d.in.Jitter))})
	if next.Trust.Status != i.Trust.Status {
		d.emit(i.ID, TrustChanged{From: i.Trust.Status, To: next.Trust.Status})
	}
	exchanged := d.turnRotation(i.ID, r)
	switch {
	case r.Outcome(CheckPlatformRole) == Fail && next.Trust.Tries%remapAfter == 0 && i.Mapping.Status == MappingReady:
		// The platform's own role refuses us for long: somebody removed or changed it. Making it again mends both.
		d.askMapping(i.ID, EnsureMapping)
	case (exchanged || i.Trust.Again) && i.mapped():
		// The new current ID is proved in full at once.
		d.askTrust(i.ID)
	}
}

// question proves trust at once that the broker was refused on. A refusal that proofs do not confirm may have another
// cause, e.g. a session policy, and the broker meets it every minute or two: it is followed up only so often.
func (d *decision) question(i Integration) {
	relied := i.Trust.Status == TrustValid || i.Trust.Status == TrustInsecure
	if !relied || !i.mapped() || d.in.Now.Sub(i.Trust.QuestionedAt) < questionAgain {
		return
	}
	d.emit(i.ID, TrustQuestioned{})
	if !i.Trust.Asked {
		d.askTrust(i.ID)
	}
}

// wake decides what is due; nothing when it is too early.
func (d *decision) wake(i Integration) {
	d.expireTokens(i)
	if i.Due.IsZero() || d.in.Now.Before(i.Due) {
		return
	}
	switch i.Mapping.Status {
	case MappingRequested, MappingFailed:
		d.askMapping(i.ID, EnsureMapping)
	case MappingRemoving:
		d.askMapping(i.ID, RemoveMapping)
	}
	// Also while the platform's identity is made again: credentials flow, so they must stop when trust is broken.
	if i.mapped() && !i.Config.Draft() {
		d.askTrust(i.ID)
	}
}

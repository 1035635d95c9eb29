package integration

import "time"

// RotationPhase says how far the exchange of an external ID has come.
type RotationPhase string

// The phases of a rotation.
const (
	// RotationProving: the customer's trust policy is to accept the next ID too. Sessions are made with the current one.
	RotationProving RotationPhase = "proving"
	// RotationRetiring: what was the next ID is the current one, and the trust policy is to refuse the former.
	RotationRetiring RotationPhase = "retiring"
)

// Rotation is an exchange of the external ID that is under way: a second ID beside the current one. What each round
// finds moves it on (after is the table):
//
//	phase     what rounds find, for Propagation without a break           what follows
//	proving   next ID admitted                                            exchange: next becomes current, phase retiring
//	retiring  former ID refused, current admitted; not before settle      the rotation is over
//	retiring  current ID refused, former admitted: the edit was undone    exchange back: phase proving
//
// Trust is judged by the current ID alone, but a refusal of it never counts as long as the other one is admitted: the
// customer has moved, and so does the integration. A customer who changes nothing changes nothing here.
type Rotation struct {
	Phase RotationPhase `json:"phase"`
	// Other is the second external ID: the next one while proving, the former one while retiring.
	Other     string    `json:"other_external_id"`
	StartedAt time.Time `json:"started_at"`
	StartedBy Principal `json:"started_by"`
	// Proved: the role has let us in with Other once, be it when Other was the current ID.
	Proved bool `json:"proved,omitempty"`
	// Since is when the phase began.
	Since time.Time `json:"since"`
	// AdmittedSince and RefusedSince open the run of rounds in which the role did so with Other; at most one is set.
	AdmittedSince time.Time `json:"admitted_since,omitzero"`
	RefusedSince  time.Time `json:"refused_since,omitzero"`
	// Tries counts the rounds of the phase, for the backoff.
	Tries int `json:"tries,omitempty"`
}

// settle is how long a former external ID is kept at least: clients of STS that live long have seen a trust policy that
// was more than five minutes old, and until the rotation is over the former ID stands in there.
const settle = 10 * time.Minute

// other is what the role did with the other external ID of a rotation: [Pass] when it admitted us with it, [Fail] when it
// refused us, [Errored] when it could not be tried, [Skipped] when it was not.
func (r Report) other() Outcome {
	switch {
	case r.Outcome(CheckNextID) != Skipped:
		return r.Outcome(CheckNextID)
	case r.Outcome(CheckFormerID) == Pass:
		return Fail
	case r.Outcome(CheckFormerID) == Fail:
		return Pass
	}
	return r.Outcome(CheckFormerID)
}

// discerning reports whether the role was found to tell external IDs apart. Of one that admits anybody, or may, an
// admission says nothing about the ID.
func (r Report) discerning() bool {
	for _, must := range []CheckName{CheckPlatformIdentity, CheckPlatformRole, CheckWithoutID, CheckWrongID} {
		if r.Outcome(must) != Pass {
			return false
		}
	}
	return true
}

// after returns the rotation that follows from n when report r is in; nil when there is none.
func (n *Rotation) after(r Report, now time.Time) *Rotation {
	if n == nil {
		return nil
	}
	next := *n
	next.Tries++
	other := r.other()
	switch {
	case r.Verdict() == VerdictInsecure:
		next.AdmittedSince, next.RefusedSince = time.Time{}, time.Time{}
	case !r.discerning():
	case other == Pass:
		next.AdmittedSince, next.RefusedSince, next.Proved = orNow(n.AdmittedSince, now), time.Time{}, true
	case other == Fail:
		next.AdmittedSince, next.RefusedSince = time.Time{}, orNow(n.RefusedSince, now)
	}
	return &next
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

// lasted reports whether a run is long enough to be believed everywhere.
func lasted(since, now time.Time) bool { return !since.IsZero() && now.Sub(since) >= Propagation }

// exchanged returns i with the other external ID as its current one.
func (i Integration) exchanged(to RotationPhase, at time.Time) Integration {
	n := *i.Rotation
	i.Rotation = &Rotation{Phase: to, Other: i.ExternalID, StartedAt: n.StartedAt, StartedBy: n.StartedBy, Since: at, Proved: true}
	i.ExternalID = n.Other
	i.Trust.RefusedSince = time.Time{} // that was the other one
	return i
}

// StandIn is a second external ID, with which sessions may be made while the role refuses the current one: during a
// rotation, the edge of a customer's edit reaches different places of the cloud at different times. It is the next ID
// from the first proof that it is admitted, and the former one until the rotation is over. Empty: there is none.
func (i Integration) StandIn() string {
	if i.Rotation == nil || !i.Rotation.Proved {
		return ""
	}
	return i.Rotation.Other
}

// NextExternalID is the ID that will replace the current one, empty unless a rotation is proving it.
func (i Integration) NextExternalID() string {
	if i.Rotation != nil && i.Rotation.Phase == RotationProving {
		return i.Rotation.Other
	}
	return ""
}

// FormerExternalID is the ID that the current one has replaced, empty unless a rotation is retiring it.
func (i Integration) FormerExternalID() string {
	if i.Rotation != nil && i.Rotation.Phase == RotationRetiring {
		return i.Rotation.Other
	}
	return ""
}

// AcceptedExternalIDs are those that the customer's trust policy should accept now, the lasting one first: two while a
// rotation proves the next one, else one.
func (i Integration) AcceptedExternalIDs() []string {
	if next := i.NextExternalID(); next != "" {
		return []string{next, i.ExternalID}
	}
	return []string{i.ExternalID}
}

func (d *decision) rotate(i Integration, actor Principal) *Refusal {
	switch {
	case i.Config.Draft():
		return Refuse(CodeConflict, "%s is a draft: the customer's identity is missing", i.ID)
	case i.Config.Kind != KindAWS:
		return Refuse(CodeConflict, "%s is of %s, whose customers trust without an external ID", i.ID, i.Config.Kind.Provider())
	case i.Rotation != nil:
		return Refuse(CodeConflict, "a rotation of %s is under way, in phase %s", i.ID, i.Rotation.Phase)
	}
	d.emit(i.ID, RotationStarted{Next: d.in.ExternalID, StartedBy: actor})
	// In place of a proof under way, which does not know the next ID.
	if i.mapped() {
		d.askTrust(i.ID)
	}
	return nil
}

func (d *decision) abortRotation(i Integration, actor Principal) *Refusal {
	switch {
	case i.Rotation == nil:
		return Refuse(CodeConflict, "no rotation of %s is under way", i.ID)
	case i.Rotation.Phase != RotationProving:
		return Refuse(CodeConflict, "the new external ID of %s is in use already. Remove the former one from the trust policy; "+
			"if the role refuses the new one, the former comes back by itself", i.ID)
	}
	d.emit(i.ID, RotationAborted{Dropped: i.Rotation.Other, AbortedBy: actor})
	return nil
}

// turnRotation moves a rotation on after a report. It reports whether another external ID is the current one now.
func (d *decision) turnRotation(id ID, r Report) (exchanged bool) {
	i, _ := d.state.Integration(id)
	n, verdict := i.Rotation, r.Verdict()
	switch {
	case n == nil:
	case n.Phase == RotationProving && (verdict == VerdictClean || verdict == VerdictMoved) && lasted(n.AdmittedSince, d.in.Now):
		d.emit(id, ExternalIDRotated{ExternalID: n.Other, Former: i.ExternalID})
		return true
	case n.Phase == RotationRetiring && verdict == VerdictMoved && lasted(i.Trust.RefusedSince, d.in.Now):
		d.emit(id, ExternalIDRestored{ExternalID: n.Other, Next: i.ExternalID})
		return true
	case n.Phase == RotationRetiring && verdict == VerdictClean && lasted(n.RefusedSince, d.in.Now) && !d.in.Now.Before(n.settled()):
		d.emit(id, ExternalIDRetired{Retired: n.Other})
	}
	return false
}

func (n *Rotation) settled() time.Time { return n.Since.Add(settle) }

// nextTurn is when a rotation wants to look again: soon while a run is young, when a rotation may end, else ever later.
func (i Integration) nextTurn(now time.Time, jitter float64) time.Time {
	n := i.Rotation
	at, run, soon := i.retry(firstRetry, n.Tries, now, jitter), n.AdmittedSince, now.Add(pendingRetry)
	if n.Phase == RotationRetiring {
		if run = n.RefusedSince; !run.IsZero() && now.Before(n.settled()) {
			end := n.settled()
			if end.Before(soon) {
				end = soon
			}
			at = sooner(at, end)
		}
	}
	if !run.IsZero() && now.Sub(run) < 2*Propagation {
		return sooner(at, soon)
	}
	return at
}

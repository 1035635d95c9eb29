package integration_test

import (
	"fmt"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// word is what a report says about the customer's role, as a person reads it.
type word string

const (
	admits  word = "admits us with the external ID only"
	anybody word = "admits others too"
	refuses word = "refuses us"
	nothing word = "nothing"
	moved   word = "refuses us with the current external ID and admits us with the other"
)

// second is what a report says about the other external ID of a rotation, in the words of whoever tries it.
type second string

const (
	letIn   second = "let in"
	keptOut second = "kept out"
	unclear second = "unclear"
	untried second = ""
)

// trying returns proof n of proofs with what it found out about the second external ID, and what the two say together.
func trying(n int, s second, phase integration.RotationPhase) (integration.Report, word) {
	p := proofs[n]
	name, admitted, refused := integration.CheckNextID, integration.Pass, integration.Fail
	if phase == integration.RotationRetiring {
		name, admitted, refused = integration.CheckFormerID, integration.Fail, integration.Pass
	}
	switch r := p.report; s {
	case letIn:
		switch {
		case p.shut && p.tells:
			return with(r, name, admitted), moved
		case p.shut:
			return with(r, name, admitted), nothing
		}
		return with(r, name, admitted), p.says
	case keptOut:
		return with(r, name, refused), p.says
	case unclear:
		if p.shut {
			return with(r, name, integration.Errored), nothing
		}
		return with(r, name, integration.Errored), p.says
	}
	return p.report, p.says
}

// proofs are reports, read by hand.
var proofs = []struct {
	says   word
	report integration.Report
	tells  bool // the role was seen to tell external IDs apart
	shut   bool // and to refuse the current one
}{
	{admits, clean, true, false},
	{admits, clean, true, false},
	{admits, with(clean, integration.CheckTagSession, integration.Fail), true, false},
	{admits, with(clean, integration.CheckMaxSession, integration.Fail), true, false},
	{refuses, refusing, true, true},
	{refuses, refusing, true, true},
	{refuses, with(clean, integration.CheckAccount, integration.Fail), true, false},
	{refuses, report(integration.Fail, integration.Errored, integration.Pass), false, true},
	{anybody, careless, false, false},
	{anybody, report(integration.Pass, integration.Pass, integration.Fail), false, false},
	{anybody, report(integration.Fail, integration.Fail, integration.Pass), false, false},
	{anybody, with(careless, integration.CheckPlatformIdentity, integration.Errored), false, false},
	{nothing, outage, false, false},
	{nothing, gone, false, false},
	{nothing, gone, false, false},
	{nothing, integration.Report{}, false, false},
	{nothing, report(integration.Pass, integration.Errored, integration.Pass), false, false},
	{nothing, with(clean, integration.CheckAccount, integration.Errored), true, false},
	{nothing, with(refusing, integration.CheckPlatformIdentity, integration.Errored), false, false},
	{nothing, with(refusing, integration.CheckPlatformRole, integration.Fail), false, false},
}

// with returns r with another outcome of one check.
func with(r integration.Report, name integration.CheckName, o integration.Outcome) integration.Report {
	checks := []integration.Check{{Name: name, Outcome: o}}
	for _, c := range r.Checks {
		if c.Name != name {
			checks = append(checks, c)
		}
	}
	return integration.Report{Checks: checks}
}

// witness follows one integration from its facts and from what the reports say, and knows nothing of how trust is kept.
type witness struct {
	config  integration.Config
	mapped  bool // for this configuration
	leaving bool

	trusted bool      // the customer's role admitted us, and was not found to refuse us since
	open    bool      // it admitted others too, and has not been clean twice in a row since
	cleans  int       // in a row
	shut    bool      // it refused us for a minute, and did nothing else since
	refused time.Time // the first of a run of refusals

	current, other string
	phase          integration.RotationPhase
	turned         time.Time          // when the phase began
	proved         bool               // the role has let us in with the other one
	in, out        time.Time          // the first of a run in which it did so, or not
	next           []integration.Fact // what must follow
	faults         []string
}

func (w *witness) see(e integration.Event, said word, of second, tells bool) {
	switch fact := e.Fact.(type) {
	case integration.Created:
		w.config, w.current = fact.Config, fact.ExternalID
	case integration.Updated:
		if fact.Config != w.config {
			*w = witness{config: fact.Config, current: w.current}
		}
	case integration.Mapped:
		w.mapped = true
	case integration.DeletionStarted:
		w.leaving = true
	case integration.Validated:
		w.hear(said, e.Time)
		w.hearSecond(said, of, tells, e.Time)
	case integration.TrustAsked:
		want := integration.TrustAsked{ExternalID: w.current}
		switch w.phase {
		case integration.RotationProving:
			want.Next = w.other
		case integration.RotationRetiring:
			want.Former = w.other
		}
		if fact.ExternalID != want.ExternalID || fact.Next != want.Next || fact.Former != want.Former {
			w.faults = append(w.faults, fmt.Sprintf("the proof is of %+v, want %+v", fact, want))
		}
	case integration.RotationStarted:
		w.turn(integration.RotationProving, fact.Next, e.Time)
	case integration.ExternalIDRotated, integration.ExternalIDRestored, integration.ExternalIDRetired:
		if len(w.next) == 0 || w.next[0] != e.Fact {
			w.faults = append(w.faults, fmt.Sprintf("%s: %+v, want %+v", e.Fact.Type(), e.Fact, w.next))
			return
		}
		w.next = nil
		switch e.Fact.(type) {
		case integration.ExternalIDRotated:
			w.exchange(integration.RotationRetiring, e.Time)
		case integration.ExternalIDRestored:
			w.exchange(integration.RotationProving, e.Time)
		default:
			w.turn("", "", e.Time)
		}
	case integration.RotationAborted:
		w.turn("", "", e.Time)
	}
}

func (w *witness) turn(phase integration.RotationPhase, other string, at time.Time) {
	w.phase, w.other, w.turned, w.proved, w.in, w.out = phase, other, at, false, time.Time{}, time.Time{}
}

func (w *witness) exchange(phase integration.RotationPhase, at time.Time) {
	former := w.current
	w.current, w.refused = w.other, time.Time{}
	w.turn(phase, former, at)
	w.proved = true
}

// hearSecond is about the other external ID.
func (w *witness) hearSecond(said word, of second, tells bool, at time.Time) {
	if w.phase == "" {
		return
	}
	first := func(t time.Time) time.Time {
		if t.IsZero() {
			return at
		}
		return t
	}
	switch {
	case said == anybody:
		w.in, w.out = time.Time{}, time.Time{}
	case tells && of == letIn:
		w.in, w.out, w.proved = first(w.in), time.Time{}, true
	case tells && of == keptOut:
		w.in, w.out = time.Time{}, first(w.out)
	}
	minute := func(since time.Time) bool { return !since.IsZero() && at.Sub(since) >= time.Minute }
	switch {
	case w.phase == integration.RotationProving && (said == admits || said == moved) && minute(w.in):
		w.next = []integration.Fact{integration.ExternalIDRotated{ExternalID: w.other, Former: w.current}}
	case w.phase == integration.RotationRetiring && said == moved && minute(w.refused):
		w.next = []integration.Fact{integration.ExternalIDRestored{ExternalID: w.other, Next: w.current}}
	case w.phase == integration.RotationRetiring && said == admits && minute(w.out) && at.Sub(w.turned) >= 10*time.Minute:
		w.next = []integration.Fact{integration.ExternalIDRetired{Retired: w.other}}
	}
}

// standIn is the second external ID that sessions may be made with.
func (w *witness) standIn() string {
	if w.phase == "" || !w.proved {
		return ""
	}
	return w.other
}

func (w *witness) hear(said word, at time.Time) {
	switch said {
	case admits:
		w.refused, w.shut = time.Time{}, false
		w.cleans++
		w.trusted, w.open = true, w.open && w.cleans < 2
	case anybody:
		w.refused, w.shut, w.cleans = time.Time{}, false, 0
		w.trusted, w.open = false, true
	case refuses, moved:
		w.cleans = 0
		if w.refused.IsZero() {
			w.refused = at
		}
		if said == refuses && at.Sub(w.refused) >= time.Minute {
			w.trusted, w.shut = false, true
		}
	}
}

// allows is whether credentials may flow.
func (w *witness) allows(setting integration.InsecureRoles) bool {
	if !w.mapped || w.leaving || w.shut {
		return false
	}
	if w.open {
		return setting == integration.InsecureWarn
	}
	return w.trusted
}

// explains reports whether a fact may change the status of trust, and whether it may raise the epoch.
func explains(e integration.Event, before integration.Integration) (status, epoch bool) {
	switch fact := e.Fact.(type) {
	case integration.Created:
		return true, true
	case integration.Updated:
		another := fact.Config != before.Config
		return another, another
	case integration.Validated:
		return true, false
	case integration.TrustAsked:
		return before.Trust.Status == integration.TrustUnknown, false // the first proof is awaited
	case integration.SessionsRevoked, integration.DeletionStarted:
		return false, true
	}
	return false, false
}

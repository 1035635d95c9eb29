package integration_test

import (
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
)

// proofs are reports, read by hand.
var proofs = []struct {
	says   word
	report integration.Report
}{
	{admits, clean},
	{admits, clean},
	{admits, with(clean, integration.CheckTagSession, integration.Fail)},
	{admits, with(clean, integration.CheckMaxSession, integration.Fail)},
	{refuses, refusing},
	{refuses, with(clean, integration.CheckAccount, integration.Fail)},
	{anybody, careless},
	{anybody, report(integration.Pass, integration.Pass, integration.Fail)},
	{anybody, report(integration.Fail, integration.Fail, integration.Pass)},
	{anybody, with(careless, integration.CheckPlatformIdentity, integration.Errored)},
	{nothing, outage},
	{nothing, gone},
	{nothing, gone},
	{nothing, integration.Report{}},
	{nothing, report(integration.Pass, integration.Errored, integration.Pass)},
	{nothing, with(clean, integration.CheckAccount, integration.Errored)},
	{nothing, with(refusing, integration.CheckPlatformIdentity, integration.Errored)},
	{nothing, with(refusing, integration.CheckPlatformRole, integration.Fail)},
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
	refused time.Time // the first of a run of refusals
}

func (w *witness) see(e integration.Event, said word) {
	switch fact := e.Fact.(type) {
	case integration.Created:
		w.config = fact.Config
	case integration.Updated:
		if fact.Config != w.config {
			*w = witness{config: fact.Config}
		}
	case integration.Mapped:
		w.mapped = true
	case integration.DeletionStarted:
		w.leaving = true
	case integration.Validated:
		w.hear(said, e.Time)
	}
}

func (w *witness) hear(said word, at time.Time) {
	switch said {
	case admits:
		w.refused = time.Time{}
		w.cleans++
		w.trusted, w.open = true, w.open && w.cleans < 2
	case anybody:
		w.refused, w.cleans = time.Time{}, 0
		w.trusted, w.open = false, true
	case refuses:
		w.cleans = 0
		if w.refused.IsZero() {
			w.refused = at
		}
		if at.Sub(w.refused) >= time.Minute {
			w.trusted, w.open = false, false
		}
	}
}

// allows is whether credentials may flow.
func (w *witness) allows(setting integration.InsecureRoles) bool {
	if !w.mapped || w.leaving {
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

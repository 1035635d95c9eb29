package creds

import (
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// binding returns the binding that a token proves, and the token as it is stored, which may have expired. A plan that was
// made of the binding as it is needs no other proof.
func (b *Broker) binding(p *plan, digits, token string, now time.Time) (events.Binding, integration.Token, bool) {
	holders := b.bindings.Holders(digits)
	if token == "" {
		// Whoever binds the hash of no token at all would get everybody's requests that lack theirs.
		holders = nil
	}
	if p != nil {
		for _, h := range holders {
			if is, ok := h.Binding(); ok && p.holds(is) {
				return is, p.token, true
			}
		}
	}
	if len(holders) == 0 {
		_ = integration.TokenProof("", "", "", token) // an unknown token costs what a known one does
	}
	strong := integration.StrongToken(token)
	useless := func() {}
	for _, h := range holders {
		is, ok := h.Binding()
		if !ok {
			continue
		}
		of, has := is.Grant().Token(digits)
		switch proved := of.Proves(integration.TokenProof(is.Organization.ID, is.Integration.ID, is.Connector, token)); {
		case !has:
		case proved && strong:
			return is, of, true
		case of.Alive(now):
			useless = func() { b.useless(is, proved) }
		}
	}
	useless()
	return events.Binding{}, integration.Token{}, false
}

// useless tells, once a minute, of a token that is bound and opens nothing. Nobody notices when it is bound: the decider has
// no token to look at. The caller is answered like everybody else.
func (b *Broker) useless(of events.Binding, proved bool) {
	why := "the proof that it was bound with is not the token's for this connector"
	if proved {
		why = "it has less than the length or the variety of 256 random bits"
	}
	b.uselessTold.Do(func() {
		b.log.Warn("bound token opens nothing; rotate it", "integration", of.Integration.ID, "connector", of.Connector, "why", why)
	})
}

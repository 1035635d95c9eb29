package creds

import (
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// binding returns the binding that a token proves, and the token as it is stored, which may have expired. A plan that was
// made of the binding as it is needs no other proof.
func (b *Broker) binding(p *plan, digits, token string) (events.Binding, integration.Token, bool) {
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
	for _, h := range holders {
		is, ok := h.Binding()
		if !ok {
			continue
		}
		of, has := is.Grant().Token(digits)
		if has && of.Proves(integration.TokenProof(is.Organization.ID, is.Integration.ID, is.Connector, token)) {
			return is, of, true
		}
	}
	return events.Binding{}, integration.Token{}, false
}

package orders

import (
	"context"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// Ask is an order of the decider to a worker.
type Ask interface {
	integration.MappingAsked | integration.TrustAsked
	integration.Fact
}

// Order is one order about one integration.
type Order[A Ask] struct {
	Organization integration.OrganizationID
	Integration  integration.ID
	// Attempt numbers the orders of this kind to this integration; only the answer to the latest counts.
	Attempt int64
	// Due is when the decider asks again.
	Due time.Time
	Ask A
}

// Handle does what an order asks and returns what was found. It must come to an end soon after ctx does. An error means
// that there is nothing to report; the decider will ask again.
type Handle[A Ask] func(ctx context.Context, o Order[A]) (integration.Finding, error)

// orderOf takes the order out of an event; ok is false for an event of another type.
func orderOf[A Ask](e integration.Event) (o Order[A], ok bool) {
	ask, ok := e.Fact.(A)
	if !ok {
		return o, false
	}
	o = Order[A]{Organization: e.Organization, Integration: e.Integration, Ask: ask}
	switch fact := e.Fact.(type) {
	case integration.MappingAsked:
		o.Attempt, o.Due = fact.Attempt, fact.Due
	case integration.TrustAsked:
		o.Attempt, o.Due = fact.Attempt, fact.Due
	}
	return o, true
}

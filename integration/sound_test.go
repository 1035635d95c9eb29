package integration_test

import (
	"reflect"
	"time"

	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/integration"
)

// sound fails when the rules for aggregates from elsewhere refuse what decisions have led to: alone, or one beside the other. Nor
// do they begin anew as anything else at now.
func sound(t *rapid.T, s *integration.State, now time.Time) {
	restored := integration.NewState()
	if o, ok := s.ChangedOrganization(); ok {
		if r := o.Sound(); r != nil {
			t.Fatalf("%+v: %v", o, r)
		}
	}
	for _, a := range s.Accounts() {
		if a == nil {
			continue // a fork's, that is deleted
		}
		if r := a.Sound(); r != nil {
			t.Fatalf("%+v: %v", *a, r)
		}
		if r := restored.FitsAccount(*a); r != nil {
			t.Fatalf("%+v: %v", *a, r)
		}
		restored.SetAccount(*a)
	}
	for _, i := range s.Integrations() {
		if i == nil {
			continue
		}
		if r := i.Sound(); r != nil {
			t.Fatalf("%+v: %v", *i, r)
		}
		if r := restored.Fits(*i); r != nil {
			t.Fatalf("%+v: %v", *i, r)
		}
		if got := i.Resumed(now); !reflect.DeepEqual(got, *i) {
			t.Fatalf("resumed at %s: got %+v, want %+v", now, got, *i)
		}
		restored.SetIntegration(*i)
	}
	for _, receipt := range s.ChangedReceipts() {
		if receipt == nil {
			continue
		}
		if r := receipt.Sound(); r != nil {
			t.Fatalf("%+v: %v", *receipt, r)
		}
	}
}

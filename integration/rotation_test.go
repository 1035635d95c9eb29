package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// trial makes the report that a role with this second ID, and without the current one if shut, gets in the present phase.
func trial(w *world, id integration.ID, base integration.Report, of second) integration.Report {
	r := with(base, "none", integration.Skipped)
	name, admitted, refused := integration.CheckNextID, integration.Pass, integration.Fail
	if w.get(id).Rotation.Phase == integration.RotationRetiring {
		name, admitted, refused = integration.CheckFormerID, integration.Fail, integration.Pass
	}
	switch of {
	case letIn:
		return with(r, name, admitted)
	case keptOut:
		return with(r, name, refused)
	case unclear:
		return with(r, name, integration.Errored)
	}
	return r
}

// lasting proves at every due time with the same findings until done, for an hour at most.
func (w *world) lasting(id integration.ID, base integration.Report, of second, done func(integration.Integration) bool) {
	w.t.Helper()
	for began := w.now; !done(w.get(id)); {
		if w.now.Sub(began) > time.Hour {
			w.t.Fatalf("nothing follows in an hour: %+v, trust %s", w.get(id).Rotation, w.get(id).Trust.Status)
		}
		if !w.get(id).Trust.Asked {
			w.due(id)
		}
		w.probed(id, trial(w, id, base, of))
	}
}

func inPhase(p integration.RotationPhase) func(integration.Integration) bool {
	return func(i integration.Integration) bool { return i.Rotation != nil && i.Rotation.Phase == p }
}

func over(i integration.Integration) bool { return i.Rotation == nil }

// rotating has a trusted integration whose rotation has begun.
func rotating(t *testing.T) (w *world, id integration.ID, before, next string) {
	t.Helper()
	w, id = mappedWorld(t)
	w.probed(id, clean)
	w.mustDo(admin, integration.RotateExternalID{Integration: id})
	return w, id, w.get(id).ExternalID, w.get(id).NextExternalID()
}

func TestARotationGoesFromBothExternalIDsToTheNewOne(t *testing.T) {
	w, id, before, next := rotating(t)
	if next == "" || next == before || w.get(id).ExternalID != before {
		t.Fatalf("the rotation began with %s and %s, want the old one in use and a new one", w.get(id).ExternalID, next)
	}
	order := w.events[len(w.events)-1].Fact.(integration.TrustAsked)
	if order.ExternalID != before || order.Next != next || order.Former != "" {
		t.Errorf("the proof is of %+v, want %s, and %s as the next", order, before, next)
	}
	w.lasting(id, clean, letIn, inPhase(integration.RotationRetiring))
	if i := w.get(id); i.ExternalID != next || i.FormerExternalID() != before || !w.allowed(id) || !i.Trust.Asked {
		t.Fatalf("after the exchange: %s, former %s, allowed %t, a proof under way %t; want %s, %s, true, true",
			i.ExternalID, i.FormerExternalID(), w.allowed(id), i.Trust.Asked, next, before)
	}
	order = w.events[len(w.events)-1].Fact.(integration.TrustAsked)
	if order.ExternalID != next || order.Former != before || order.Next != "" {
		t.Errorf("the proof is of %+v, want %s, and %s as the former", order, next, before)
	}
	exchanged := w.now
	w.lasting(id, clean, keptOut, over)
	if i := w.get(id); i.ExternalID != next || i.StandIn() != "" || !w.allowed(id) {
		t.Errorf("at the end: %s, stand-in %q, allowed %t; want %s alone", i.ExternalID, i.StandIn(), w.allowed(id), next)
	}
	if got := w.now.Sub(exchanged); got < 10*time.Minute || got > 15*time.Minute {
		t.Errorf("the former ID was given up %v after the exchange, want some ten minutes: policies have been seen that old", got)
	}
}

func TestTheNextExternalIDIsUsedOnlyWhenItHasLongBeenAdmitted(t *testing.T) {
	w, id, before, _ := rotating(t)
	var since time.Time
	for n := range 40 {
		of := letIn
		if n == 3 {
			of = keptOut // another server, which has not heard of the edit
		}
		if since.IsZero() || of == keptOut {
			since = w.now
		}
		if n == 4 {
			since = w.now
		}
		w.probed(id, trial(w, id, clean, of))
		if i := w.get(id); i.ExternalID != before {
			if got := w.now.Sub(since); got < integration.Propagation {
				t.Errorf("exchanged %v after the first of a run of admissions, want %v", got, integration.Propagation)
			}
			return
		}
		w.due(id)
	}
	t.Fatal("never exchanged")
}

func TestAnAdmissionByARoleThatAdmitsAnybodySaysNothing(t *testing.T) {
	w, id, before, _ := rotating(t)
	w.mustDo(admin, integration.ConfigureOrganization{InsecureRoles: integration.InsecureWarn})
	for range 20 {
		w.probed(id, trial(w, id, careless, letIn))
		if i := w.get(id); i.ExternalID != before || i.StandIn() != "" {
			t.Fatalf("the external ID is %s with stand-in %q although the role asks for none", i.ExternalID, i.StandIn())
		}
		w.due(id)
	}
}

func TestACustomerWhoNeverEditsKeepsTheOldExternalID(t *testing.T) {
	w, id, before, next := rotating(t)
	for began := w.now; w.now.Sub(began) < 7*24*time.Hour; w.due(id) {
		w.probed(id, trial(w, id, clean, keptOut))
		i := w.get(id)
		if i.ExternalID != before || i.NextExternalID() != next || !w.allowed(id) || i.StandIn() != "" {
			t.Fatalf("after %v: %s, next %s, allowed %t; want %s, %s, true", w.now.Sub(began), i.ExternalID, i.NextExternalID(), w.allowed(id), before, next)
		}
		if wait := i.Due.Sub(w.now); wait > 70*time.Minute || wait <= 0 {
			t.Fatalf("after %v the next look is in %v, want an hour at most: a rotation is never given up silently", w.now.Sub(began), wait)
		}
	}
	w.mustDo(admin, integration.Validate{Integration: id})
	edited := w.now
	w.lasting(id, clean, letIn, inPhase(integration.RotationRetiring))
	if got := w.now.Sub(edited); got > 2*integration.Propagation {
		t.Errorf("exchanged %v after the edit, want a minute or two", got)
	}
}

func TestACustomerWhoReplacesTheExternalIDAtOnceIsFollowed(t *testing.T) {
	w, id, before, next := rotating(t)
	w.probed(id, trial(w, id, clean, keptOut))
	w.due(id)
	began := w.now
	for w.get(id).ExternalID == before {
		if w.now.Sub(began) > 2*integration.Propagation {
			t.Fatal("the integration does not follow")
		}
		got := w.probed(id, trial(w, id, refusing, letIn))
		if i := w.get(id); got != integration.TrustValid || i.ExternalID != next && i.StandIn() != next {
			t.Fatalf("%v after the edit trust is %s, the external ID %s with stand-in %q; want valid, and %s in one of the two",
				w.now.Sub(began), got, i.ExternalID, i.StandIn(), next)
		}
		w.due(id)
	}
	w.lasting(id, clean, keptOut, over)
	for _, c := range w.get(id).Trust.History {
		if c.To == integration.TrustDenied {
			t.Errorf("trust was denied on the way: %+v", c)
		}
	}
}

func TestAnExternalIDThatIsRemovedTooEarlyIsDeniedAndComesBack(t *testing.T) {
	w, id, before, next := rotating(t)
	w.lasting(id, refusing, keptOut, func(i integration.Integration) bool { return i.Trust.Status == integration.TrustDenied })
	if i := w.get(id); w.allowed(id) || i.ExternalID != before || i.NextExternalID() != next {
		t.Fatalf("a role that admits us with neither ID: allowed %t, %s, next %s", w.allowed(id), i.ExternalID, i.NextExternalID())
	}
	w.mustDo(admin, integration.Validate{Integration: id})
	if got := w.probed(id, trial(w, id, clean, letIn)); got != integration.TrustValid {
		t.Errorf("with both IDs in the policy trust is %s, want valid", got)
	}
	w.lasting(id, clean, letIn, inPhase(integration.RotationRetiring))
}

func TestAnEditThatIsUndoneAfterTheExchangeBringsTheFormerExternalIDBack(t *testing.T) {
	w, id, before, next := rotating(t)
	w.lasting(id, clean, letIn, inPhase(integration.RotationRetiring))
	w.lasting(id, refusing, letIn, inPhase(integration.RotationProving))
	if i := w.get(id); i.ExternalID != before || i.NextExternalID() != next || i.StandIn() != next || !w.allowed(id) {
		t.Fatalf("after the edit was undone: %s, next %s, allowed %t; want %s, %s, true", i.ExternalID, i.NextExternalID(), w.allowed(id), before, next)
	}
	w.lasting(id, clean, letIn, inPhase(integration.RotationRetiring))
	w.lasting(id, clean, keptOut, over)
	if got := w.get(id).ExternalID; got != next {
		t.Errorf("at the end the external ID is %s, want %s", got, next)
	}
}

func TestAnOutageNeitherExchangesNorRetires(t *testing.T) {
	w, id, before, _ := rotating(t)
	w.probed(id, trial(w, id, clean, letIn))
	for began := w.now; w.now.Sub(began) < 3*time.Hour; {
		w.next(id, outage)
		if w.get(id).ExternalID != before || !w.allowed(id) {
			t.Fatal("an outage exchanged the external ID, or ended trust")
		}
	}
	for range 10 {
		if w.next(id, trial(w, id, refusing, unclear)); w.get(id).Trust.Status != integration.TrustValid {
			t.Fatal("a refusal counts although the second external ID could not be tried")
		}
	}
}

func TestARotationIsRefusedWhereItMakesNoSense(t *testing.T) {
	w := newWorld(t)
	draft := w.create("")
	w.refused(admin, integration.RotateExternalID{Integration: draft}, integration.CodeConflict, "")
	google := w.mustDo(admin, integration.Create{
		Environment: env, Name: "g", Config: integration.Config{Kind: integration.KindGCP, Customer: account},
	}).Integration
	w.refused(admin, integration.RotateExternalID{Integration: google}, integration.CodeConflict, "")

	id := w.create(roleA)
	w.refused("u-stranger", integration.RotateExternalID{Integration: id}, integration.CodeNotFound, "")
	w.mustDo(admin, integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{
		Principal: "u-owner", Role: integration.ResourceOwner, Scope: integration.Scope{Environment: env, Integration: id},
	}})
	w.refused("u-owner", integration.RotateExternalID{Integration: id}, integration.CodeDenied, "")
	w.refused(admin, integration.AbortRotation{Integration: id}, integration.CodeConflict, "")
	w.mustDo(admin, integration.RotateExternalID{Integration: id}) // before the mapping is made, too
	w.refused(admin, integration.RotateExternalID{Integration: id}, integration.CodeConflict, "")
	w.refused("u-owner", integration.AbortRotation{Integration: id}, integration.CodeDenied, "")
	w.mapped(id)
	if order := w.events[len(w.events)-1].Fact.(integration.TrustAsked); order.Next != w.get(id).NextExternalID() {
		t.Errorf("the first proof is of %+v, want the next external ID in it", order)
	}
	w.mustDo(admin, integration.Delete{Integration: id})
	w.refused(admin, integration.RotateExternalID{Integration: id}, integration.CodeNotFound, "")
	if w.get(id).Rotation != nil {
		t.Error("an integration that is being deleted is rotated")
	}
}

func TestAnAbortedRotationLeavesEverythingAsItWas(t *testing.T) {
	w, id, before, next := rotating(t)
	w.probed(id, trial(w, id, clean, letIn))
	w.mustDo(admin, integration.Validate{Integration: id})
	inFlight := w.get(id).Trust.Attempt
	w.mustDo(admin, integration.AbortRotation{Integration: id})
	if i := w.get(id); i.Rotation != nil || i.ExternalID != before || i.StandIn() != "" || !w.allowed(id) {
		t.Fatalf("after the abort: %+v, %s", i.Rotation, i.ExternalID)
	}
	// What is under way still speaks of the dropped ID, and must not count for the next rotation.
	w.mustDo(admin, integration.RotateExternalID{Integration: id})
	w.result(id, inFlight, integration.TrustWasProbed{Report: with(clean, integration.CheckNextID, integration.Pass)})
	if i := w.get(id); i.StandIn() != "" || !i.Rotation.AdmittedSince.IsZero() || i.NextExternalID() == next {
		t.Errorf("the proof of another external ID counts: %+v", i.Rotation)
	}
	w.lasting(id, clean, letIn, inPhase(integration.RotationRetiring))
	w.refused(admin, integration.AbortRotation{Integration: id}, integration.CodeConflict, "")
}

func TestTheSecondCleanRoundComesSoonHoweverLongTheRoleWasInsecure(t *testing.T) {
	w, id := mappedWorld(t)
	for began := w.now; w.now.Sub(began) < 24*time.Hour; w.due(id) {
		w.probed(id, careless)
	}
	if got := w.probed(id, clean); got != integration.TrustInsecure {
		t.Fatalf("one clean round made trust %s", got)
	}
	if wait := w.get(id).Due.Sub(w.now); wait > 20*time.Second {
		t.Errorf("the second round is due in %v, want seconds", wait)
	}
	if got := w.next(id, clean); got != integration.TrustValid {
		t.Errorf("two clean rounds made trust %s, want valid", got)
	}
}

func TestAnInsecureRoleThatRefusedUsMeanwhileNeedsTwoCleanRoundsToo(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, careless)
	w.nextUntil(id, refusing, hasTrust(integration.TrustDenied))
	if got := w.next(id, clean); got != integration.TrustInsecure || w.allowed(id) {
		t.Errorf("one clean round made trust %s, credentials allowed: %t", got, w.allowed(id))
	}
	if got := w.next(id, outage); got != integration.TrustInsecure {
		t.Errorf("an outage made trust %s", got)
	}
	if got := w.next(id, clean); got != integration.TrustValid {
		t.Errorf("the second clean round made trust %s, want valid", got)
	}
}

func TestWhatFollowsFromInsecureIsInTheEvents(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	w.due(id)
	from := len(w.events)
	w.probed(id, careless)
	var got []string
	for _, e := range w.events[from:] {
		got = append(got, fmt.Sprintf("%s %+v", e.Fact.Type(), e.Fact))
	}
	want := "integration.trust-changed {From:valid To:insecure}"
	if len(got) != 2 || got[1] != want {
		t.Errorf("events are %v, want a report and %s", got, want)
	}
}

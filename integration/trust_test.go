package integration_test

import (
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

func mappedWorld(t *testing.T) (*world, integration.ID) {
	w := newWorld(t)
	id := w.create(roleA)
	w.mapped(id)
	return w, id
}

func TestARefusalIsBelievedOnlyAfterPropagation(t *testing.T) {
	w, id := mappedWorld(t)
	if got := w.probed(id, refusing); got != integration.TrustPending {
		t.Fatalf("the first refusal makes trust %s, want pending", got)
	}
	since := w.now
	for rounds := 0; w.now.Sub(since) < integration.Propagation; rounds++ {
		if rounds > 50 {
			t.Fatal("trust is not tried again")
		}
		got := w.next(id, refusing)
		want := integration.TrustPending
		if w.now.Sub(since) >= integration.Propagation {
			want = integration.TrustDenied
		}
		if got != want {
			t.Errorf("%v after the first refusal trust is %s, want %s", w.now.Sub(since), got, want)
		}
	}
	if got := w.next(id, clean); got != integration.TrustValid {
		t.Errorf("after the customer's edit trust is %s, want valid", got)
	}
}

func TestValidTrustOutlivesAnOutage(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	for range 20 {
		if got := w.next(id, outage); got != integration.TrustValid {
			t.Fatalf("an outage made valid trust %s", got)
		}
	}
}

func TestValidTrustIsLostWhenRefusalsLast(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	w.due(id)
	since := w.now
	for w.get(id).Trust.Status == integration.TrustValid {
		if w.now.Sub(since) > 2*integration.Propagation {
			t.Fatalf("trust is still valid %v after the first refusal", w.now.Sub(since))
		}
		w.probed(id, refusing)
		w.due(id)
	}
	last := w.get(id).Trust.History
	if got := last[len(last)-1]; got.From != integration.TrustValid || got.To != integration.TrustDenied {
		t.Errorf("the last change is %+v, want valid to denied", got)
	}
}

func TestAnInsecureRoleIsBelievedAtOnceAndLiftedSlowly(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	if got := w.next(id, careless); got != integration.TrustInsecure {
		t.Fatalf("a role that admits us without external ID is %s, want insecure", got)
	}
	o, _ := w.state.Organization()
	if w.get(id).CredentialsAllowed(o) == nil {
		t.Error("an insecure role gives credentials by default")
	}
	w.mustDo(admin, integration.ConfigureOrganization{InsecureRoles: integration.InsecureWarn})
	o, _ = w.state.Organization()
	if r := w.get(id).CredentialsAllowed(o); r != nil {
		t.Errorf("an insecure role is refused although the organization only warns: %v", r)
	}
	if got := w.next(id, clean); got != integration.TrustInsecure {
		t.Errorf("one clean round lifted insecure to %s", got)
	}
	if got := w.next(id, clean); got != integration.TrustValid {
		t.Errorf("after two clean rounds trust is %s, want valid", got)
	}
}

func TestOurOwnFaultIsNeverTheCustomers(t *testing.T) {
	w, id := mappedWorld(t)
	broken := clean
	broken.Checks = append([]integration.Check{{Name: integration.CheckPlatformIdentity, Outcome: integration.Errored}}, refusing.Checks[1:]...)
	for range 10 {
		if got := w.probed(id, broken); got != integration.TrustError {
			t.Fatalf("trust is %s while our own identity fails, want error", got)
		}
		w.due(id)
	}
}

func TestAPlatformRoleThatIsGoneIsMadeAgain(t *testing.T) {
	w, id := mappedWorld(t)
	before := w.get(id).Mapping.Attempt
	for n := 0; w.get(id).Mapping.Attempt == before; n++ {
		if n > 10 {
			t.Fatal("the platform's role is not made again")
		}
		w.probed(id, gone)
		w.due(id)
	}
	w.mapped(id)
	if got := w.probed(id, clean); got != integration.TrustValid {
		t.Errorf("trust is %s, want valid", got)
	}
}

// remapping brings a valid integration to where the platform's role is made again.
func remapping(t *testing.T) (*world, integration.ID) {
	t.Helper()
	w, id := mappedWorld(t)
	w.probed(id, clean)
	w.nextUntil(id, gone, func(i integration.Integration) bool { return i.Mapping.Status != integration.MappingReady })
	return w, id
}

func (w *world) allowed(id integration.ID) bool {
	o, _ := w.state.Organization()
	return w.get(id).CredentialsAllowed(o) == nil
}

func TestCredentialsFlowWhileThePlatformRoleIsMadeAgain(t *testing.T) {
	w, id := remapping(t)
	if !w.allowed(id) {
		t.Error("credentials are refused while the platform's role is made again")
	}
	for range 3 {
		w.result(id, w.get(id).Mapping.Attempt, integration.MappingWasRefused{Reason: "Throttling"})
		if got := w.get(id).Mapping.Status; got != integration.MappingFailed {
			t.Fatalf("mapping is %s, want failed", got)
		}
		if !w.allowed(id) {
			t.Error("credentials are refused because the platform's role could not be made again")
		}
		w.due(id)
	}
	w.mapped(id)
	if !w.allowed(id) {
		t.Error("credentials are refused after the platform's role was made again")
	}
}

func TestTrustIsProvedAlsoWhileThePlatformRoleIsMadeAgain(t *testing.T) {
	w, id := remapping(t)
	before := w.get(id).Trust.Attempt
	w.mustDo(admin, integration.Validate{Integration: id})
	if got := w.get(id).Trust; got.Attempt != before+1 || !got.Asked {
		t.Fatalf("no proof is under way after somebody asked for one: %+v", got)
	}
	if got := w.probed(id, careless); got != integration.TrustInsecure || w.allowed(id) {
		t.Errorf("trust is %s and credentials allowed: %t, want insecure and not", got, w.allowed(id))
	}
	for range 3 {
		w.result(id, w.get(id).Mapping.Attempt, integration.MappingWasRefused{Reason: "AccessDenied", Permanent: true})
		before := w.get(id)
		if wait := before.Due.Sub(w.now); wait > 111*time.Minute {
			t.Errorf("the next look is in %v, want one to two hours", wait)
		}
		w.due(id)
		after := w.get(id)
		if after.Mapping.Attempt != before.Mapping.Attempt+1 || after.Trust.Attempt != before.Trust.Attempt+1 {
			t.Errorf("mapping attempt %d and trust attempt %d after the retry, want one more than %d and %d",
				after.Mapping.Attempt, after.Trust.Attempt, before.Mapping.Attempt, before.Trust.Attempt)
		}
	}
}

func TestAReportDoesNotDelayTheMappingThatIsUnderWay(t *testing.T) {
	w, id := remapping(t)
	w.due(id)
	before := w.get(id)
	for range 12 { // often enough for another order to mend the role
		w.mustDo(admin, integration.Validate{Integration: id})
		w.probed(id, gone)
	}
	after := w.get(id)
	if !after.Due.Equal(before.Due) {
		t.Errorf("the mapping's retry moved from %v to %v", before.Due, after.Due)
	}
	if after.Mapping.Attempt != before.Mapping.Attempt {
		t.Errorf("mapping attempt went from %d to %d: the answer to the first is stale", before.Mapping.Attempt, after.Mapping.Attempt)
	}
}

func TestAMappingThatNeverWasMadeGivesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	w.result(id, w.get(id).Mapping.Attempt, integration.MappingWasRefused{Reason: "Throttling"})
	before := w.get(id).Trust.Attempt
	w.mustDo(admin, integration.Validate{Integration: id})
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	w.due(id)
	if got := w.get(id).Trust.Attempt; got != before {
		t.Errorf("trust is proved %d times without a platform role", got-before)
	}
	broken := w.get(id)
	broken.Trust.Status = integration.TrustValid
	o, _ := w.state.Organization()
	if broken.CredentialsAllowed(o) == nil {
		t.Error("credentials are allowed without a platform role")
	}
}

func TestTheMappingOfADraftDoesNotServeItsCustomer(t *testing.T) {
	w := newWorld(t)
	id := w.create("")
	w.mapped(id)
	w.mustDo(admin, integration.Update{Integration: id, Config: integration.Config{Kind: integration.KindAWS, Customer: roleA}})
	w.mustDo(admin, integration.Validate{Integration: id})
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	w.due(id)
	w.result(id, w.get(id).Mapping.Attempt, integration.MappingWasRefused{Reason: "Throttling"})
	w.due(id)
	if i := w.get(id); i.Trust.Attempt != 0 || w.allowed(id) {
		t.Errorf("with the draft's platform role trust was proved %d times, credentials allowed: %t", i.Trust.Attempt, w.allowed(id))
	}
	w.mapped(id)
	if w.allowed(id) {
		t.Error("credentials are allowed before trust is proved")
	}
	if w.probed(id, clean); !w.allowed(id) {
		t.Error("credentials are refused with a new mapping and a clean proof")
	}
}

func TestOnlyAConclusiveCheckChangesWhetherSessionsAreTagged(t *testing.T) {
	tagging := func(o integration.Outcome) integration.Report {
		r := clean
		r.Checks = append([]integration.Check{{Name: integration.CheckTagSession, Outcome: o}}, clean.Checks...)
		return r
	}
	w, id := mappedWorld(t)
	for n, step := range []struct {
		report integration.Report
		want   bool
	}{
		{tagging(integration.Errored), false},
		{tagging(integration.Pass), true},
		{tagging(integration.Errored), true},
		{tagging(integration.Skipped), true},
		{outage, true}, // the check is not in the report at all
		{tagging(integration.Fail), false},
		{outage, false},
		{tagging(integration.Pass), true},
	} {
		w.probed(id, step.report)
		if got := w.get(id).Trust.TagSession(); got != step.want {
			t.Errorf("after report %d sessions are tagged: %t, want %t", n, got, step.want)
		}
		w.due(id)
	}
}

func TestARefusalOfTheBrokerIsFollowedUpAtOnceAndJudgesNothing(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	w.now = w.now.Add(10 * time.Minute)
	before := w.get(id)
	w.result(id, 0, integration.SessionWasRefused{})
	after := w.get(id)
	if after.Trust.Attempt != before.Trust.Attempt+1 || !after.Trust.Asked {
		t.Fatalf("trust is %+v after the broker was refused, want that a proof is asked for", after.Trust)
	}
	if after.Trust.Status != integration.TrustValid || !w.allowed(id) || after.Epoch != before.Epoch {
		t.Errorf("a hint made trust %s, credentials allowed: %t", after.Trust.Status, w.allowed(id))
	}
	w.probed(id, refusing)
	w.nextUntil(id, refusing, hasTrust(integration.TrustDenied))
	if took := w.now.Sub(after.Trust.QuestionedAt); took > 2*integration.Propagation {
		t.Errorf("trust is denied %v after the broker was refused, want a minute or so", took)
	}
	if events := w.result(id, 0, integration.SessionWasRefused{}); len(events) != 0 {
		t.Errorf("a refusal of what is denied already gave %v", events)
	}
}

func TestRefusalsThatProofsDoNotConfirmAreFollowedUpOnlySoOften(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	w.now = w.now.Add(10 * time.Minute)
	proofs := 0
	for range 120 { // an hour, in which the broker meets the refusal every 30 s
		if events := w.result(id, 0, integration.SessionWasRefused{}); len(events) > 0 {
			proofs++
			w.probed(id, clean)
		}
		w.now = w.now.Add(30 * time.Second)
	}
	if proofs < 10 || proofs > 12 {
		t.Errorf("%d proofs in an hour of refusals that no proof confirms, want 12", proofs)
	}
}

func TestARefusalDuringAProofIsFollowedUpAfterIt(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	w.due(id)
	asked := w.get(id).Trust.Attempt
	if events := w.result(id, 0, integration.SessionWasRefused{}); len(events) != 1 {
		t.Errorf("a second order is out while the first is unanswered: %v", events)
	}
	w.probed(id, clean)
	if got := w.get(id).Trust; got.Attempt != asked+1 || !got.Asked {
		t.Errorf("attempt %d, asked: %t after the answer, want %d and asked", got.Attempt, got.Asked, asked+1)
	}
}

func TestARefusalOfWhatIsNotThereOrNotReliedOnChangesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	for _, of := range []integration.ID{id, "cspi-nobody"} {
		if events := w.result(of, 0, integration.SessionWasRefused{}); len(events) != 0 {
			t.Errorf("%s: %v", of, events)
		}
	}
}

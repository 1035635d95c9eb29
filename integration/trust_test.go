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
		w.due(id)
		got := w.probed(id, refusing)
		want := integration.TrustPending
		if w.now.Sub(since) >= integration.Propagation {
			want = integration.TrustDenied
		}
		if got != want {
			t.Errorf("%v after the first refusal trust is %s, want %s", w.now.Sub(since), got, want)
		}
	}
	w.due(id)
	if got := w.probed(id, clean); got != integration.TrustValid {
		t.Errorf("after the customer's edit trust is %s, want valid", got)
	}
}

func TestValidTrustOutlivesAnOutage(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	for range 20 {
		w.due(id)
		if got := w.probed(id, outage); got != integration.TrustValid {
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
	w.due(id)
	if got := w.probed(id, careless); got != integration.TrustInsecure {
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
	w.due(id)
	if got := w.probed(id, clean); got != integration.TrustInsecure {
		t.Errorf("one clean round lifted insecure to %s", got)
	}
	w.due(id)
	if got := w.probed(id, clean); got != integration.TrustValid {
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
	gone := integration.Report{Checks: []integration.Check{
		{Name: integration.CheckPlatformIdentity, Outcome: integration.Pass},
		{Name: integration.CheckPlatformRole, Outcome: integration.Fail},
	}}
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

func TestValidTrustIsProvedAgainHourly(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	wait := w.get(id).Due.Sub(w.now)
	if wait < 50*time.Minute || wait > 70*time.Minute {
		t.Errorf("the next proof is due in %v, want an hour or so", wait)
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

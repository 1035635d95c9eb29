package integration_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

const (
	org     = integration.OrganizationID("org-1")
	env     = integration.EnvironmentID("env-1")
	admin   = integration.Principal("u-admin")
	control = integration.Principal("platform:control-plane")
	roleA   = "arn:aws:iam::000000000001:role/customer-a"
	roleB   = "arn:aws:iam::000000000001:role/team/customer-b"
	hashA   = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hashB   = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// claimed is a claim of the token with this hash.
func claimed(hash string) integration.TokenClaim {
	return integration.TokenClaim{Hash: hash, Proof: strings.Repeat("f", 64)}
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world drives decisions over one organization and keeps every event.
type world struct {
	t      testing.TB
	state  *integration.State
	now    time.Time
	serial int
	events []integration.Event
	// watch, if set, is told of each event with the integration as it was before.
	watch func(e integration.Event, before integration.Integration)
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, state: integration.NewState(), now: start}
	w.mustDo(control, integration.CreateOrganization{Admin: admin})
	return w
}

func (w *world) inputs() integration.Inputs {
	w.serial++
	return integration.Inputs{
		Now: w.now, ID: integration.ID(fmt.Sprintf("cspi-%06d", w.serial)), ExternalID: fmt.Sprintf("00000000-0000-4000-8000-%012d", w.serial), Jitter: 0.5, SessionPolicy: lengths,
		Accounts: []string{"888888888888", "999999999999"},
	}
}

func (w *world) apply(events []integration.Event) []integration.Event {
	for _, e := range events {
		before, _ := w.state.Integration(e.Integration)
		integration.Evolve(w.state, e)
		if w.watch != nil {
			w.watch(e, before)
		}
	}
	w.events = append(w.events, events...)
	return events
}

func (w *world) do(actor integration.Principal, ask integration.Ask) []integration.Event {
	w.t.Helper()
	in := w.inputs()
	events, err := integration.Decide(w.state, integration.Command{
		Source: "test", ID: fmt.Sprint(w.serial), Organization: org, Actor: actor, Digest: "d", Ask: ask,
	}, in)
	if err != nil {
		w.t.Fatalf("%s: %v", ask.Type(), err)
	}
	if first := events[0].Fact; !answers(ask, first) {
		w.t.Fatalf("%s was answered by %s, listed are %q", ask.Type(), first.Type(), answerTypes(ask))
	}
	return w.apply(events)
}

func (w *world) mustDo(actor integration.Principal, ask integration.Ask) integration.Event {
	w.t.Helper()
	events := w.do(actor, ask)
	if refused, ok := events[0].Fact.(integration.Refused); ok {
		w.t.Fatalf("%s was refused: %v", ask.Type(), &refused.Refusal)
	}
	return events[0]
}

func (w *world) refused(actor integration.Principal, ask integration.Ask, code integration.Code, field string) {
	w.t.Helper()
	got, ok := w.do(actor, ask)[0].Fact.(integration.Refused)
	if !ok || got.Code != code || got.Field != field {
		w.t.Errorf("%+v by %s: got %v, want refusal %s at %q", ask, actor, &got.Refusal, code, field)
	}
}

func (w *world) create(role string) integration.ID {
	w.t.Helper()
	return w.mustDo(admin, integration.Create{
		Environment: env, Name: "orders", Config: integration.Config{Kind: integration.KindAWS, Customer: role},
	}).Integration
}

func (w *world) result(id integration.ID, attempt int64, f integration.Finding) []integration.Event {
	return w.apply(integration.DecideResult(w.state, integration.Result{
		Organization: org, Integration: id, Attempt: attempt, Finding: f,
	}, w.inputs()))
}

func (w *world) get(id integration.ID) integration.Integration {
	w.t.Helper()
	i, ok := w.state.Integration(id)
	if !ok {
		w.t.Fatalf("%s is not there", id)
	}
	return i
}

// mapped brings an integration to a ready mapping.
func (w *world) mapped(id integration.ID) {
	w.t.Helper()
	w.result(id, w.get(id).Mapping.Attempt, made(id))
	if got := w.get(id).Mapping.Status; got != integration.MappingReady {
		w.t.Fatalf("mapping is %s, want ready", got)
	}
}

func (w *world) probed(id integration.ID, r integration.Report) integration.TrustStatus {
	w.t.Helper()
	w.result(id, w.get(id).Trust.Attempt, integration.TrustWasProbed{Report: r})
	return w.get(id).Trust.Status
}

// next is the proof that is due next, with these findings, and what trust is then.
func (w *world) next(id integration.ID, r integration.Report) integration.TrustStatus {
	w.t.Helper()
	w.due(id)
	return w.probed(id, r)
}

// nextUntil proves at every due time with the same findings until done, for a day at most.
func (w *world) nextUntil(id integration.ID, r integration.Report, done func(integration.Integration) bool) {
	w.t.Helper()
	for began := w.now; !done(w.get(id)); {
		if w.now.Sub(began) > 24*time.Hour {
			w.t.Fatalf("nothing follows in a day: mapping %s, trust %s", w.get(id).Mapping.Status, w.get(id).Trust.Status)
		}
		w.next(id, r)
	}
}

func hasTrust(s integration.TrustStatus) func(integration.Integration) bool {
	return func(i integration.Integration) bool { return i.Trust.Status == s }
}

// due moves the clock to the integration's due time and wakes it.
func (w *world) due(id integration.ID) {
	w.t.Helper()
	if due := w.get(id).Due; due.After(w.now) {
		w.now = due
	}
	w.result(id, 0, integration.TimerIsDue{})
}

func report(with, without, wrong integration.Outcome) integration.Report {
	return integration.Report{Checks: []integration.Check{
		{Name: integration.CheckPlatformIdentity, Outcome: integration.Pass},
		{Name: integration.CheckPlatformRole, Outcome: integration.Pass},
		{Name: integration.CheckWithExternalID, Outcome: with},
		{Name: integration.CheckWithoutID, Outcome: without},
		{Name: integration.CheckWrongID, Outcome: wrong},
		{Name: integration.CheckAccount, Outcome: integration.Pass},
	}}
}

var (
	clean    = report(integration.Pass, integration.Pass, integration.Pass)
	refusing = report(integration.Fail, integration.Pass, integration.Pass)
	careless = report(integration.Pass, integration.Fail, integration.Pass)
	outage   = report(integration.Errored, integration.Skipped, integration.Skipped)
	gone     = integration.Report{Checks: []integration.Check{
		{Name: integration.CheckPlatformIdentity, Outcome: integration.Pass},
		{Name: integration.CheckPlatformRole, Outcome: integration.Fail},
	}}
)

func TestAnIntegrationGoesFromCreationToCredentials(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	o, _ := w.state.Organization()
	if r := w.get(id).CredentialsAllowed(o); r == nil {
		t.Error("credentials are allowed before the mapping exists")
	}
	w.mapped(id)
	if r := w.get(id).CredentialsAllowed(o); r == nil {
		t.Error("credentials are allowed before trust is proved")
	}
	if got := w.probed(id, clean); got != integration.TrustValid {
		t.Fatalf("trust is %s, want valid", got)
	}
	if r := w.get(id).CredentialsAllowed(o); r != nil {
		t.Errorf("credentials are refused: %v", r)
	}
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	if got := w.get(id).Status(); got != integration.StatusActive {
		t.Errorf("status is %s, want ACTIVE", got)
	}
}

func TestBadFieldsAreRefusedByName(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	aws := func(role string) integration.Config {
		return integration.Config{Kind: integration.KindAWS, Customer: role}
	}
	for name, c := range map[string]struct {
		ask   integration.Ask
		field string
	}{
		"no environment":           {integration.Create{Name: "n", Config: aws(roleB)}, "/environment"},
		"an odd environment":       {integration.Create{Environment: "env 1", Name: "n", Config: aws(roleB)}, "/environment"},
		"no name":                  {integration.Create{Environment: env, Config: aws(roleB)}, "/display_name"},
		"a long name":              {integration.Create{Environment: env, Name: strings.Repeat("ä", 61), Config: aws(roleB)}, "/display_name"},
		"a name with a bell":       {integration.Create{Environment: env, Name: "a\ab", Config: aws(roleB)}, "/display_name"},
		"a name of Hangul fillers": {integration.Create{Environment: env, Name: "\u3164\u3164", Config: aws(roleB)}, "/display_name"},
		"a name of braille blanks": {integration.Create{Environment: env, Name: "\u2800", Config: aws(roleB)}, "/display_name"},
		"a name of marks alone":    {integration.Create{Environment: env, Name: "\u0301\ufe0f", Config: aws(roleB)}, "/display_name"},
		"half a surrogate pair":    {integration.Create{Environment: env, Name: "orders \ufffd", Config: aws(roleB)}, "/display_name"},
		"broken UTF-8":             {integration.Create{Environment: env, Name: "a\xff", Config: aws(roleB)}, "/display_name"},
		"an unknown kind":          {integration.Create{Environment: env, Name: "n", Config: integration.Config{Kind: "X"}}, "/config/kind"},
		"a user's ARN":             {integration.Create{Environment: env, Name: "n", Config: aws("arn:aws:iam::000000000001:user/someone")}, "/config/customer_iam_role_arn"},
		"a short account":          {integration.Create{Environment: env, Name: "n", Config: aws("arn:aws:iam::00001:role/customer-a")}, "/config/customer_iam_role_arn"},
		"a wildcard ARN":           {integration.Create{Environment: env, Name: "n", Config: aws("arn:aws:iam::000000000001:role/*/x")}, "/config/customer_iam_role_arn"},
		"a huge ARN":               {integration.Create{Environment: env, Name: "n", Config: aws(roleA + strings.Repeat("x", 3000))}, "/config/customer_iam_role_arn"},
		"a bad account email":      {integration.Create{Environment: env, Name: "n", Config: integration.Config{Kind: integration.KindGCP, Customer: "x"}}, "/config/customer_google_service_account"},
		"a bad tenant":             {integration.Create{Environment: env, Name: "n", Config: integration.Config{Kind: integration.KindAzure, Customer: "x"}}, "/config/customer_azure_tenant_id"},
		"a bad id":                 {integration.Delete{Integration: "cspi-"}, "/integration"},
		"a bad connector":          {integration.Bind{Integration: id, Connector: "", TokenClaim: claimed(hashA)}, "/connector"},
		"a token, not a hash":      {integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed("secret")}, "/token_sha256"},
		"an unknown setting":       {integration.ConfigureOrganization{InsecureRoles: "maybe"}, "/insecure_roles"},
	} {
		t.Run(name, func(*testing.T) { w.refused(admin, c.ask, integration.CodeInvalid, c.field) })
	}
}

func TestANameMayBeOfAnyScriptAndHaveMarksAndEmoji(t *testing.T) {
	w := newWorld(t)
	for n, name := range []string{"Aufträge", "Auftra\u0308ge", "注文", "주문", "طلبات", "orders ❤\ufe0f", "⠕⠗⠙⠑⠗⠎"} {
		role := fmt.Sprintf("arn:aws:iam::%012d:role/customer", n+1)
		w.mustDo(admin, integration.Create{Environment: env, Name: name, Config: integration.Config{Kind: integration.KindAWS, Customer: role}})
	}
}

func TestACustomerRoleIsMappedOncePerEnvironment(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	again := integration.Create{Environment: env, Name: "again", Config: integration.Config{Kind: integration.KindAWS, Customer: roleA}}
	w.refused(admin, again, integration.CodeExists, "/config/customer_iam_role_arn")
	other := again
	other.Environment = "env-2"
	w.mustDo(admin, other)
	w.mustDo(admin, integration.Delete{Integration: id})
	// A replacement may be made while the old platform role is still being removed.
	w.mustDo(admin, again)
}

func TestAnAzureTenantIsTheSameInAnyCase(t *testing.T) {
	azure := func(tenant string) integration.Config {
		return integration.Config{Kind: integration.KindAzure, Customer: tenant}
	}
	upper := strings.ToUpper(tenantA)
	w := newWorld(t)
	id := w.mustDo(admin, integration.Create{Environment: env, Name: "n", Config: azure(upper)}).Integration
	if got := w.get(id).Config.Customer; got != tenantA {
		t.Errorf("stored as %s, want %s", got, tenantA)
	}
	w.refused(admin, integration.Create{Environment: env, Name: "n", Config: azure(tenantA)}, integration.CodeExists, "/config/customer_azure_tenant_id")
	w.refused(admin, integration.Create{Environment: env, Name: "n", Config: azure(upper)}, integration.CodeExists, "/config/customer_azure_tenant_id")
	before := w.get(id)
	w.mustDo(admin, integration.Update{Integration: id, Config: azure(upper)})
	if got := w.get(id); got.Config != before.Config || got.Epoch != before.Epoch {
		t.Errorf("an update with the same tenant made %+v of %+v", got, before)
	}
	draft := w.mustDo(admin, integration.Create{Environment: "env-2", Name: "n", Config: azure("")}).Integration
	w.mustDo(admin, integration.Update{Integration: draft, Config: azure(upper)})
	if got := w.get(draft).Config.Customer; got != tenantA {
		t.Errorf("stored as %s after an update, want %s", got, tenantA)
	}
}

func TestATenantStoredInUpperCaseIsFoundInLowerCase(t *testing.T) {
	w := newWorld(t)
	w.state.SetIntegration(integration.Integration{
		ID: "cspi-00001", Organization: org, Environment: env, Mapping: integration.Mapping{Status: integration.MappingReady, Platform: "p"},
		Config: integration.Config{Kind: integration.KindAzure, Customer: strings.ToUpper(tenantA)},
	})
	same := integration.Config{Kind: integration.KindAzure, Customer: tenantA}
	w.refused(admin, integration.Create{Environment: env, Name: "n", Config: same}, integration.CodeExists, "/config/customer_azure_tenant_id")
	w.mustDo(admin, integration.Update{Integration: "cspi-00001", Config: same})
}

func TestTheQuotaIsNeverPassed(t *testing.T) {
	w := newWorld(t)
	two := 2
	w.refused(admin, integration.ConfigureOrganization{IntegrationQuota: &two}, integration.CodeDenied, "")
	w.mustDo(control, integration.ConfigureOrganization{IntegrationQuota: &two})
	first := w.create(roleA)
	w.mustDo(admin, integration.Create{Environment: env, Name: "g", Config: integration.Config{Kind: integration.KindGCP}})
	third := integration.Create{Environment: env, Name: "c", Config: integration.Config{Kind: integration.KindAWS, Customer: roleB}}
	w.refused(admin, third, integration.CodeQuota, "")
	w.mustDo(admin, integration.Delete{Integration: first})
	w.mustDo(admin, third)
}

func TestDeletionIsRefusedWhileBound(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	w.refused(admin, integration.Delete{Integration: id}, integration.CodeInUse, "")
	epoch := w.get(id).Epoch
	w.mustDo(admin, integration.Delete{Integration: id, Force: true})
	if got := w.get(id).Epoch; got <= epoch {
		t.Errorf("epoch is %d after deletion, want more than %d", got, epoch)
	}
	w.refused(admin, integration.Validate{Integration: id}, integration.CodeNotFound, "")
	w.result(id, w.get(id).Mapping.Attempt, integration.MappingWasRemoved{})
	if _, ok := w.state.Integration(id); ok {
		t.Error("the integration is still there after its platform identity was removed")
	}
}

func TestATokenBelongsToOneConnector(t *testing.T) {
	w := newWorld(t)
	a, b := w.create(roleA), w.create(roleB)
	w.mustDo(admin, integration.Bind{Integration: a, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	w.refused(admin, integration.Bind{Integration: a, Connector: "lcc-1", TokenClaim: claimed(hashB)}, integration.CodeExists, "/connector")
	w.refused(admin, integration.Bind{Integration: b, Connector: "lcc-2", TokenClaim: claimed(hashA)}, integration.CodeExists, "/token_sha256")
	w.mustDo(admin, integration.Unbind{Integration: a, Connector: "lcc-1"})
	w.refused(admin, integration.Unbind{Integration: a, Connector: "lcc-1"}, integration.CodeNotFound, "/connector")
	w.mustDo(admin, integration.Bind{Integration: b, Connector: "lcc-2", TokenClaim: claimed(hashA)})
}

func TestADraftTakesItsCustomerRoleOnce(t *testing.T) {
	w := newWorld(t)
	draft := w.create("")
	w.refused(admin, integration.Validate{Integration: draft}, integration.CodeConflict, "")
	w.refused(admin, integration.Update{Integration: draft, Config: integration.Config{Kind: integration.KindGCP}}, integration.CodeInvalid, "/config/kind")
	w.refused(admin, integration.Update{Integration: draft, Config: integration.Config{Kind: integration.KindAWS}}, integration.CodeInvalid, "/config/customer_iam_role_arn")
	w.mapped(draft)
	if got := w.get(draft).Trust.Status; got != integration.TrustUnknown {
		t.Errorf("trust of a draft is %s, want unknown", got)
	}
	external := w.get(draft).ExternalID
	full := integration.Update{Integration: draft, Config: integration.Config{Kind: integration.KindAWS, Customer: roleA}}
	w.mustDo(admin, full)
	if got := w.get(draft).ExternalID; got != external {
		t.Errorf("the external ID changed from %s to %s", external, got)
	}
	w.mustDo(admin, full)
	full.Config.Customer = roleB
	w.refused(admin, full, integration.CodeConflict, "")
}

func TestAnUpdateWithWhatIsTrueAlreadyKeepsTrustAndSessions(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	before := w.get(id)
	w.mustDo(admin, integration.Update{Integration: id, Config: before.Config})
	after := w.get(id)
	if !reflect.DeepEqual(after.Trust, before.Trust) {
		t.Errorf("trust became %+v, want %+v", after.Trust, before.Trust)
	}
	if after.Epoch != before.Epoch {
		t.Errorf("the epoch went from %d to %d: warm sessions are lost", before.Epoch, after.Epoch)
	}
	o, _ := w.state.Organization()
	if r := after.CredentialsAllowed(o); r != nil {
		t.Errorf("credentials are refused: %v", r)
	}
}

func TestACommandIsDecidedOnce(t *testing.T) {
	w := newWorld(t)
	cmd := integration.Command{
		Source: "cp", ID: "1", Organization: org, Actor: admin, Digest: "x",
		Ask: integration.Create{Environment: env, Name: "n", Config: integration.Config{Kind: integration.KindAWS}},
	}
	first, err := integration.Decide(w.state, cmd, w.inputs())
	if err != nil {
		t.Fatal(err)
	}
	w.apply(first)
	if _, err := integration.Decide(w.state, cmd, w.inputs()); !errors.Is(err, integration.ErrAnswered) {
		t.Errorf("the same command again: got %v, want ErrAnswered", err)
	}
	cmd.Digest = "y"
	if _, err := integration.Decide(w.state, cmd, w.inputs()); !errors.Is(err, integration.ErrReused) {
		t.Errorf("another command under the same id: got %v, want ErrReused", err)
	}
	cmd.Source = "another producer"
	if _, err := integration.Decide(w.state, cmd, w.inputs()); err != nil {
		t.Errorf("the same id from another source: got %v, want a decision", err)
	}
	r, ok := w.state.Receipt(integration.Asker{Source: "cp", ID: "1"})
	if !ok || r.Integration != first[0].Integration || r.Version != 1 {
		t.Errorf("receipt is %+v, want one for %s at version 1", r, first[0].Integration)
	}
}

func TestAStaleAnswerChangesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	if got := w.result(id, 7, integration.MappingWasMade{Platform: "x"}); got != nil {
		t.Errorf("an answer to attempt 7 of 1 gave %v", got)
	}
	w.mapped(id)
	w.probed(id, clean)
	if got := w.result(id, w.get(id).Trust.Attempt, integration.TrustWasProbed{Report: careless}); got != nil {
		t.Errorf("a second answer to one request gave %v", got)
	}
	if got := w.result("cspi-nobody", 1, integration.MappingWasRemoved{}); got != nil {
		t.Errorf("an answer about nothing gave %v", got)
	}
}

func TestAWorkerThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	before := w.get(id).Mapping.Attempt
	if got := w.result(id, 0, integration.TimerIsDue{}); got != nil {
		t.Errorf("woken before it is due: %v", got)
	}
	w.due(id)
	if got := w.get(id).Mapping.Attempt; got != before+1 {
		t.Errorf("mapping attempt is %d, want %d", got, before+1)
	}
	w.mapped(id)
	before = w.get(id).Trust.Attempt
	w.due(id)
	if got := w.get(id).Trust.Attempt; got != before+1 {
		t.Errorf("trust attempt is %d, want %d", got, before+1)
	}
}

func TestAValidationAskedForDuringAnotherIsMadeAfterIt(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	w.mapped(id)
	asked := w.get(id).Trust.Attempt
	if events := w.do(admin, integration.Validate{Integration: id}); len(events) != 1 {
		t.Errorf("a second request is out while the first is unanswered: %v", events)
	}
	w.probed(id, refusing)
	if got := w.get(id).Trust; got.Attempt != asked+1 || !got.Asked {
		t.Errorf("attempt %d asked=%v after the answer, want %d and asked", got.Attempt, got.Asked, asked+1)
	}
}

func TestARoleOfThePlatformIsNoCustomers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	draft := w.create("")
	for name, c := range map[string]struct {
		role    string
		refused bool
	}{
		"an account of ours":         {"arn:aws:iam::888888888888:role/cspi-other", true},
		"another account of ours":    {"arn:aws-us-gov:iam::999999999999:role/path/mapping", true},
		"an account of a customer":   {"arn:aws:iam::000000000007:role/888888888888", false},
		"a name that has our number": {"arn:aws:iam::000000000008:role/arn-999999999999", false},
	} {
		config := integration.Config{Kind: integration.KindAWS, Customer: c.role}
		asks := []integration.Ask{integration.Create{Environment: "env-1", Name: name, Config: config}}
		if c.refused {
			asks = append(asks, integration.Update{Integration: draft, Config: config})
		}
		for _, ask := range asks {
			refused, ok := w.do(admin, ask)[0].Fact.(integration.Refused)
			if ok != c.refused || ok && (refused.Code != integration.CodeInvalid || refused.Field != "/config/customer_iam_role_arn") {
				t.Errorf("%s, %s: got %+v, want refused: %t", name, ask.Type(), refused, c.refused)
			}
		}
	}
}

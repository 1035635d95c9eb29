package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/integration"
)

// history checks invariants over any sequence of commands, results and wakes.
type history struct {
	w        *world
	quota    int
	versions map[integration.ID]int64
	accounts map[integration.Principal]int64 // versions of those that are there
	deleted  map[integration.ID]bool
	ids      []integration.ID
	answered map[string]bool
	saw      map[integration.ID]*witness
	late     map[integration.RoleBinding]bool // given after the integration was deleted
	said     word                             // by the report that is on its way
	of       second
	tells    bool
	faults   []string // seen while events were applied
}

func newHistory(t *testing.T, rt *rapid.T) *history {
	h := &history{
		w:     &world{t: t, state: integration.NewState(), now: start},
		quota: integration.DefaultQuota, versions: map[integration.ID]int64{}, accounts: map[integration.Principal]int64{}, deleted: map[integration.ID]bool{}, answered: map[string]bool{},
		saw: map[integration.ID]*witness{}, late: map[integration.RoleBinding]bool{},
	}
	h.w.watch = h.watch
	h.check(rt, []integration.Event{h.w.mustDo(control, integration.CreateOrganization{Admin: admin})})
	few := rapid.IntRange(1, 4).Draw(rt, "few")
	h.check(rt, []integration.Event{h.w.mustDo(control, integration.ConfigureOrganization{IntegrationQuota: &few})})
	return h
}

const (
	tenantA = "0f8fad5b-d9cb-469f-a165-70867728950e"
	account = "orders@shop-1.iam.gserviceaccount.com"
)

var (
	environments = []integration.EnvironmentID{env, "env-2"}
	configs      = []integration.Config{
		{Kind: integration.KindAWS},
		{Kind: integration.KindAWS, Customer: roleA},
		{Kind: integration.KindAWS, Customer: roleB},
		{Kind: integration.KindAWS, Customer: "arn:aws:iam::000000000002:role/c"},
		{Kind: integration.KindAWS, Customer: "bad"},
		{Kind: integration.KindGCP},
		{Kind: integration.KindGCP, Customer: account},
		{Kind: integration.KindAzure},
		{Kind: integration.KindAzure, Customer: tenantA},
		{Kind: integration.KindAzure, Customer: strings.ToUpper(tenantA)},
		{Kind: "X"},
	}
	hashes = []string{hashA, hashB, hashC, hashD, "bad"}
)

// terms are mostly none.
var terms = rapid.SampledFrom([]integration.Terms{
	{},
	{},
	{},
	{Workloads: []integration.Workload{github, spire}},
	{Resources: []integration.Resource{raw}, SourceIdentity: true},
	{Workloads: []integration.Workload{{}}},
	{Resources: []integration.Resource{raw, raw}},
})

// anID is mostly one that exists or existed.
func (h *history) anID(rt *rapid.T) integration.ID {
	if rapid.IntRange(0, 9).Draw(rt, "stray") == 0 || len(h.ids) == 0 {
		return "cspi-stray"
	}
	return rapid.SampledFrom(h.ids).Draw(rt, "id")
}

func configsOf(k integration.Kind) []integration.Config {
	return slices.DeleteFunc(slices.Clone(configs), func(c integration.Config) bool { return c.Kind != k })
}

var actors = rapid.SampledFrom([]integration.Principal{admin, admin, admin, control, "u-2", "sa-1"})

func (h *history) ask(rt *rapid.T) integration.Ask {
	id := h.anID(rt)
	connector := rapid.SampledFrom([]integration.ConnectorID{"lcc-1", "lcc-2"}).Draw(rt, "connector")
	config := rapid.SampledFrom(configs).Draw(rt, "config")
	somewhere := rapid.SampledFrom(environments).Draw(rt, "environment")
	binding := integration.RoleBinding{
		Principal: actors.Draw(rt, "grantee"), Role: rapid.SampledFrom(integration.Roles()).Draw(rt, "granted"),
		Scope: rapid.SampledFrom([]integration.Scope{{}, {Environment: "env-*"}, {Environment: somewhere}, {Environment: somewhere, Integration: id}}).Draw(rt, "scope"),
	}
	quota := rapid.IntRange(-1, 4).Draw(rt, "quota")
	create := integration.Create{Environment: somewhere, Name: "n", Config: config}
	claim := claimed(rapid.SampledFrom(hashes).Draw(rt, "hash"))
	if rapid.IntRange(0, 3).Draw(rt, "ends") == 0 {
		claim.ExpiresAt = h.w.now.Add(time.Duration(rapid.IntRange(-1, 3600).Draw(rt, "life")) * time.Second)
	}
	bind := integration.Bind{Integration: id, Connector: connector, TokenClaim: claim, Terms: terms.Draw(rt, "terms")}
	overlap := rapid.Int64Range(-1, 7200).Draw(rt, "overlap")
	rotate := integration.RotateToken{Integration: id, Connector: connector, TokenClaim: claim, Overlap: &overlap}
	update := integration.Update{Integration: id, Config: config}
	if i, ok := h.w.state.Integration(id); ok && rapid.IntRange(0, 3).Draw(rt, "stray update") > 0 {
		update.Config = i.Config
		if i.Config.Draft() {
			update.Config = rapid.SampledFrom(configsOf(i.Config.Kind)).Draw(rt, "completed")
		}
	}
	return rapid.SampledFrom([]integration.Ask{
		create, create, create, create, bind, bind, bind, bind, rotate, rotate, update, update,
		integration.CreateOrganization{Admin: admin},
		integration.ConfigureOrganization{IntegrationQuota: &quota},
		integration.ConfigureOrganization{InsecureRoles: rapid.SampledFrom([]integration.InsecureRoles{"", "block", "warn", "x"}).Draw(rt, "setting")},
		integration.CreateRoleBinding{RoleBinding: binding},
		integration.DeleteRoleBinding{RoleBinding: binding},
		h.aboutAccounts(rt),
		h.aboutAccounts(rt),
		integration.Validate{Integration: id},
		integration.RevokeSessions{Integration: id},
		integration.RotateExternalID{Integration: id},
		integration.RotateExternalID{Integration: id},
		integration.AbortRotation{Integration: id},
		integration.Delete{Integration: id, Force: rapid.Bool().Draw(rt, "force")},
		integration.Unbind{Integration: id, Connector: connector},
	}).Draw(rt, "ask")
}

// command asks for anything, sometimes for what was asked before.
func (h *history) command(rt *rapid.T) {
	cmd := integration.Command{
		Source: "s", ID: fmt.Sprint(rapid.IntRange(0, 1000).Draw(rt, "command")), Organization: org,
		Actor: actors.Draw(rt, "actor"), Digest: "d", Ask: h.ask(rt),
	}
	before := h.w.state.Count()
	events, err := integration.Decide(h.w.state, cmd, h.w.inputs())
	if h.answered[cmd.ID] {
		if !errors.Is(err, integration.ErrAnswered) {
			rt.Fatalf("command %s was decided twice: %v, %v", cmd.ID, events, err)
		}
		return
	}
	h.answered[cmd.ID] = true
	told := 0
	for _, e := range events {
		if e.Answers != nil {
			told++
		}
	}
	if told != 1 || events[0].Answers == nil {
		rt.Fatalf("%d of %d events answer the command, want the first alone", told, len(events))
	}
	if !answers(cmd.Ask, events[0].Fact) {
		rt.Fatalf("%s was answered by %s, listed are %q", cmd.Ask.Type(), events[0].Fact.Type(), answerTypes(cmd.Ask))
	}
	if _, created := events[0].Fact.(integration.Created); created && before >= h.quota {
		rt.Fatalf("created number %d with a quota of %d", before+1, h.quota)
	}
	h.check(rt, h.w.apply(events))
}

// made is what the mapping worker finds when all is well.
func made(id integration.ID) integration.Finding {
	return integration.MappingWasMade{Platform: "arn:aws:iam::999999999999:role/" + string(id)}
}

// mapping answers the latest order to the mapping worker, or an older one.
func (h *history) mapping(rt *rapid.T) {
	id := h.anID(rt)
	i, _ := h.w.state.Integration(id)
	finding := rapid.SampledFrom([]integration.Finding{
		made(id),
		made(id),
		integration.MappingWasRemoved{},
		integration.MappingWasRefused{Reason: "Throttling"},
		integration.MappingWasRefused{Reason: "EntityAlreadyExists", Permanent: true},
	}).Draw(rt, "finding")
	h.check(rt, h.w.result(id, i.Mapping.Attempt-int64(rapid.IntRange(0, 1).Draw(rt, "late")), finding))
}

// trust answers the latest order to the trust worker, or an older one.
func (h *history) trust(rt *rapid.T) {
	id := h.anID(rt)
	i, _ := h.w.state.Integration(id)
	late := int64(rapid.IntRange(0, 1).Draw(rt, "late"))
	h.prove(rt, id, i.Trust.Attempt-late, rapid.IntRange(0, len(proofs)-1).Draw(rt, "proof"), seconds.Draw(rt, "second"))
}

var seconds = rapid.SampledFrom([]second{letIn, letIn, keptOut, keptOut, unclear, untried})

// prove hands in a proof; of a rotation's second external ID it finds out what it is told.
func (h *history) prove(rt *rapid.T, id integration.ID, attempt int64, proof int, of second) {
	report := proofs[proof].report
	h.said, h.of, h.tells = proofs[proof].says, untried, proofs[proof].tells
	if i, ok := h.w.state.Integration(id); ok && i.Rotation != nil {
		h.of = of
		report, h.said = trying(proof, of, i.Rotation.Phase)
	}
	h.check(rt, h.w.result(id, attempt, integration.TrustWasProbed{Report: report}))
}

// rounds lets time pass until an integration is due, several times, with workers that answer much the same.
func (h *history) rounds(rt *rapid.T) {
	h.roundsOf(rt, h.anID(rt), 7, rapid.IntRange(0, len(proofs)-1))
}

// likely are the proofs that matter most to a rotation: clean, refused, and three others.
var likely = rapid.SampledFrom([]int{0, 0, 4, 4, 7, 8, 12})

// rotation exchanges the external ID of an integration, with a customer who has several moods.
func (h *history) rotation(rt *rapid.T) {
	id := h.anID(rt)
	i, ok := h.w.state.Integration(id)
	if !ok || i.Deleting() || i.Config.Draft() {
		return
	}
	if i.Rotation == nil {
		h.check(rt, h.w.do(admin, integration.RotateExternalID{Integration: id}))
	}
	for range rapid.IntRange(1, 3).Draw(rt, "moods") {
		h.roundsOf(rt, id, 14, rapid.OneOf(likely, likely, rapid.IntRange(0, len(proofs)-1)))
	}
}

func (h *history) roundsOf(rt *rapid.T, id integration.ID, most int, proof *rapid.Generator[int]) {
	found := rapid.SliceOfN(proof, 1, 2).Draw(rt, "proofs")
	of := rapid.SliceOfN(seconds, 1, 2).Draw(rt, "seconds")
	mapping := rapid.SampledFrom([]integration.Finding{
		nil, made(id), integration.MappingWasRefused{Reason: "Throttling"},
	}).Draw(rt, "mapping")
	for range rapid.IntRange(1, most).Draw(rt, "rounds") {
		i, ok := h.w.state.Integration(id)
		if !ok {
			return
		}
		if i.Due.After(h.w.now) {
			h.w.now = i.Due
		}
		h.check(rt, h.w.result(id, 0, integration.TimerIsDue{}))
		if i, _ = h.w.state.Integration(id); i.Mapping.Status != integration.MappingReady && mapping != nil {
			h.check(rt, h.w.result(id, i.Mapping.Attempt, mapping))
		}
		i, _ = h.w.state.Integration(id)
		h.prove(rt, id, i.Trust.Attempt, rapid.SampledFrom(found).Draw(rt, "proof"), rapid.SampledFrom(of).Draw(rt, "second"))
		h.holds(rt)
	}
}

func (h *history) wake(rt *rapid.T) {
	h.w.now = h.w.now.Add(time.Duration(rapid.IntRange(0, 7200).Draw(rt, "seconds")) * time.Second)
	h.check(rt, h.w.result(h.anID(rt), 0, integration.SessionWasRefused{}))
	id := h.anID(rt)
	h.check(rt, h.w.result(id, 0, integration.TimerIsDue{}))
	i, _ := h.w.state.Integration(id)
	for c, b := range i.Connectors {
		for _, token := range b.Tokens {
			if !token.Alive(h.w.now) {
				rt.Fatalf("the timer left a token of %s that ended at %s, now %s", c, token.ExpiresAt, h.w.now)
			}
		}
	}
}

// watch follows each integration, and holds every fact against what it may change.
func (h *history) watch(e integration.Event, before integration.Integration) {
	if e.Integration == "" {
		return
	}
	if _, refused := e.Fact.(integration.Refused); refused {
		return
	}
	if _, created := e.Fact.(integration.Created); created {
		h.saw[e.Integration] = &witness{}
	}
	h.saw[e.Integration].see(e, h.said, h.of, h.tells)
	h.faults = append(h.faults, h.saw[e.Integration].faults...)
	after, ok := h.w.state.Integration(e.Integration)
	if !ok {
		return
	}
	status, epoch := explains(e, before)
	if after.Trust.Status != before.Trust.Status && !status {
		h.faults = append(h.faults, fmt.Sprintf("%s of %s made trust %s of %s", e.Fact.Type(), e.Integration, after.Trust.Status, before.Trust.Status))
	}
	if after.Epoch != before.Epoch && !epoch || after.Epoch < before.Epoch {
		h.faults = append(h.faults, fmt.Sprintf("%s of %s moved the epoch from %d to %d", e.Fact.Type(), e.Integration, before.Epoch, after.Epoch))
	}
}

func (h *history) check(t *rapid.T, events []integration.Event) {
	if len(h.faults) > 0 {
		t.Fatal(h.faults)
	}
	for _, e := range events {
		if _, refused := e.Fact.(integration.Refused); refused {
			if e.Version != 0 {
				t.Fatalf("a refusal has version %d", e.Version)
			}
			continue
		}
		if e.Account != "" {
			h.checkAccount(t, e)
			continue
		}
		if h.deleted[e.Integration] {
			t.Fatalf("%s happened to %s after its deletion", e.Fact.Type(), e.Integration)
		}
		if e.Version != h.versions[e.Integration]+1 {
			t.Fatalf("%s of %q has version %d after %d", e.Fact.Type(), e.Integration, e.Version, h.versions[e.Integration])
		}
		h.versions[e.Integration] = e.Version
		switch fact := e.Fact.(type) {
		case integration.Created:
			h.ids = append(h.ids, e.Integration)
		case integration.Deleted:
			h.deleted[e.Integration] = true
		case integration.RoleBindingCreated:
			h.late[fact.RoleBinding] = h.deleted[fact.Scope.Integration]
		case integration.OrganizationConfigured:
			h.quota = fact.IntegrationQuota
		}
	}
}

func (h *history) holds(t *rapid.T) {
	o, _ := h.w.state.Organization()
	for _, b := range o.RoleBindings {
		if h.deleted[b.Scope.Integration] && !h.late[b] {
			t.Fatalf("%+v outlives its integration", b)
		}
	}
	live := 0
	seen := map[string]integration.ID{}
	tokens := map[string]integration.ID{}
	for _, id := range h.ids {
		i, ok := h.w.state.Integration(id)
		if !ok {
			continue
		}
		if got, want := i.CredentialsAllowed(o), h.saw[id].allows(o.InsecureRoles); (got == nil) != want {
			t.Fatalf("credentials of %s: got %v, want allowed: %t\nseen %+v\nof   %+v", id, got, want, *h.saw[id], i)
		}
		if i.Deleting() {
			continue
		}
		if w := h.saw[id]; i.ExternalID != w.current || i.StandIn() != w.standIn() || len(w.next) > 0 {
			t.Fatalf("external ID of %s is %s, with stand-in %q, want %s and %q; outstanding: %v\n%+v", id, i.ExternalID, i.StandIn(), w.current, w.standIn(), w.next, i.Rotation)
		}
		live++
		if !i.Config.Draft() {
			key := strings.ToLower(fmt.Sprint(i.Environment, i.Config))
			if other, taken := seen[key]; taken {
				t.Fatalf("%s and %s map the same customer identity %s", other, id, key)
			}
			seen[key] = id
		}
		for c, b := range i.Connectors {
			if len(b.Tokens) > integration.MaxTokens {
				t.Fatalf("%s has %d tokens", c, len(b.Tokens))
			}
			for _, token := range b.Tokens {
				if other, taken := tokens[token.Hash]; taken {
					t.Fatalf("%s and %s share a token", other, id)
				}
				if due := i.NextDue(); !token.ExpiresAt.IsZero() && (due.IsZero() || due.After(token.ExpiresAt)) {
					t.Fatalf("a token of %s ends at %s, the timer is due at %s", c, token.ExpiresAt, due)
				}
				tokens[token.Hash] = id
			}
		}
	}
	h.accountsHold(t, o)
	if live != h.w.state.Count() {
		t.Fatalf("%d integrations live, %d counted", live, h.w.state.Count())
	}
}

func TestNoSequenceBreaksAnInvariant(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rt)
		w := h.w
		for range 3 { // ninety steps: what matters often needs a past
			rt.Repeat(map[string]func(*rapid.T){
				"command": h.command, "mapping": h.mapping, "rotation": h.rotation, "rounds": h.rounds, "trust": h.trust, "wake": h.wake, "": h.holds,
			})
			sound(rt, w.state, w.now)
		}
		replayed := integration.NewState()
		forked := integration.NewState()
		for n, e := range w.events {
			integration.Evolve(replayed, e)
			fork := forked.Fork()
			integration.Evolve(fork, e)
			if n%3 == 0 {
				inner := fork.Fork()
				inner.DropReceipt(integration.Asker{Source: "nobody", ID: "x"})
				fork.Merge(inner)
			}
			forked.Merge(fork)
		}
		for _, id := range h.ids {
			want, there := w.state.Integration(id)
			for name, s := range map[string]*integration.State{"replayed": replayed, "forked and merged": forked} {
				if got, ok := s.Integration(id); ok != there || !reflect.DeepEqual(got, want) {
					rt.Fatalf("%s %s: got %+v, want %+v", name, id, got, want)
				}
				if s.Count() != w.state.Count() {
					rt.Fatalf("%s: counts %d, want %d", name, s.Count(), w.state.Count())
				}
			}
			text, err := json.Marshal(want)
			if err != nil {
				rt.Fatal(err)
			}
			var back integration.Integration
			if err := json.Unmarshal(text, &back); err != nil {
				rt.Fatalf("%s: %v", text, err)
			}
			if again, err := json.Marshal(back); err != nil || !bytes.Equal(again, text) {
				rt.Fatalf("reading what was written changes it:\n%s\n%s", text, again)
			}
		}
	})
}

package integration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
	deleted  map[integration.ID]bool
	ids      []integration.ID
	answered map[string]bool
}

func (h *history) check(t *rapid.T, events []integration.Event) {
	for _, e := range events {
		if _, refused := e.Fact.(integration.Refused); refused {
			if e.Version != 0 {
				t.Fatalf("a refusal has version %d", e.Version)
			}
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
		case integration.OrganizationConfigured:
			h.quota = fact.IntegrationQuota
		}
	}
}

func (h *history) holds(t *rapid.T) {
	o, _ := h.w.state.Organization()
	live := 0
	seen := map[string]integration.ID{}
	tokens := map[string]integration.ID{}
	for _, id := range h.ids {
		i, ok := h.w.state.Integration(id)
		if !ok {
			continue
		}
		if i.CredentialsAllowed(o) == nil && (i.Mapping.Status != integration.MappingReady ||
			(i.Trust.Status != integration.TrustValid && (i.Trust.Status != integration.TrustInsecure || o.InsecureRoles != integration.InsecureWarn))) {
			t.Fatalf("%s gives credentials with mapping %s and trust %s", id, i.Mapping.Status, i.Trust.Status)
		}
		if i.Deleting() {
			continue
		}
		live++
		if !i.Config.Draft() {
			key := fmt.Sprint(i.Environment, i.Config)
			if other, taken := seen[key]; taken {
				t.Fatalf("%s and %s map the same customer identity %s", other, id, key)
			}
			seen[key] = id
		}
		for _, b := range i.Connectors {
			if other, taken := tokens[b.TokenHash]; taken {
				t.Fatalf("%s and %s share a token", other, id)
			}
			tokens[b.TokenHash] = id
		}
	}
	if live != h.w.state.Count() {
		t.Fatalf("%d integrations live, %d counted", live, h.w.state.Count())
	}
}

func TestNoSequenceBreaksAnInvariant(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: t, state: integration.NewState(), now: start}
		h := &history{w: w, quota: integration.DefaultQuota, versions: map[integration.ID]int64{}, deleted: map[integration.ID]bool{}, answered: map[string]bool{}}
		actor := rapid.SampledFrom([]integration.Principal{admin, admin, admin, control, "u-2", "sa-1"})
		roles := rapid.SampledFrom([]string{"", "", roleA, roleB, "arn:aws:iam::000000000002:role/c", "bad"})
		hashes := rapid.SampledFrom([]string{hashA, hashB, strings.Repeat("c", 64), "bad"})
		connectors := rapid.SampledFrom([]integration.ConnectorID{"lcc-1", "lcc-2"})
		reports := rapid.SampledFrom([]integration.Report{clean, refusing, careless, outage})
		anID := rapid.Custom(func(rt *rapid.T) integration.ID {
			if rapid.IntRange(0, 9).Draw(rt, "stray") == 0 || len(h.ids) == 0 {
				return "cspi-stray"
			}
			return rapid.SampledFrom(h.ids).Draw(rt, "id")
		})
		ask := rapid.Custom(func(rt *rapid.T) integration.Ask {
			id := anID.Draw(rt, "about")
			config := integration.Config{Kind: integration.KindAWS, Customer: roles.Draw(rt, "role")}
			binding := integration.RoleBinding{
				Principal: actor.Draw(rt, "grantee"), Role: rapid.SampledFrom(integration.Roles()).Draw(rt, "granted"),
				Scope: rapid.SampledFrom([]integration.Scope{{}, {Environment: env}, {Environment: env, Integration: id}}).Draw(rt, "scope"),
			}
			quota := rapid.IntRange(-1, 4).Draw(rt, "quota")
			create := integration.Create{Environment: env, Name: "n", Config: config}
			bind := integration.Bind{Integration: id, Connector: connectors.Draw(rt, "connector"), TokenHash: hashes.Draw(rt, "hash")}
			return rapid.SampledFrom([]integration.Ask{
				create, create, create, create, bind, bind, bind, bind,
				integration.CreateOrganization{Admin: admin},
				integration.ConfigureOrganization{IntegrationQuota: &quota},
				integration.ConfigureOrganization{InsecureRoles: rapid.SampledFrom([]integration.InsecureRoles{"", "block", "warn", "x"}).Draw(rt, "setting")},
				integration.CreateRoleBinding{RoleBinding: binding},
				integration.DeleteRoleBinding{RoleBinding: binding},
				integration.Update{Integration: id, Config: config},
				integration.Validate{Integration: id},
				integration.RevokeSessions{Integration: id},
				integration.Delete{Integration: id, Force: rapid.Bool().Draw(rt, "force")},
				integration.Unbind{Integration: id, Connector: connectors.Draw(rt, "connector")},
			}).Draw(rt, "ask")
		})
		h.check(rt, []integration.Event{w.mustDo(control, integration.CreateOrganization{Admin: admin})})
		few := rapid.IntRange(1, 4).Draw(rt, "few")
		h.check(rt, []integration.Event{w.mustDo(control, integration.ConfigureOrganization{IntegrationQuota: &few})})
		rt.Repeat(map[string]func(*rapid.T){
			"command": func(rt *rapid.T) {
				cmd := integration.Command{
					Source: "s", ID: fmt.Sprint(rapid.IntRange(0, 1000).Draw(rt, "command")), Organization: org,
					Actor: actor.Draw(rt, "actor"), Digest: "d", Ask: ask.Draw(rt, "ask"),
				}
				before := w.state.Count()
				events, err := integration.Decide(w.state, cmd, w.inputs())
				if h.answered[cmd.ID] {
					if !errors.Is(err, integration.ErrAnswered) {
						rt.Fatalf("command %s was decided twice: %v, %v", cmd.ID, events, err)
					}
					return
				}
				h.answered[cmd.ID] = true
				answers := 0
				for _, e := range events {
					if e.Answers != nil {
						answers++
					}
				}
				if answers != 1 || events[0].Answers == nil {
					rt.Fatalf("%d of %d events answer the command, want the first alone", answers, len(events))
				}
				if _, created := events[0].Fact.(integration.Created); created && before >= h.quota {
					rt.Fatalf("created number %d with a quota of %d", before+1, h.quota)
				}
				h.check(rt, w.apply(events))
			},
			"mapping": func(rt *rapid.T) {
				id := anID.Draw(rt, "id")
				i, _ := w.state.Integration(id)
				finding := rapid.SampledFrom([]integration.Finding{
					integration.MappingWasMade{Platform: "p"},
					integration.MappingWasMade{Platform: "p"},
					integration.MappingWasRemoved{},
					integration.MappingWasRefused{Reason: "Throttling"},
					integration.MappingWasRefused{Reason: "EntityAlreadyExists", Permanent: true},
				}).Draw(rt, "finding")
				h.check(rt, w.result(id, i.Mapping.Attempt-int64(rapid.IntRange(0, 1).Draw(rt, "late")), finding))
			},
			"trust": func(rt *rapid.T) {
				id := anID.Draw(rt, "id")
				i, _ := w.state.Integration(id)
				h.check(rt, w.result(id, i.Trust.Attempt-int64(rapid.IntRange(0, 1).Draw(rt, "late")), integration.TrustWasProbed{Report: reports.Draw(rt, "report")}))
			},
			"wake": func(rt *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 7200).Draw(rt, "seconds")) * time.Second)
				h.check(rt, w.result(anID.Draw(rt, "id"), 0, integration.TimerIsDue{}))
			},
			"": h.holds,
		})
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

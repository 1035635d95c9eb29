package integration_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/integration"
)

// The records of one transaction are written in no particular order, and restored in the order in which they stand.
func TestARestoreInAnyOrderDecidesAlike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rt)
		original, restored := h.w.state, integration.NewState()
		restore(rt, restored, original)
		inputs := map[string]func(*rapid.T){
			"command": h.command, "command again": h.command, "mapping": h.mapping, "replace": h.replace, "rounds": h.rounds, "trust": h.trust, "wake": h.wake,
		}
		rt.Repeat(map[string]func(*rapid.T){
			"transaction": func(rt *rapid.T) {
				h.w.state = original.Fork()
				for range rapid.IntRange(1, 5).Draw(rt, "inputs") {
					inputs[rapid.SampledFrom(slices.Sorted(maps.Keys(inputs))).Draw(rt, "input")](rt)
				}
				restore(rt, restored, h.w.state)
				original.Merge(h.w.state)
				h.w.state = original
			},
			"": func(rt *rapid.T) {
				h.holds(rt)
				sameIndexes(rt, original, restored)
			},
		})
		sameState(rt, original, restored)
	})
}

// replace deletes an integration and makes another for the same customer, with the same token.
func (h *history) replace(rt *rapid.T) {
	id := h.anID(rt)
	i, ok := h.w.state.Integration(id)
	if !ok || i.Deleting() {
		return
	}
	h.check(rt, h.w.do(control, integration.Delete{Integration: id, Force: true}))
	made := h.w.do(control, integration.Create{Environment: i.Environment, Name: "n", Config: i.Config})
	h.check(rt, made)
	for c, b := range i.Connectors {
		again := integration.Bind{Integration: made[0].Integration, Connector: c, Terms: b.Terms}
		for _, t := range b.Tokens {
			again.TokenClaim = claimed(t.Hash)
		}
		h.check(rt, h.w.do(control, again))
	}
}

// restore applies to s the records of what changed, in some order.
func restore(rt *rapid.T, s, changed *integration.State) {
	records := map[string]func(){}
	if o, ok := changed.ChangedOrganization(); ok {
		records["organization"] = func() { s.SetOrganization(read(rt, o)) }
	}
	for id, i := range changed.Integrations() {
		records[string(id)] = func() {
			if i == nil {
				s.RemoveIntegration(id)
			} else {
				s.SetIntegration(read(rt, *i))
			}
		}
	}
	for p, a := range changed.Accounts() {
		records["account "+string(p)] = func() {
			if a == nil {
				s.RemoveAccount(p)
			} else {
				s.SetAccount(read(rt, *a))
			}
		}
	}
	for a, r := range changed.ChangedReceipts() {
		records[a.Source+" "+a.ID] = func() { s.SetReceipt(read(rt, *r)) }
	}
	for _, name := range rapid.Permutation(slices.Sorted(maps.Keys(records))).Draw(rt, "order") {
		records[name]()
	}
}

// read is what a reader makes of v as it is written.
func read[T any](rt *rapid.T, v T) (back T) {
	if err := json.Unmarshal(write(rt, v), &back); err != nil {
		rt.Fatal(err)
	}
	return back
}

func write(rt *rapid.T, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		rt.Fatal(err)
	}
	return text
}

func sameIndexes(rt *rapid.T, want, got *integration.State) {
	if got.Count() != want.Count() {
		rt.Fatalf("%d integrations counted, want %d", got.Count(), want.Count())
	}
	if have, want := got.Indexes(), want.Indexes(); !maps.Equal(have, want) {
		rt.Fatalf("indexes:\ngot  %v\nwant %v", have, want)
	}
}

func sameState(rt *rapid.T, want, got *integration.State) {
	for what, held := range map[string][2]any{
		"integrations": {maps.Collect(want.Integrations()), maps.Collect(got.Integrations())},
		"accounts":     {maps.Collect(want.Accounts()), maps.Collect(got.Accounts())},
		"receipts":     {receipts(want), receipts(got)},
	} {
		if want, got := write(rt, held[0]), write(rt, held[1]); !bytes.Equal(got, want) {
			rt.Fatalf("%s:\ngot  %s\nwant %s", what, got, want)
		}
	}
	var asks []integration.Ask
	for _, e := range environments {
		for _, c := range configs {
			asks = append(asks, integration.Create{Environment: e, Name: "n", Config: c})
		}
	}
	for p := range want.Accounts() {
		asks = append(asks, integration.CreateKey{Account: p, KeyClaim: aKey(keyA)}, integration.CreateKey{Account: p, KeyClaim: aKey(keyB)},
			integration.CreateAccount{Kind: integration.User, Name: "n", Identities: []integration.OIDC{github.OIDC}})
	}
	for id := range want.Integrations() {
		asks = append(asks, integration.Delete{Integration: id}, integration.Validate{Integration: id})
		for _, hash := range hashes {
			asks = append(asks, integration.Bind{Integration: id, Connector: "lcc-new", TokenClaim: claimed(hash)})
		}
	}
	for _, ask := range asks {
		decide := func(s *integration.State) []integration.Event {
			events, err := integration.Decide(s, integration.Command{
				Source: "after", ID: "1", Organization: org, Actor: control, Ask: ask,
			}, integration.Inputs{Now: start, ID: "cspi-after", ExternalID: "e"})
			if err != nil {
				rt.Fatal(err)
			}
			return events
		}
		if got, want := decide(got), decide(want); !reflect.DeepEqual(got, want) {
			rt.Fatalf("%s %+v:\ngot  %+v\nwant %+v", ask.Type(), ask, got, want)
		}
	}
}

func receipts(s *integration.State) map[string]*integration.Receipt {
	all := map[string]*integration.Receipt{}
	for a, r := range s.ChangedReceipts() {
		all[a.Source+" "+a.ID] = r
	}
	return all
}

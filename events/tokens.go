package events

import (
	"slices"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/rolebridge/rolebridge/integration"
)

// tokens finds bindings by the hash of a token, and by name. Reading takes no lock and allocates nothing: every read of
// every connector comes through here, and neither a record that arrives nor somebody who walks the whole table may hold it
// up.
//
// There is one writer, the table with its lock held. What a hash leads to is never changed, only replaced, so a reader
// sees it as it was before a change or as it is after, and nothing in between.
type tokens struct {
	holders *xsync.Map[string, []Holder]
	bound   *xsync.Map[integration.ID, owned] // integrations that connectors are bound to
}

// owned is an integration with the place of its organization, which changes without it.
type owned struct {
	organization *cell
	integration  *integration.Integration
}

// cell is the place of an organization.
type cell = atomic.Pointer[integration.Organization]

// Holder is one binding that has a token's hash. Immutable.
type Holder struct {
	of        owned
	connector integration.ConnectorID
}

// HolderOf returns a holder whose organization stays as it is in b, for replicas that are not a [Table].
func HolderOf(b Binding) Holder {
	home := new(cell)
	home.Store(b.Organization)
	return Holder{owned{home, b.Integration}, b.Connector}
}

// Binding returns the binding with its organization as that is now; ok is false when the organization is not there.
func (h Holder) Binding() (b Binding, ok bool) {
	o := h.of.organization.Load()
	return Binding{Organization: o, Integration: h.of.integration, Connector: h.connector}, o != nil
}

func newTokens() tokens {
	return tokens{holders: xsync.NewMap[string, []Holder](), bound: xsync.NewMap[integration.ID, owned]()}
}

// find returns the bindings that have a token with this hash.
func (t *tokens) find(hash string) []Holder {
	all, _ := t.holders.Load(hash)
	return all
}

// binding returns the binding of a connector.
func (t *tokens) binding(id integration.ID, c integration.ConnectorID) (Binding, bool) {
	of, ok := t.bound.Load(id)
	if !ok {
		return Binding{}, false
	}
	if _, ok := of.integration.Connectors[c]; !ok {
		return Binding{}, false
	}
	return Holder{of, c}.Binding()
}

// replace puts the bindings of now, whose organization is at home, in the place of those of was; both may be nil. A hash
// that both have is there throughout.
func (t *tokens) replace(was, now *integration.Integration, home *cell) {
	ours := map[string][]Holder{}
	if was != nil {
		for _, b := range was.Connectors {
			for _, token := range b.Tokens {
				ours[token.Hash] = nil
			}
		}
	}
	if now != nil {
		for c, b := range now.Connectors {
			for _, token := range b.Tokens {
				ours[token.Hash] = append(ours[token.Hash], Holder{owned{home, now}, c})
			}
		}
	}
	for hash, next := range ours {
		all, _ := t.holders.Load(hash)
		all = slices.DeleteFunc(slices.Clone(all), func(h Holder) bool { return was != nil && h.of.integration.ID == was.ID })
		if all = append(all, next...); len(all) == 0 {
			t.holders.Delete(hash)
			continue
		}
		t.holders.Store(hash, slices.Clip(all))
	}
	switch {
	case now != nil && len(now.Connectors) > 0:
		t.bound.Store(now.ID, owned{home, now})
	case was != nil:
		t.bound.Delete(was.ID)
	}
}

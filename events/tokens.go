package events

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"github.com/rolebridge/rolebridge/integration"
)

// tokens finds bindings by the hash of their token. Reading takes no lock and allocates nothing: every read of every
// connector comes through here, and neither a record that arrives nor somebody who walks the whole table may hold it up.
//
// There is one writer, the table with its lock held. What a hash leads to is never changed, only replaced, so a reader
// sees it as it was before a change or as it is after, and nothing in between.
type tokens struct {
	holders *xsync.Map[string, []holder]
	barred  map[claim]struct{} // organizations that bound a hash which another had bound before; the writer's
}

// holder is one binding that has a token's hash.
type holder struct {
	organization *cell
	integration  *integration.Integration
	connector    integration.ConnectorID
	barred       bool
}

// cell is the place of an organization, which changes without its integrations.
type cell = atomic.Pointer[integration.Organization]

// claim is an organization's binding of a hash.
type claim struct {
	hash         string
	organization integration.OrganizationID
}

func newTokens() tokens {
	return tokens{holders: xsync.NewMap[string, []holder](), barred: map[claim]struct{}{}}
}

// find returns the binding that counts.
func (t *tokens) find(hash string) (Binding, bool) {
	all, _ := t.holders.Load(hash)
	for _, h := range all {
		if h.barred {
			continue
		}
		o := h.organization.Load()
		return Binding{Organization: o, Integration: h.integration, Connector: h.connector}, o != nil
	}
	return Binding{}, false
}

// replace puts the bindings of now, whose organization is at home, in the place of those of was; both may be nil. A hash
// that both have is there throughout.
func (t *tokens) replace(was, now *integration.Integration, home *cell) {
	ours := map[string][]holder{}
	if was != nil {
		for _, b := range was.Connectors {
			ours[b.TokenHash] = nil
		}
	}
	if now != nil {
		for c, b := range now.Connectors {
			ours[b.TokenHash] = append(ours[b.TokenHash], holder{organization: home, integration: now, connector: c})
		}
	}
	for hash, next := range ours {
		all, _ := t.holders.Load(hash)
		all = slices.DeleteFunc(slices.Clone(all), func(h holder) bool { return was != nil && h.integration.ID == was.ID })
		for _, h := range next {
			t.dispute(hash, h, all)
			all = append(all, h)
		}
		if len(all) == 0 {
			t.holders.Delete(hash)
			continue
		}
		for n, h := range all {
			_, all[n].barred = t.barred[claim{hash, h.integration.Organization}]
		}
		t.holders.Store(hash, slices.Clip(all))
	}
}

// dispute bars the later of two organizations that bind the same hash: whoever copies a hash must not come into its
// place when its owner lets go of it. It stays barred for as long as this table lives.
func (t *tokens) dispute(hash string, h holder, others []holder) {
	for _, other := range others {
		switch {
		case other.integration.Organization == h.integration.Organization:
		case h.bound().Before(other.bound()):
			t.barred[claim{hash, other.integration.Organization}] = struct{}{}
		default:
			t.barred[claim{hash, h.integration.Organization}] = struct{}{}
		}
	}
}

func (h holder) bound() time.Time { return h.integration.Connectors[h.connector].BoundAt }

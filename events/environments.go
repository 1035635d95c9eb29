package events

import (
	"iter"

	"github.com/tidwall/btree"

	"github.com/rolebridge/rolebridge/integration"
)

// environments are the integrations of each environment that are not being deleted, in the order of their ids. A page of a
// hundred costs the same however many there are.
type environments map[place]*btree.BTreeG[*integration.Integration]

type place struct {
	organization integration.OrganizationID
	environment  integration.EnvironmentID
}

func placeOf(i *integration.Integration) place { return place{i.Organization, i.Environment} }

func byID(a, b *integration.Integration) bool { return a.ID < b.ID }

// replace puts is in the place of was; either may be nil.
func (e environments) replace(was, is *integration.Integration) {
	if was != nil && (is == nil || is.Deleting() || placeOf(is) != placeOf(was)) {
		if all := e[placeOf(was)]; all != nil {
			if all.Delete(was); all.Len() == 0 {
				delete(e, placeOf(was))
			}
		}
	}
	if is == nil || is.Deleting() {
		return
	}
	all := e[placeOf(is)]
	if all == nil {
		all = btree.NewBTreeG(byID) // with locks of its own: copies are made under a read lock of the table
		e[placeOf(is)] = all
	}
	all.Set(is)
}

// List yields the integrations of an environment that are not being deleted and whose ids are greater than after, by id: those
// of the moment in which the loop begins. A loop, however long, keeps nobody from the table.
func (t *Table) List(o integration.OrganizationID, e integration.EnvironmentID, after integration.ID) iter.Seq[*integration.Integration] {
	return func(yield func(*integration.Integration) bool) {
		t.mu.RLock()
		all := t.environments[place{o, e}]
		if all != nil {
			all = all.Copy() // of the root alone; what is written later copies the nodes that it changes
		}
		t.mu.RUnlock()
		if all == nil {
			return
		}
		all.Ascend(&integration.Integration{ID: after}, func(i *integration.Integration) bool { return i.ID == after || yield(i) })
	}
}

// Listed is how many integrations of an environment are not being deleted.
func (t *Table) Listed(o integration.OrganizationID, e integration.EnvironmentID) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if all := t.environments[place{o, e}]; all != nil {
		return all.Len()
	}
	return 0
}

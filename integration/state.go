package integration

import (
	"iter"
	"time"
)

// State is all that decisions about one organization depend on. A decider works on a [State.Fork], which reads through
// to its base and keeps its own changes, and merges it when what was decided is committed.
//
// Not safe for concurrent use: one decider owns it.
type State struct {
	base         *State
	organization *Organization
	integrations map[ID]*Integration    // nil marks a deleted one
	accounts     map[Principal]*Account // nil marks a deleted one
	customers    map[customerKey]ID     // live integrations by customer identity; "" marks a freed one
	tokens       map[string]binder      // bindings by token hash; the zero binder marks a freed one
	receipts     map[Asker]*Receipt     // answers to commands
	live         int                    // integrations that count against the quota
}

type customerKey struct {
	environment EnvironmentID
	kind        Kind
	customer    string
}

// customerKeyOf is the same for all ways to write one customer identity.
func customerKeyOf(e EnvironmentID, c Config) customerKey {
	return customerKey{e, c.Kind, c.canonical().Customer}
}

type binder struct {
	integration ID
	connector   ConnectorID
}

// Asker identifies a command: its source and id, as in CloudEvents.
type Asker struct {
	Source, ID string
}

// Receipt remembers how a command was answered, so that the same command sent again is not decided again, and so that
// whoever lost the answer can look it up.
type Receipt struct {
	Organization OrganizationID `json:"organization"`
	Source       string         `json:"source"`
	ID           string         `json:"id"`
	Digest       string         `json:"digest"`
	// Integration is the aggregate that the answer is about; empty for the organization.
	Integration ID `json:"integration,omitempty"`
	// Account is set instead when it is about an account.
	Account Principal `json:"account,omitempty"`
	Version int64     `json:"version,omitempty"`
	Refusal *Refusal  `json:"refusal,omitempty"`
	// At is when it was decided. Receipts are dropped [ReceiptLife] later.
	At time.Time `json:"at"`
}

// ReceiptLife is how long a repeated command is recognised: as long as records stay on the commands topic, so a
// command that is read again is always recognised.
const ReceiptLife = 7 * 24 * time.Hour

// NewState returns the state of an organization that does not exist yet.
func NewState() *State {
	return &State{
		integrations: map[ID]*Integration{}, accounts: map[Principal]*Account{}, customers: map[customerKey]ID{}, tokens: map[string]binder{},
		receipts: map[Asker]*Receipt{},
	}
}

// Fork returns a state that reads through to s and keeps changes to itself. s must not change while forks of it live.
func (s *State) Fork() *State {
	f := NewState()
	f.base, f.live = s, s.live
	return f
}

// Merge moves the changes of fork f into s, which f was forked from. f must not be used afterwards.
func (s *State) Merge(f *State) {
	if f.organization != nil {
		s.organization = f.organization
	}
	mergeMap(s.integrations, f.integrations, func(v *Integration) bool { return v == nil })
	mergeMap(s.accounts, f.accounts, func(v *Account) bool { return v == nil })
	mergeMap(s.customers, f.customers, func(v ID) bool { return v == "" })
	mergeMap(s.tokens, f.tokens, func(v binder) bool { return v == binder{} })
	mergeMap(s.receipts, f.receipts, func(v *Receipt) bool { return v == nil })
	s.live = f.live
}

func mergeMap[K comparable, V any](into, from map[K]V, gone func(V) bool) {
	for k, v := range from {
		if gone(v) {
			delete(into, k)
		} else {
			into[k] = v
		}
	}
}

// Organization returns the organization; ok is false while it does not exist.
func (s *State) Organization() (o Organization, ok bool) {
	for at := s; at != nil; at = at.base {
		if at.organization != nil {
			return *at.organization, true
		}
	}
	return Organization{}, false
}

// lookup is what the nearest of s and its bases says of k. The zero value stands where k was removed.
func lookup[K, V comparable](s *State, of func(*State) map[K]V, k K) (V, bool) {
	var none V
	for at := s; at != nil; at = at.base {
		if v, ok := of(at)[k]; ok {
			return v, v != none
		}
	}
	return none, false
}

// Integration returns the integration with this id, also one that is being deleted.
func (s *State) Integration(id ID) (i Integration, ok bool) {
	found, ok := lookup(s, func(at *State) map[ID]*Integration { return at.integrations }, id)
	if !ok {
		return Integration{}, false
	}
	return *found, true
}

// Empty reports whether a root holds nothing: no organization, no integration, no account, no receipt.
func (s *State) Empty() bool {
	return s.organization == nil && len(s.integrations) == 0 && len(s.accounts) == 0 && len(s.receipts) == 0
}

// Count is the number of integrations that count against the quota: all but those being deleted.
func (s *State) Count() int { return s.live }

// Receipt returns how a command was answered, if it was.
func (s *State) Receipt(a Asker) (r Receipt, ok bool) {
	found, ok := lookup(s, func(at *State) map[Asker]*Receipt { return at.receipts }, a)
	if !ok {
		return Receipt{}, false
	}
	return *found, true
}

// customer returns the live integration with this customer identity in this environment.
func (s *State) customer(k customerKey) (ID, bool) {
	return lookup(s, func(at *State) map[customerKey]ID { return at.customers }, k)
}

// token returns whom a token's hash belongs to.
func (s *State) token(hash string) (binder, bool) {
	return lookup(s, func(at *State) map[string]binder { return at.tokens }, hash)
}

// Integrations yields what this state holds itself: for a root all integrations, for a fork those that differ from its
// base, nil when deleted.
func (s *State) Integrations() iter.Seq2[ID, *Integration] {
	return func(yield func(ID, *Integration) bool) {
		for id, i := range s.integrations {
			if !yield(id, i) {
				return
			}
		}
	}
}

// ChangedOrganization returns the organization if this fork changed it.
func (s *State) ChangedOrganization() (Organization, bool) {
	if s.organization == nil {
		return Organization{}, false
	}
	return *s.organization, true
}

// ChangedReceipts yields the receipts that this fork added (or, when nil, dropped).
func (s *State) ChangedReceipts() iter.Seq2[Asker, *Receipt] {
	return func(yield func(Asker, *Receipt) bool) {
		for a, r := range s.receipts {
			if !yield(a, r) {
				return
			}
		}
	}
}

// SetOrganization puts o in place, as when restoring from a log.
func (s *State) SetOrganization(o Organization) { s.organization = &o }

// SetReceipt puts r in place, as when restoring from a log.
func (s *State) SetReceipt(r Receipt) { s.receipts[Asker{r.Source, r.ID}] = &r }

// DropReceipt forgets the receipt of a.
func (s *State) DropReceipt(a Asker) { drop(s, s.receipts, a) }

// drop marks key as gone in a fork, where the base may still hold it, and deletes it from a root.
func drop[K comparable, V any](s *State, in map[K]V, key K) {
	if s.base == nil {
		delete(in, key)
		return
	}
	var gone V
	in[key] = gone
}

// SetIntegration puts i in place and keeps the indexes right, as when restoring from a log. Of what changed together the
// order does not matter.
func (s *State) SetIntegration(i Integration) {
	if was, ok := s.Integration(i.ID); ok {
		s.unindex(was)
	}
	if !i.Deleting() {
		s.live++
		if !i.Config.Draft() {
			s.customers[customerKeyOf(i.Environment, i.Config)] = i.ID
		}
		for c, b := range i.Connectors {
			for _, t := range b.Tokens {
				s.tokens[t.Hash] = binder{i.ID, c}
			}
		}
	}
	s.integrations[i.ID] = &i
}

// RemoveIntegration forgets the integration with this id, as when restoring from a log.
func (s *State) RemoveIntegration(id ID) {
	if was, ok := s.Integration(id); ok {
		s.unindex(was)
		drop(s, s.integrations, id)
	}
}

// unindex drops what points to i, and only that: when the state is restored, whoever took i's place may be there already.
func (s *State) unindex(i Integration) {
	if i.Deleting() {
		return
	}
	s.live--
	if !i.Config.Draft() {
		key := customerKeyOf(i.Environment, i.Config)
		if holder, ok := s.customer(key); ok && holder == i.ID {
			drop(s, s.customers, key)
		}
	}
	for c, b := range i.Connectors {
		for _, t := range b.Tokens {
			if holder, ok := s.token(t.Hash); ok && holder == (binder{i.ID, c}) {
				drop(s, s.tokens, t.Hash)
			}
		}
	}
}

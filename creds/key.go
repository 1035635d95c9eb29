package creds

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"slices"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// Recipe is everything that a session depends on. Each field is an input of its [Key]: what is not in the key leaks from
// one tenant to another sooner or later. A connector's token is not in it, so rotating a token costs no session.
type Recipe struct {
	Organization integration.OrganizationID
	Integration  integration.ID
	// Connector is empty in the recipe of the platform role, which all connectors of an integration share.
	Connector integration.ConnectorID
	// Epoch of the integration: raising it makes every session cached so far unreachable.
	Epoch int64
	// Chain is the roles in the order in which they are assumed: the platform's, then the customer's.
	Chain       []string
	ExternalID  string
	SessionName string
	Tags        map[string]string
	// Policy narrows the session; empty does not.
	Policy string
	// SourceIdentity of the session; empty has none.
	SourceIdentity string
	Region         string
	Duration       time.Duration
}

// Key identifies a session in every cache. Two keys are equal exactly when all inputs of their recipes are.
type Key struct {
	Sum [sha256.Size]byte
	// Epoch is in Sum too; it stands here for the sealing of entries and for dropping old ones.
	Epoch int64
}

// String is the hash in hexadecimal. It tells nothing about the inputs and may be logged.
func (k Key) String() string { return hex.EncodeToString(k.Sum[:]) }

// keyFormat opens every encoding, so that another encoding never meets this one's keys.
const keyFormat = "rolebridge session key 2"

// Key hashes the recipe's canonical encoding: each text with its length before it, each list with its count.
func (r Recipe) Key() Key {
	h := sha256.New()
	text(h, keyFormat)
	text(h, string(r.Organization))
	text(h, string(r.Integration))
	text(h, string(r.Connector))
	number(h, uint64(r.Epoch)) //nolint:gosec // the same bits are as good
	number(h, uint64(len(r.Chain)))
	for _, role := range r.Chain {
		text(h, role)
	}
	text(h, r.ExternalID)
	text(h, r.SessionName)
	number(h, uint64(len(r.Tags)))
	for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
		text(h, name)
		text(h, r.Tags[name])
	}
	text(h, r.Policy)
	text(h, r.SourceIdentity)
	text(h, r.Region)
	number(h, uint64(r.Duration)) //nolint:gosec // as above
	k := Key{Epoch: r.Epoch}
	h.Sum(k.Sum[:0])
	return k
}

func text(h hash.Hash, s string) {
	number(h, uint64(len(s)))
	h.Write([]byte(s))
}

func number(h hash.Hash, n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	h.Write(b[:])
}

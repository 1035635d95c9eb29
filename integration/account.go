package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"iter"
	"maps"
	"regexp"
	"time"
)

// Account is a principal that proves who it is at the api: a user or a service account. Its ways to do so are API keys
// and tokens of an OpenID Connect issuer. What it may do is said by role bindings, not here. Values are immutable.
type Account struct {
	ID           Principal      `json:"id"`
	Organization OrganizationID `json:"organization"`
	Kind         AccountKind    `json:"kind"`
	Name         string         `json:"display_name"`
	Description  string         `json:"description,omitempty"`
	// Identities are whose tokens prove the account; at most [MaxIdentities], all different.
	Identities []OIDC `json:"identities,omitempty"`
	// Keys are at most [MaxKeys].
	Keys      map[KeyID]APIKey `json:"keys,omitempty"`
	Version   int64            `json:"version"`
	CreatedAt time.Time        `json:"created_at"`
	CreatedBy Principal        `json:"created_by"`
	UpdatedAt time.Time        `json:"updated_at"`
}

// AccountKind says what is behind an account.
type AccountKind string

// The kinds of account.
const (
	User           AccountKind = "user"
	ServiceAccount AccountKind = "service-account"
)

// prefixes open the ids of accounts that a decision makes, as users of the well-known control plane know them.
var prefixes = map[AccountKind]string{User: "u-", ServiceAccount: "sa-"}

// KeyID is an API key's, which its owner sends together with the secret: 16 upper-case letters and digits.
type KeyID string

var keyIDs = regexp.MustCompile(`^[A-Z0-9]{16}$`)

// APIKey is what is kept of an API key: never the secret.
type APIKey struct {
	// Proof is what [KeyProof] makes of the secret.
	Proof       string    `json:"proof"`
	Name        string    `json:"display_name,omitempty"`
	Description string    `json:"description,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	CreatedBy   Principal `json:"created_by"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"` // zero is never
}

// Alive reports whether the key has not expired at now.
func (k APIKey) Alive(now time.Time) bool { return k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt) }

// Proves reports, in a time that tells nothing, whether proof is the key's.
func (k APIKey) Proves(proof string) bool {
	return k.Proof != "" && subtle.ConstantTimeCompare([]byte(k.Proof), []byte(proof)) == 1
}

// KeyClaim is an API key as the asker sends it: enough to recognise its secret, not enough to use it.
type KeyClaim struct {
	Key         KeyID     `json:"key"`
	Proof       string    `json:"key_proof"`
	Name        string    `json:"display_name,omitempty"`
	Description string    `json:"description,omitempty"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
}

// ClaimKey makes the claim of an API key. The secret should be made of at least 256 random bits.
func ClaimKey(o OrganizationID, of Principal, key KeyID, secret string) KeyClaim {
	return KeyClaim{Key: key, Proof: KeyProof(o, of, key, secret)}
}

const keyDomain = "rolebridge api key 1"

// KeyProof is what is kept of an API key's secret: the HMAC-SHA256, with the secret as key, of "rolebridge api key 1", the
// organization, the account and the key's id, a line feed between each two, in lower-case hexadecimal. It names its place:
// whoever copies it to another account or organization has a key that the secret does not open.
func KeyProof(o OrganizationID, of Principal, key KeyID, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(keyDomain + "\n" + string(o) + "\n" + string(of) + "\n" + string(key)))
	return hex.EncodeToString(mac.Sum(nil))
}

// Bounds of what is kept of the people and programs of an organization. A record has well under 100 KB.
const (
	MaxAccounts    = 1000
	MaxKeys        = 10
	MaxIdentities  = 5
	maxDescription = 500
)

func (c KeyClaim) check(now time.Time) *Refusal {
	if !keyIDs.MatchString(string(c.Key)) {
		return refuseField("/key", "want the key's id: 16 upper-case letters and digits")
	}
	if !hexDigest.MatchString(c.Proof) {
		return refuseField("/key_proof", "want the proof of the key's secret: 64 hexadecimal digits in lower case")
	}
	if c.Name != "" {
		if r := checkName(c.Name); r != nil {
			return r
		}
	}
	if r := checkDescription(c.Description); r != nil {
		return r
	}
	switch life := c.ExpiresAt.Sub(now); {
	case c.ExpiresAt.IsZero():
	case life <= 0:
		return refuseField("/expires_at", "has passed")
	case life > maxTokenLife:
		return refuseField("/expires_at", "is more than ten years away; leave it out for a key that does not expire")
	}
	return nil
}

// apiKey is the key that the claim adds at now.
func (c KeyClaim) apiKey(now time.Time, by Principal) APIKey {
	return APIKey{Proof: c.Proof, Name: c.Name, Description: c.Description, CreatedAt: now, CreatedBy: by, ExpiresAt: c.ExpiresAt}
}

// canonical is the claim as it is stored: time zones do not count.
func (c KeyClaim) canonical() KeyClaim {
	if !c.ExpiresAt.IsZero() {
		c.ExpiresAt = c.ExpiresAt.UTC()
	}
	return c
}

func checkDescription(text string) *Refusal {
	if !printable(text, maxDescription) {
		return refuseField("/description", "want at most %d printable characters without white space around them", maxDescription)
	}
	return nil
}

func (a Account) withKey(id KeyID, k APIKey) Account {
	a.Keys = with(a.Keys, id, k)
	return a
}

func (a Account) withoutKey(id KeyID) Account {
	a.Keys = without(a.Keys, id)
	return a
}

// Account returns the account of a principal.
func (s *State) Account(p Principal) (a Account, ok bool) {
	found, ok := lookup(s, func(at *State) map[Principal]*Account { return at.accounts }, p)
	if !ok {
		return Account{}, false
	}
	return *found, true
}

// Accounts yields what this state holds itself: for a root all accounts, for a fork those that differ from its base, nil
// when deleted.
func (s *State) Accounts() iter.Seq2[Principal, *Account] { return maps.All(s.accounts) }

// SetAccount puts a in place, as when restoring from a log.
func (s *State) SetAccount(a Account) { s.accounts[a.ID] = &a }

// RemoveAccount forgets an account, as when restoring from a log.
func (s *State) RemoveAccount(p Principal) { drop(s, s.accounts, p) }

// everyAccount are all accounts of the organization, through all bases; at most [MaxAccounts].
func (s *State) everyAccount() map[Principal]*Account {
	all := map[Principal]*Account{}
	if s.base != nil {
		all = s.base.everyAccount()
	}
	for p, a := range s.accounts {
		if a == nil {
			delete(all, p)
		} else {
			all[p] = a
		}
	}
	return all
}

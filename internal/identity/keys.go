package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// maxKeys bounds a key set; large issuers have fewer than ten.
const maxKeys = 100

// RSA keys outside of these sizes are not used: smaller ones can be broken, larger ones cost more than a token is worth.
const (
	minRSA = 2048
	maxRSA = 8192
)

// key is one that tokens may be signed with.
type key struct {
	jose.JSONWebKey
	print string // RFC 7638
}

// keySet is what an issuer published. Immutable.
type keySet struct {
	at     time.Time
	keys   []key
	prints map[string]struct{}
}

// parseKeys reads a JWK set. Keys of kinds that we do not use are passed over, as RFC 7517, section 5 demands.
func parseKeys(text []byte) (*keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("the key set is no JSON object with keys")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys, at most %d are read", len(set.Keys), maxKeys)
	}
	s := &keySet{prints: map[string]struct{}{}}
	for _, raw := range set.Keys {
		if private(raw) {
			continue
		}
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil || !k.IsPublic() || k.Use != "" && k.Use != "sig" || !usable(k.Key) {
			continue
		}
		sum, err := k.Thumbprint(crypto.SHA256)
		if err != nil {
			continue
		}
		s.keys = append(s.keys, key{k, string(sum)})
		s.prints[string(sum)] = struct{}{}
	}
	if len(s.keys) == 0 {
		return nil, errors.New("the key set has no key that we use")
	}
	return s, nil
}

// private reports whether a key has a part that nobody publishes: RFC 7518, section 6, and RFC 9964. The library computes with
// them, and says that such keys are not for it to read from strangers.
func private(raw json.RawMessage) bool {
	var parts map[string]json.RawMessage
	if json.Unmarshal(raw, &parts) != nil {
		return true
	}
	return slices.ContainsFunc([]string{"k", "d", "p", "q", "dp", "dq", "qi", "oth", "priv"}, func(name string) bool { return parts[name] != nil })
}

func usable(k any) bool {
	switch k := k.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384()
	case ed25519.PublicKey:
		return true
	}
	return false
}

// find returns the key for a token's header: that of its kid, or without a kid the only one that fits; nil if there is
// none, or more than one. The algorithm has to be the key's, not only one of ours.
func (s *keySet) find(h jose.Header) (found *key) {
	if s == nil {
		return nil
	}
	for n := range s.keys {
		k := &s.keys[n]
		if h.KeyID != "" && k.KeyID != h.KeyID || k.Algorithm != "" && k.Algorithm != h.Algorithm || !fits(h.Algorithm, k.Key) {
			continue
		}
		if found != nil {
			return nil
		}
		found = k
	}
	return found
}

// fits reports whether keys of this kind sign with this algorithm.
func fits(alg string, k any) bool {
	switch k := k.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == string(jose.ES256) && k.Curve == elliptic.P256() || alg == string(jose.ES384) && k.Curve == elliptic.P384()
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	}
	return false
}

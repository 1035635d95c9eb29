package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"time"
)

// Token is one token of a binding. The token itself is never stored.
type Token struct {
	// Hash is the SHA-256 of the token, 64 hexadecimal digits in lower case: what a token is found by.
	Hash string `json:"sha256"`
	// Proof is what [TokenProof] makes of the token. Hashes are read by whoever reads Kafka, and could be bound again by
	// somebody else; without the token nobody can make its proof for another binding.
	Proof     string    `json:"proof,omitempty"`
	AddedAt   time.Time `json:"added_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero is never
}

// Alive reports whether the token has not expired at now.
func (t Token) Alive(now time.Time) bool { return t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt) }

// Proves reports, in a time that tells nothing, whether proof is the token's. One without a proof proves nothing.
func (t Token) Proves(proof string) bool {
	return t.Proof != "" && subtle.ConstantTimeCompare([]byte(t.Proof), []byte(proof)) == 1
}

// TokenClaim is a token as the asker sends it: enough to recognise it, not enough to use it.
type TokenClaim struct {
	Hash  string `json:"token_sha256,omitempty"`
	Proof string `json:"token_proof,omitempty"`
	// ExpiresAt is when the token ends; zero is never.
	ExpiresAt time.Time `json:"token_expires_at,omitzero"`
}

// ClaimToken makes the claim of a token for one binding. The token should be made of at least 256 random bits; one that is
// not a [StrongToken] opens nothing.
func ClaimToken(o OrganizationID, id ID, c ConnectorID, token string) TokenClaim {
	return TokenClaim{Hash: TokenHash(token), Proof: TokenProof(o, id, c, token)}
}

// Bounds of a token's text. 256 random bits have 43 characters in base64 and more in any other common form, and eight of
// them differ in each, digits alone included.
const (
	MinToken          = 43
	minTokenDifferent = 8
)

// StrongToken reports whether a token has the length and the variety of 256 random bits. Hashes of tokens are read by
// whoever reads Kafka, who could find a token that a person chose by trying. The decider never sees a token, so brokers ask.
func StrongToken(token string) bool {
	if len(token) < MinToken {
		return false
	}
	var seen [256]bool
	different := 0
	for _, c := range []byte(token) {
		if !seen[c] {
			seen[c] = true
			different++
		}
	}
	return different >= minTokenDifferent
}

// TokenHash is the SHA-256 of a token in lower-case hexadecimal.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// proofDomain opens what a proof is made of, so that it is never taken for something else made with the token.
const proofDomain = "rolebridge token proof 1"

// TokenProof shows that whoever made it had the token, for this binding and no other: the HMAC-SHA256, with the token
// as key, of "rolebridge token proof 1", the organization, the integration and the connector, a line feed between each
// two, in lower-case hexadecimal. None of these can hold a line feed.
func TokenProof(o OrganizationID, id ID, c ConnectorID, token string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(proofDomain + "\n" + string(o) + "\n" + string(id) + "\n" + string(c)))
	return hex.EncodeToString(mac.Sum(nil))
}

// Bounds of a rotation: how long the tokens before the new one still work.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 7 * 24 * time.Hour
)

// maxTokenLife is the longest life that a token may be given, if it is given one.
const maxTokenLife = 10 * 366 * 24 * time.Hour

// canonical is the claim as it is stored: time zones do not count.
func (t TokenClaim) canonical() TokenClaim {
	if !t.ExpiresAt.IsZero() {
		t.ExpiresAt = t.ExpiresAt.UTC()
	}
	return t
}

// given reports whether a token is claimed at all.
func (t TokenClaim) given() bool { return t != TokenClaim{} }

// token is the token that the claim adds at now.
func (t TokenClaim) token(now time.Time) Token {
	return Token{Hash: t.Hash, Proof: t.Proof, AddedAt: now, ExpiresAt: t.ExpiresAt}
}

func (t TokenClaim) check(now time.Time) *Refusal {
	if !hexDigest.MatchString(t.Hash) {
		return refuseField("/token_sha256", "want the SHA-256 of the connector's token: 64 hexadecimal digits in lower case")
	}
	if t.Hash == TokenHash("") {
		return refuseField("/token_sha256", "is the hash of an empty token")
	}
	if !hexDigest.MatchString(t.Proof) {
		return refuseField("/token_proof", "want the proof that you have the token: 64 hexadecimal digits in lower case")
	}
	switch life := t.ExpiresAt.Sub(now); {
	case t.ExpiresAt.IsZero():
	case life <= 0:
		return refuseField("/token_expires_at", "has passed")
	case life > maxTokenLife:
		return refuseField("/token_expires_at", "is more than ten years away; leave it out for a token that does not expire")
	}
	return nil
}

package identity_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
)

const issuer = "https://issuer.example.com/realm"

func TestATokenIsComparedAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		p.keys[issuer] = []jose.JSONWebKey{key()}
		now := time.Now()
		for what, c := range map[string]struct {
			change func(*jwt.Claims)
			want   error
		}{
			"right":                     {func(*jwt.Claims) {}, nil},
			"one audience of several":   {func(c *jwt.Claims) { c.Audience = jwt.Audience{"other", audience} }, nil},
			"another audience":          {func(c *jwt.Claims) { c.Audience = jwt.Audience{audience + "x"} }, identity.ErrRefused},
			"no audience":               {func(c *jwt.Claims) { c.Audience = nil }, identity.ErrRefused},
			"another subject":           {func(c *jwt.Claims) { c.Subject += "-2" }, identity.ErrRefused},
			"a subject in capitals":     {func(c *jwt.Claims) { c.Subject = strings.ToUpper(c.Subject) }, identity.ErrRefused},
			"no subject":                {func(c *jwt.Claims) { c.Subject = "" }, identity.ErrRefused},
			"another issuer":            {func(c *jwt.Claims) { c.Issuer += "/" }, identity.ErrRefused},
			"no issuer":                 {func(c *jwt.Claims) { c.Issuer = "" }, identity.ErrRefused},
			"no expiry":                 {func(c *jwt.Claims) { c.Expiry = nil }, identity.ErrRefused},
			"expired within the leeway": {func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(-29 * time.Second)) }, nil},
			"expired":                   {func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Add(-31 * time.Second)) }, identity.ErrRefused},
			"not yet within the leeway": {func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Add(29 * time.Second)) }, nil},
			"not yet":                   {func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Add(32 * time.Second)) }, identity.ErrRefused},
			"issued in the future":      {func(c *jwt.Claims) { c.IssuedAt = jwt.NewNumericDate(now.Add(time.Minute)) }, identity.ErrRefused},
		} {
			said := claims(issuer, time.Hour)
			c.change(&said)
			want(t, what, prove(t.Context(), v, acme, identitytest.Sign(key(), said), wanted(issuer)), c.want)
		}
		good := identitytest.Sign(key(), claims(issuer, time.Hour))
		want(t, "no identity", prove(t.Context(), v, acme, good, nil), identity.ErrRefused)
		want(t, "an empty identity", prove(t.Context(), v, acme, good, []integration.Workload{{}, {SPIFFE: "spiffe://a/b"}}), identity.ErrRefused)
		others := append(wanted("https://other.example.com"), wanted(issuer)...)
		want(t, "the second of two identities", prove(t.Context(), v, acme, good, others), nil)
		want(t, "known, of another identity", prove(t.Context(), v, acme, good, wanted("https://other.example.com")), identity.ErrRefused)
		if n := p.count("https://other.example.com"); n != 0 {
			t.Errorf("an issuer of which there was no token was asked %d times", n)
		}
	})
}

func TestASignatureHasToBeTheIssuersByAnAlgorithmOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		mine, elliptic := key(), identitytest.NewSigningKey(jose.ES256)
		p.keys[issuer] = []jose.JSONWebKey{mine, elliptic}
		said := claims(issuer, time.Hour)
		good := identitytest.Sign(mine, said)
		parts := strings.Split(good, ".")
		forger := identitytest.NewSigningKey(jose.RS256)
		forger.KeyID = mine.KeyID
		unnamed := mine
		unnamed.KeyID = ""
		other := mine
		other.Algorithm = string(jose.PS256) // a key of the set, but not for this
		for what, c := range map[string]struct {
			raw  string
			want error
		}{
			"RS256":                 {good, nil},
			"ES256":                 {identitytest.Sign(elliptic, said), nil},
			"no kid, one key fits":  {identitytest.Sign(unnamed, said), nil},
			"another's key":         {identitytest.Sign(forger, said), identity.ErrRefused},
			"a key for another use": {identitytest.Sign(other, said), identity.ErrRefused},
			"none":                  {unsigned(t, said), identity.ErrRefused},
			"a shared secret":       {shared(t, mine, said), identity.ErrRefused},
			"a key in the token":    {embedded(t, forger, said), identity.ErrRefused},
			"changed claims":        {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) + "." + parts[2], identity.ErrRefused},
			"a cut signature":       {good[:len(good)-4], identity.ErrRefused},
			"another token's":       {parts[0] + "." + parts[1] + "." + strings.Split(identitytest.Sign(mine, claims(issuer, time.Minute)), ".")[2], identity.ErrRefused},
			"nothing":               {"", identity.ErrRefused},
			"dots":                  {"..", identity.ErrRefused},
			"too many parts":        {good + ".x", identity.ErrRefused},
			"JSON":                  {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, identity.ErrRefused},
		} {
			want(t, what, prove(t.Context(), v, acme, c.raw, wanted(issuer)), c.want)
		}
	})
}

func unsigned(t *testing.T, c jwt.Claims) string {
	t.Helper()
	return segment(t, map[string]string{"alg": "none"}) + "." + segment(t, c) + "."
}

// shared is signed with HMAC, with the issuer's public key as the secret: what some verifiers fell for.
func shared(t *testing.T, k jose.JSONWebKey, c jwt.Claims) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	input := segment(t, map[string]string{"alg": "HS256", "kid": k.KeyID}) + "." + segment(t, c)
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// embedded carries the key that it is signed with in its header.
func embedded(t *testing.T, k jose.JSONWebKey, c jwt.Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k.Key}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func segment(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func TestKeysThatAreNoneAreNotUsed(t *testing.T) {
	t.Parallel()
	small := `{"kty":"RSA","n":"` + base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 127)...)) + `","e":"AQAB"}`
	ours := identitytest.NewSigningKey(jose.ES256)
	private, err := json.Marshal(ours)
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(ours.Public())
	if err != nil {
		t.Fatal(err)
	}
	for what, keys := range map[string]string{
		"a shared secret": `{"kty":"oct","k":"c2VjcmV0"}`, "a small key": small, "a private key": string(private),
		"a key for encryption": strings.Replace(string(public), `"sig"`, `"enc"`, 1), "an unknown kind": `{"kty":"PQ"}`, "nothing": "", "text": `"x"`,
		"101 keys": strings.TrimSuffix(strings.Repeat(string(public)+",", 101), ","),
	} {
		if _, _, err := identity.PublishedKeys([]byte(`{"keys":[` + keys + `]}`)); err == nil {
			t.Errorf("%s: was taken for a key", what)
		}
		if what == "101 keys" {
			continue
		}
		if _, _, err := identity.PublishedKeys([]byte(`{"keys":[` + string(public) + strings.TrimSuffix(","+keys, ",") + `]}`)); err != nil {
			t.Errorf("%s beside a good key: %v", what, err)
		}
	}
}

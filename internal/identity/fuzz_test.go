package identity_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
)

// FuzzAKeySet: what is taken of a key set are public keys, at most 100, and they are read as the same keys again.
func FuzzAKeySet(f *testing.F) {
	elliptic, rsa := identitytest.NewSigningKey(jose.ES256), key()
	good, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{elliptic.Public(), rsa.Public()}})
	if err != nil {
		f.Fatal(err)
	}
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{rsa}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(good), string(private), "", "{}", "null", `{"keys":null}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[1,[],{}]}`,
		`{"keys":[{"kty":"RSA","n":"AA","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"AA"},{"kty":"oct","k":"AA"}]}`, `{"keys":[{"kty":"RSA","n":"AA","e":"AQAB","x5c":["AA"]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		once, n, err := identity.PublishedKeys(text)
		if err != nil {
			return
		}
		if n == 0 || n > 100 || bytes.Contains(once, []byte(`"d":`)) || bytes.Contains(once, []byte(`"k":`)) {
			t.Fatalf("%q has %d keys of use: %s", text, n, once)
		}
		twice, m, err := identity.PublishedKeys(once)
		if err != nil || m != n || !bytes.Equal(twice, once) {
			t.Fatalf("%q reads as %s, and again as %s, %v", text, once, twice, err)
		}
	})
}

// FuzzAToken: a token proves an identity only when the issuer has signed just these claims, and they are of that identity and
// have not ended.
func FuzzAToken(f *testing.F) {
	v, _ := run(f, identity.Defaults())
	ours, forger := identitytest.NewSigningKey(jose.ES256), identitytest.NewSigningKey(jose.ES256)
	forger.KeyID = ours.KeyID
	publish(v).keys[issuer] = []jose.JSONWebKey{ours}
	good, err := json.Marshal(claims(issuer, 1000*time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(good), strings.Replace(string(good), `"exp"`, `"EXP"`, 1), strings.Replace(string(good), subject, subject+"x", 1), "", "null", "[]", "{}",
		strings.Replace(string(good), `"exp":`, `"exp":-`, 1), strings.Replace(string(good), `"exp":`, `"exp":1e400,"x":`, 1), strings.Replace(string(good), `{`, `{"iss":"x",`, 1),
	} {
		f.Add(seed, false, "")
		f.Add(seed, true, "")
		f.Add(seed, false, "..")
		f.Add(seed, false, "eyJhbGciOiJub25lIn0."+seed+".")
	}
	f.Fuzz(func(t *testing.T, said string, forged bool, raw string) {
		if raw != "" && prove(t.Context(), v, acme, raw, wanted(issuer)) == nil {
			t.Fatalf("%q proves an identity", raw)
		}
		by := ours
		if forged {
			by = forger
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: by}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(said))
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		if of, who, ok := identity.Holder(token); ok {
			var c jwt.Claims
			if err := json.Unmarshal([]byte(said), &c); err != nil || of == "" || who == "" || of != c.Issuer || who != c.Subject {
				t.Fatalf("%q is said to be of %q at %q", said, who, of)
			}
		}
		switch err := prove(t.Context(), v, acme, token, wanted(issuer)); {
		case err != nil && !errors.Is(err, identity.ErrRefused):
			t.Fatalf("%q: got %v, want a refusal", said, err)
		case err == nil:
			var c jwt.Claims
			if err := json.Unmarshal([]byte(said), &c); err != nil || forged || c.Issuer != issuer || c.Subject != subject || !slices.Contains(c.Audience, audience) ||
				c.Expiry == nil || c.Expiry.Time().Before(time.Now().Add(-time.Minute)) {
				t.Fatalf("%q proves an identity; forged: %t", said, forged)
			}
		}
	})
}

// FuzzABundleFile: a file of authorities is read as at least one, all of them the same when they are written and read again;
// no error shows what is in the file.
func FuzzABundleFile(f *testing.F) {
	authority := certtest.New(f, "prod.example.com")
	der, err := json.Marshal(authority.Raw())
	if err != nil {
		f.Fatal(err)
	}
	document := `{"spiffe_sequence":1,"spiffe_refresh_hint":60,"keys":[{"use":"x509-svid","kty":"EC","crv":"P-256","x":"AA","y":"AA","x5c":[` + string(der) + `]}]}`
	for _, seed := range []string{
		string(authority.PEM()), string(authority.PEM()) + string(authority.PEM()), "", "{}", "null", document, `{"keys":[]}`, `{"keys":[{"use":"x509-svid","x5c":["AA"]}]}`,
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: authority.Raw()})), `{"spiffe_sequence":-1e400}`,
	} {
		f.Add([]byte(seed), false, "prod.example.com")
		f.Add([]byte(seed), true, "prod.example.com")
	}
	f.Add(authority.PEM(), false, "spiffe://prod.example.com/x")
	f.Fuzz(func(t *testing.T, text []byte, asJSON bool, domain string) {
		file := "bundle.pem"
		if asJSON {
			file = "bundle.json"
		}
		once, err := identity.ParseBundle(domain, file, text)
		if err != nil {
			if long := strings.TrimSpace(string(text)); len(long) > 40 && strings.Contains(err.Error(), long) {
				t.Fatalf("the error shows the file: %v", err)
			}
			return
		}
		twice, err := identity.ParseBundle(domain, "bundle.pem", once)
		if err != nil || len(once) == 0 || !bytes.Equal(twice, once) {
			t.Fatalf("%q reads as %q, and again as %q, %v", text, once, twice, err)
		}
	})
}

// answers is a transport that gives documents in turn, and notes who was asked.
type answers struct {
	documents []string
	asked     []string
}

// RoundTrip implements [http.RoundTripper].
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r.URL.String())
	text := a.documents[0]
	a.documents = a.documents[1:]
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// FuzzAnIssuersDocuments: an issuer sends us to https addresses only, at most to one, and no error holds what it answered.
func FuzzAnIssuersDocuments(f *testing.F) {
	published := key()
	good, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{published.Public()}})
	if err != nil {
		f.Fatal(err)
	}
	for _, address := range []string{issuer + "/keys", "http://issuer.example.com/", "https://u:p@issuer.example.com/", "https:///", "file:///etc/passwd", "https://[::1", "https://h/%zz", ""} {
		f.Add(`{"issuer":"`+issuer+`","jwks_uri":"`+address+`"}`, string(good))
	}
	f.Add(`{"issuer":"https://other","jwks_uri":"https://a/"}`, "{}")
	f.Add("[", strings.Repeat(" ", 300<<10))
	f.Fuzz(func(t *testing.T, configuration, keys string) {
		a := &answers{documents: []string{configuration, keys}}
		err := identity.FetchKeys(t.Context(), issuer, a)
		if a.asked[0] != issuer+"/.well-known/openid-configuration" || len(a.asked) > 2 || len(a.asked) == 2 && !strings.HasPrefix(a.asked[1], "https://") {
			t.Fatalf("%q: asked %q", configuration, a.asked)
		}
		if err == nil {
			if _, _, bad := identity.PublishedKeys([]byte(keys)); bad != nil || len(a.asked) != 2 || len(keys) > 256<<10 {
				t.Fatalf("%q and %.1000q: got keys: %v", configuration, keys, bad)
			}
			return
		}
		for _, text := range []string{configuration, keys} {
			if long := strings.TrimSpace(text); len(long) > 40 && strings.Contains(err.Error(), long) {
				t.Fatalf("the error shows what was answered: %v", err)
			}
		}
	})
}

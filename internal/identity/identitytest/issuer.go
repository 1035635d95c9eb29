// Package identitytest is an OpenID Connect issuer for tests: real tokens, real keys, answers that can be spoiled.
//
// It checks nothing; that is what is tested.
//
// The life of an issuer: [NewIssuer], a config that [Issuer.Trust] changed so that it may be asked, [Issuer.Token], Close.
package identitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/rolebridge/rolebridge/internal/identity"
)

// Issuer is an OpenID Connect issuer on loopback, with https and a certificate that only [Issuer.Trust] knows. What it
// answers can be spoiled.
type Issuer struct {
	URL string

	server *httptest.Server

	mu    sync.Mutex
	keys  []jose.JSONWebKey // private; the last signs
	spoil http.HandlerFunc
	asked int
}

// NewIssuer starts an issuer with one key for RS256.
func NewIssuer() *Issuer {
	i := &Issuer{}
	i.server = httptest.NewTLSServer(http.HandlerFunc(i.answer))
	i.URL = i.server.URL
	i.Add(NewSigningKey(jose.RS256))
	return i
}

// Close ends the issuer.
func (i *Issuer) Close() { i.server.Close() }

// Trust changes a config so that this issuer may be asked; its certificate's authority is written into dir.
func (i *Issuer) Trust(c *identity.Config, dir string) error {
	c.AllowNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c.CAFile = filepath.Join(dir, "issuer-ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
	return os.WriteFile(c.CAFile, text, 0o600)
}

// NewSigningKey makes a private key for an algorithm, with an id of its own.
func NewSigningKey(alg jose.SignatureAlgorithm) jose.JSONWebKey {
	k := jose.JSONWebKey{KeyID: rand.Text(), Algorithm: string(alg), Use: "sig"}
	var err error
	switch alg {
	case jose.ES256:
		k.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		k.Key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		k.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err) // without randomness nothing works
	}
	return k
}

// Add publishes a key and signs with it from now on.
func (i *Issuer) Add(k jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, k)
}

// Spoil answers everything with h from now on; nil mends it.
func (i *Issuer) Spoil(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.spoil = h
}

// Asked is how often it was asked for its configuration.
func (i *Issuer) Asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// Claims are those of a token for an hour.
func (i *Issuer) Claims(audience, subject string) jwt.Claims {
	now := time.Now()
	return jwt.Claims{
		Issuer: i.URL, Audience: jwt.Audience{audience}, Subject: subject,
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}
}

// Token signs claims with the last key.
func (i *Issuer) Token(claims any) string {
	i.mu.Lock()
	k := i.keys[len(i.keys)-1]
	i.mu.Unlock()
	return Sign(k, claims)
}

// Sign makes a token with a key, which names the algorithm.
func Sign(k jose.JSONWebKey, claims any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: k}, nil)
	if err != nil {
		panic(err) // a test's mistake
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return raw
}

func (i *Issuer) answer(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	spoil := i.spoil
	if r.URL.Path == "/.well-known/openid-configuration" {
		i.asked++
	}
	var set jose.JSONWebKeySet
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	i.mu.Unlock()
	if spoil != nil {
		spoil(w, r)
		return
	}
	var body any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		body = map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	case "/keys":
		body = set
	default:
		http.NotFound(w, r)
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // whoever asked may have gone
}

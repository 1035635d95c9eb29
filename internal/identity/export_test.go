package identity

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"

	"github.com/go-jose/go-jose/v4"
)

// AskWith replaces the network: ask returns an issuer's key set.
func (v *Verifier) AskWith(ask func(ctx context.Context, issuer string) ([]byte, error)) {
	v.issuers.ask = func(ctx context.Context, issuer string) (*keySet, error) {
		text, err := ask(ctx, issuer)
		if err != nil {
			return nil, err
		}
		return parseKeys(text)
	}
}

// Running waits until the verifier runs.
func (v *Verifier) Running() {
	for running := false; !running; runtime.Gosched() {
		v.issuers.mu.Lock()
		running = v.issuers.base != nil
		v.issuers.mu.Unlock()
	}
}

// ParseBundle reads a file of authorities, and returns them as PEM.
func ParseBundle(domain, file string, text []byte) ([]byte, error) {
	b, err := parseBundle(Bundle{TrustDomain: domain, File: file}, text)
	if err != nil {
		return nil, err
	}
	return b.Marshal()
}

// PublishedKeys reads a key set, and returns what it has of use, as a key set.
func PublishedKeys(text []byte) ([]byte, int, error) {
	s, err := parseKeys(text)
	if err != nil {
		return nil, 0, err
	}
	set := jose.JSONWebKeySet{}
	for _, k := range s.keys {
		set.Keys = append(set.Keys, k.JSONWebKey)
	}
	text, err = json.Marshal(set)
	return text, len(set.Keys), err
}

// FetchKeys asks an issuer through a transport of the test.
func FetchKeys(ctx context.Context, issuer string, through http.RoundTripper) error {
	_, err := (&web{&http.Client{Transport: through, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}).keys(ctx, issuer)
	return err
}

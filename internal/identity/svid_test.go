package identity_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/identity"
)

const (
	domain = "prod.example.com"
	id     = "spiffe://prod.example.com/connect/orders"
)

func chain(t *testing.T, c tls.Certificate) (all []*x509.Certificate) {
	t.Helper()
	for _, raw := range c.Certificate {
		one, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// bundle writes the authorities of a trust domain as PEM.
func bundle(t *testing.T, of string, authorities ...*certtest.Authority) identity.Bundle {
	t.Helper()
	b := identity.Bundle{TrustDomain: of, File: filepath.Join(t.TempDir(), of+".pem")}
	rewrite(t, b, authorities...)
	return b
}

func rewrite(t *testing.T, b identity.Bundle, authorities ...*certtest.Authority) {
	t.Helper()
	var text []byte
	for _, a := range authorities {
		text = append(text, a.PEM()...)
	}
	certtest.WriteFile(t, b.File, text)
}

func TestACertificateProvesItsIDByItsDomainsAuthorities(t *testing.T) {
	t.Parallel()
	ours, theirs, stranger := certtest.New(t, domain), certtest.New(t, "staging.example.com"), certtest.New(t, domain)
	b, err := identity.OpenBundles([]identity.Bundle{bundle(t, domain, ours), bundle(t, "staging.example.com", theirs)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for what, c := range map[string]struct {
		cert tls.Certificate
		want string
	}{
		"right":                      {ours.Client(t, id), id},
		"of the other domain":        {theirs.Client(t, "spiffe://staging.example.com/connect/orders"), "spiffe://staging.example.com/connect/orders"},
		"signed by the other domain": {theirs.Client(t, id), ""},
		"signed by a stranger":       {stranger.Client(t, id), ""},
		"of an unknown domain":       {ours.Client(t, "spiffe://elsewhere.example.com/connect/orders"), ""},
		"expired":                    {ours.Client(t, id, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }), ""},
		"not valid yet":              {ours.Client(t, id, func(c *x509.Certificate) { c.NotBefore = now.Add(30 * time.Minute) }), ""},
		"without an id":              {ours.Client(t, ""), ""},
		"with another kind of URI":   {ours.Client(t, "https://prod.example.com/connect"), ""},
		"of an authority":            {ours.Client(t, id, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), ""},
		"that may sign certificates": {ours.Client(t, id, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), ""},
	} {
		for range 2 { // the second time it may be remembered
			got, err := b.ID(chain(t, c.cert), now)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("a certificate %s: got %q, %v; want %q", what, got, err, c.want)
			}
			if err := b.VerifyClient(chain(t, c.cert)); (err == nil) != (c.want != "") {
				t.Errorf("a certificate %s at the handshake: %v", what, err)
			}
		}
	}
	if _, err := b.ID(nil, now); err == nil {
		t.Error("no certificate proves something")
	}
	good := chain(t, ours.Client(t, id))
	if _, err := b.ID(good, now); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ID(good, now.Add(2*time.Hour)); err == nil {
		t.Error("a certificate is good after its end, on a connection that lasts")
	}
}

func TestAWithdrawnAuthorityEndsWhatItProved(t *testing.T) {
	t.Parallel()
	old, next := certtest.New(t, domain), certtest.New(t, domain)
	of := bundle(t, domain, old)
	b, err := identity.OpenBundles([]identity.Bundle{of})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, done := make(chan error, 10), make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx, 5*time.Millisecond, func(err error) { told <- err })
	}()
	t.Cleanup(func() { cancel(); <-done })
	cert := chain(t, old.Client(t, id))
	if _, err := b.ID(cert, time.Now()); err != nil {
		t.Fatal(err)
	}
	rewrite(t, of, next)
	for deadline := time.After(20 * time.Second); ; {
		select {
		case err := <-told:
			if err != nil {
				continue // read while it was written
			}
		case <-deadline:
			t.Fatal("the change was not seen within 20 s")
		}
		break
	}
	if _, err := b.ID(cert, time.Now()); err == nil {
		t.Error("a certificate of an authority that was withdrawn still proves its id")
	}
	if _, err := b.ID(chain(t, next.Client(t, id)), time.Now()); err != nil {
		t.Errorf("the new authority: %v", err)
	}
}

func TestABundleMayBeASPIFFEDocument(t *testing.T) {
	t.Parallel()
	ours := certtest.New(t, domain)
	one := spiffebundle.New(spiffeid.RequireTrustDomainFromString(domain))
	for _, c := range chain(t, tls.Certificate{Certificate: [][]byte{ours.Raw()}}) {
		one.AddX509Authority(c)
	}
	text, err := one.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	of := identity.Bundle{TrustDomain: domain, File: filepath.Join(t.TempDir(), "bundle.json")}
	certtest.WriteFile(t, of.File, text)
	b, err := identity.OpenBundles([]identity.Bundle{of})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.ID(chain(t, ours.Client(t, id)), time.Now()); got != id {
		t.Errorf("got %q, %v; want %s", got, err, id)
	}
}

func TestABundleThatCannotBeUsedFailsAtTheStart(t *testing.T) {
	t.Parallel()
	ours := certtest.New(t, domain)
	good := bundle(t, domain, ours)
	empty := identity.Bundle{TrustDomain: domain, File: filepath.Join(t.TempDir(), "empty.json")}
	certtest.WriteFile(t, empty.File, []byte(`{"keys":[]}`))
	for want, of := range map[string][]identity.Bundle{
		"no such file":       {{TrustDomain: domain, File: "/none"}},
		"is no trust domain": {{TrustDomain: "Prod Example", File: good.File}},
		"is there twice":     {good, good},
		"no authorities":     {empty},
	} {
		if _, err := identity.OpenBundles(of); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

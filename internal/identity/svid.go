package identity

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/rolebridge/rolebridge/internal/reload"
)

// Bundle names the authorities of one SPIFFE trust domain.
type Bundle struct {
	TrustDomain string `koanf:"trust_domain"` // e.g. prod.example.com
	// File holds them as PEM, or if its name ends in .json as a SPIFFE bundle.
	File string `koanf:"file"`
}

// Bundles verifies certificates with SPIFFE ids (X.509-SVIDs). Safe for concurrent use.
type Bundles struct {
	set *reload.Value[*x509bundle.Set]
	// verified spares the requests on one connection the signatures.
	verified *lru.Cache[[sha256.Size]byte, verified]
}

// verified is that a certificate has an id, by these authorities.
type verified struct {
	id    string
	by    *x509bundle.Set
	until time.Time
}

// maxVerified bounds the memory of verified certificates; only genuine ones are remembered.
const maxVerified = 10_000

// OpenBundles reads the authorities of all trust domains. A domain's authorities vouch for ids of that domain only.
func OpenBundles(of []Bundle) (*Bundles, error) {
	paths := make([]string, len(of))
	for n, one := range of {
		paths[n] = one.File
	}
	set, err := reload.Open(func(contents [][]byte) (*x509bundle.Set, error) {
		set := x509bundle.NewSet()
		for n, text := range contents {
			one, err := parseBundle(of[n], text)
			if err != nil {
				return nil, fmt.Errorf("broker.spiffe[%d]: %s: %w", n, of[n].File, err)
			}
			if set.Has(one.TrustDomain()) {
				return nil, fmt.Errorf("broker.spiffe[%d]: %s is there twice", n, one.TrustDomain())
			}
			set.Add(one)
		}
		return set, nil
	}, paths...)
	if err != nil {
		return nil, err
	}
	b := &Bundles{set: set}
	b.verified, err = lru.New[[sha256.Size]byte, verified](maxVerified)
	return b, err
}

func parseBundle(of Bundle, text []byte) (*x509bundle.Bundle, error) {
	domain, err := spiffeid.TrustDomainFromString(of.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("%q is no trust domain", of.TrustDomain)
	}
	var one *x509bundle.Bundle
	if strings.HasSuffix(of.File, ".json") {
		all, err := spiffebundle.Parse(domain, text)
		if err != nil {
			return nil, err
		}
		one = all.X509Bundle()
	} else if one, err = x509bundle.Parse(domain, text); err != nil {
		return nil, err
	}
	if len(one.X509Authorities()) == 0 {
		return nil, errors.New("no authorities in it")
	}
	return one, nil
}

// Run reads the files again when they change, until ctx ends, and calls told as [reload.Value.Run] does.
func (b *Bundles) Run(ctx context.Context, every time.Duration, told func(error)) {
	b.set.Run(ctx, every, told)
}

// VerifyClient judges a client's certificate at the handshake: a bad one ends the connection.
func (b *Bundles) VerifyClient(chain []*x509.Certificate) error {
	_, err := b.ID(chain, time.Now())
	return err
}

// ID returns the SPIFFE id that the chain, leaf first, proves now: by the authorities as they are now, which may be others
// than at the handshake. Any error means that it proves nothing.
func (b *Bundles) ID(chain []*x509.Certificate, now time.Time) (string, error) {
	if len(chain) == 0 {
		return "", ErrRefused
	}
	set, thumbprint := b.set.Get(), sha256.Sum256(chain[0].Raw)
	if known, ok := b.verified.Get(thumbprint); ok && known.by == set && now.Before(known.until) {
		return known.id, nil
	}
	id, chains, err := x509svid.Verify(chain, set, x509svid.WithTime(now))
	if err != nil {
		return "", err
	}
	until := chain[0].NotAfter
	for _, c := range chains[0] {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	b.verified.Add(thumbprint, verified{id.String(), set, until})
	return id.String(), nil
}

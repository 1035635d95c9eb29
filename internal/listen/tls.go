package listen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/rolebridge/rolebridge/internal/reload"
)

// Verifier judges the certificate chain of a client, leaf first, at the handshake; an error ends the connection. Safe for
// concurrent use.
type Verifier interface {
	VerifyClient(chain []*x509.Certificate) error
}

// certificate reads the listener's certificate, and again when its files change.
func certificate(t TLS) (*reload.Value[*tls.Certificate], error) {
	return reload.Open(func(contents [][]byte) (*tls.Certificate, error) {
		c, err := tls.X509KeyPair(contents[0], contents[1])
		if err != nil {
			// The library's errors name files' contents by kind only, and never quote them.
			return nil, fmt.Errorf("%s and %s: %w", t.CertFile, t.KeyFile, err)
		}
		if time.Now().After(c.Leaf.NotAfter) {
			return nil, fmt.Errorf("%s: expired at %s", t.CertFile, c.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
		return &c, nil
	}, t.CertFile, t.KeyFile)
}

// tlsConfig asks for a client's certificate if there is somebody to judge it; a client without one is let in, and has to
// show who it is in another way.
func tlsConfig(c *reload.Value[*tls.Certificate], clients Verifier) *tls.Config {
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Get(), nil },
		NextProtos:     []string{"http/1.1"},
	}
	if clients == nil {
		return config
	}
	config.ClientAuth = tls.RequestClientCert
	// Not VerifyPeerCertificate, which a resumed session goes past.
	config.VerifyConnection = func(s tls.ConnectionState) error {
		switch n := len(s.PeerCertificates); {
		case n == 0:
			return nil
		case n > maxChain:
			return errors.New("the client's chain is too long")
		}
		return clients.VerifyClient(s.PeerCertificates)
	}
	return config
}

// maxChain bounds what is verified of a client: a leaf, intermediates, a root.
const maxChain = 8

package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
	"github.com/go-jose/go-jose/v4"
)

// maxDocument bounds each of the two documents, in bytes. The largest key set that we know has 30 kB.
const maxDocument = 256 << 10

// discovery is where an issuer says where its keys are: OpenID Connect Discovery 1.0, section 4.
const discovery = "/.well-known/openid-configuration"

// web asks issuers, whose addresses are chosen by customers.
type web struct{ client *http.Client }

func newWeb(part string, c Config) (*web, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s.oidc.ca_file: %w", part, err)
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s.oidc.ca_file: %s: want certificates as PEM", part, c.CAFile)
		}
	}
	public := ssrf.New(ssrf.WithAnyPort())
	dialer := &net.Dialer{
		Timeout: c.Timeout,
		// After the name is resolved, so that no name can stand for an address that is not allowed.
		Control: func(network, address string, raw syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err == nil && slices.ContainsFunc(c.AllowNetworks, func(p netip.Prefix) bool { return p.Contains(at.Addr().Unmap()) }) {
				return nil
			}
			return public.Safe(network, address, raw)
		},
	}
	return &web{&http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			// No proxy: it would resolve the name, and connect, where we cannot look.
			Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: c.Timeout, MaxResponseHeaderBytes: 32 << 10, DisableCompression: true,
			MaxIdleConnsPerHost: 1, MaxIdleConns: 64, IdleConnTimeout: time.Second, // from the first document to the second
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// keys fetches the key set of an issuer.
func (w *web) keys(ctx context.Context, issuer string) (*keySet, error) {
	var said struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	text, err := w.get(ctx, strings.TrimSuffix(issuer, "/")+discovery)
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(text, &said) != nil {
		return nil, errors.New("the issuer's configuration is no JSON object")
	}
	if said.Issuer != issuer {
		return nil, errors.New("the issuer's configuration is of another issuer")
	}
	if text, err = w.get(ctx, said.Keys); err != nil {
		return nil, err
	}
	return parseKeys(text)
}

// get fetches one document. Errors hold nothing of what was answered.
func (w *web) get(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(address) > 2048 {
		return nil, errors.New("the address is no https URL without a user")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the address cannot be asked")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "rolebridge")
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", u.Host, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxDocument {
		return nil, fmt.Errorf("%s answered more than %d bytes", u.Host, maxDocument)
	}
	return text, nil
}

// compact is a token without claims, in the compact form of RFC 7515.
func compact(alg jose.SignatureAlgorithm, signature []byte) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"`+string(alg)+`"}`)) + "." + part([]byte("{}")) + "." + part(signature)
}

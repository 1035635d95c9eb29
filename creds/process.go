package creds

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Variables of the AWS container-credentials protocol, which `rolebridge credentials` reads too.
const (
	EnvURL       = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	EnvToken     = "AWS_CONTAINER_AUTHORIZATION_TOKEN"      //nolint:gosec // a name
	EnvTokenFile = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" //nolint:gosec // a name
)

// Bounds of a fetch by a client. An SDK waits for its credential_process as long as it takes; a user does not.
const (
	fetchTimeout = 3 * time.Second
	fetchBudget  = 20 * time.Second
	maxAnswer    = 64 << 10
)

// FindToken returns a connector's token: of file, if one is named, else of the file or the text that the environment
// names, in the order of the SDKs.
func FindToken(file string, env func(string) string) (secret.Text, error) {
	if file == "" {
		file = env(EnvTokenFile)
	}
	if file != "" {
		return secret.Read(file)
	}
	if token := env(EnvToken); token != "" {
		return secret.New(token), nil
	}
	return secret.Text{}, fmt.Errorf("no token: name a file, or set %s or %s", EnvTokenFile, EnvToken)
}

// Caller is how a client shows the broker who it is: by a connector's or an issuer's token, or by a certificate.
type Caller struct {
	Token secret.Text
	// Integration and Connector name the binding, for workloads.
	Integration integration.ID
	Connector   integration.ConnectorID
	// CertFile and KeyFile hold the client's certificate as PEM, CAFile the authorities of the broker's, if they are not the
	// system's.
	CertFile, KeyFile, CAFile string
}

// url adds the name of the binding to the broker's address.
func (c Caller) url(address string) (string, error) {
	u, err := checkAddress(address)
	if err != nil || c.Integration == "" {
		return address, err
	}
	q := u.Query()
	q.Set("integration", string(c.Integration))
	q.Set("connector", string(c.Connector))
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func (c Caller) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("the client's certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the broker's authorities: %w", err)
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("the broker's authorities: %s holds no certificates as PEM", c.CAFile)
		}
	}
	return config, nil
}

// Fetch asks the broker at address, a whole URL, and returns what a credential_process prints. Overload, 5xx and lost
// connections are tried again until ctx's deadline, for 20 s if it has none. Errors: an [integration.Refusal] with the
// broker's code; an address that would show the token to others; files that cannot be used; the last
// failure.
func Fetch(ctx context.Context, address string, as Caller) ([]byte, error) {
	address, err := as.url(address)
	if err != nil {
		return nil, err
	}
	config, err := as.tls()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: fetchTimeout,
		// A redirect would carry the token to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 2*time.Second
	budget := fetchBudget
	if deadline, ok := ctx.Deadline(); ok {
		budget = time.Until(deadline)
	}
	var last error // what the broker said counts, not that time was up
	got, err := backoff.Retry(ctx, func() (got []byte, err error) {
		if got, err = fetchOnce(ctx, client, address, as.Token); err != nil && ctx.Err() == nil {
			last = err
		}
		return got, err
	},
		backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(budget))
	if err != nil && ctx.Err() != nil && last != nil {
		err = last
	}
	if refusal, ok := errors.AsType[*integration.Refusal](err); ok {
		return nil, refusal
	}
	return got, err
}

func fetchOnce(ctx context.Context, client *http.Client, address string, token secret.Text) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	if !token.Empty() {
		req.Header.Set("Authorization", token.Reveal())
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return toProcess(raw)
	}
	refusal := cmp.Or(refusalOf(raw), integration.Refuse(integration.CodeInternal, "the broker answered %d", resp.StatusCode))
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
		return nil, backoff.Permanent(refusal)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 && s <= 10 {
		return nil, errors.Join(refusal, backoff.RetryAfter(s))
	}
	return nil, refusal
}

// toProcess turns the container shape into the process shape.
func toProcess(raw []byte) ([]byte, error) {
	var got containerCredentials
	if err := json.Unmarshal(raw, &got); err != nil || got.AccessKeyID == "" || got.SecretAccessKey == "" || got.Token == "" {
		return nil, backoff.Permanent(errors.New("the broker answered 200 without credentials"))
	}
	return json.Marshal(processCredentials{ //nolint:gosec // printing them is what it is for
		Version: 1, AccessKeyID: got.AccessKeyID, SecretAccessKey: got.SecretAccessKey, SessionToken: got.Token,
		Expiration: got.Expiration, AccountID: got.AccountID,
	})
}

// checkAddress allows plain HTTP only where AWS's SDKs do: to this machine, and to the link-local addresses of ECS and
// EKS.
func checkAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("the broker's address is not a URL")
	case u.Scheme == "https" && u.Host != "":
		return u, nil
	case u.Scheme != "http" || u.Host == "":
		return nil, errors.New("the broker's address must begin with https:// or http://")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && listen.StaysHere(ip) {
		return u, nil
	}
	return nil, fmt.Errorf("http to %s would show the token to others: use https", u.Host)
}

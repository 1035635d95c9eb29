package creds_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/secret"
)

const (
	audience = "rolebridge"
	subject  = "system:serviceaccount:connect:orders"
	spiffeID = "spiffe://prod.example.com/connect/orders"
)

// named is the endpoint with the name of a binding.
func named(id integration.ID, c integration.ConnectorID) string {
	return creds.Path + "?" + url.Values{"integration": {string(id)}, "connector": {string(c)}}.Encode()
}

// workloads is a world in which sink is bound with a token, an issuer's tokens and a SPIFFE id.
type workloads struct {
	*world
	issuer    *identitytest.Issuer
	authority *certtest.Authority
	bundles   *identity.Bundles
}

func newWorkloads(t testing.TB) *workloads {
	t.Helper()
	w := &workloads{world: newWorld(t), issuer: identitytest.NewIssuer(), authority: certtest.New(t, "prod.example.com")}
	t.Cleanup(w.issuer.Close)
	w.admit(orders, sink, integration.Workload{OIDC: integration.OIDC{Issuer: w.issuer.URL, Audience: audience, Subject: subject}},
		integration.Workload{SPIFFE: spiffeID})
	verifier := w.verifier(t, w.issuer)
	var err error
	file := filepath.Join(t.TempDir(), "authorities.pem")
	certtest.WriteFile(t, file, w.authority.PEM())
	if w.bundles, err = identity.OpenBundles([]identity.Bundle{{TrustDomain: "prod.example.com", File: file}}); err != nil {
		t.Fatal(err)
	}
	w.options = []creds.Option{creds.WithTokens(verifier), creds.WithCertificates(w.bundles)}
	return w
}

// verifier believes an issuer on loopback.
func (w *world) verifier(t testing.TB, issuer *identitytest.Issuer) *identity.Verifier {
	t.Helper()
	c := identity.Defaults()
	if err := issuer.Trust(&c, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	verifier, err := identity.New("broker", c, slog.New(slog.NewJSONHandler(w.log, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- verifier.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("verifier: %v", err)
		}
	})
	return verifier
}

// admit sets the workloads of a binding.
func (w *world) admit(id integration.ID, c integration.ConnectorID, all ...integration.Workload) {
	w.replica.ChangeBinding(id, c, func(_ integration.OrganizationID, b *integration.Binding) { b.Workloads = all })
}

// settled asks until the answer is not that it is too early.
func settled(t *testing.T, ask func() *http.Response) *http.Response {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		r := ask()
		if r.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return r
		}
	}
}

// shown is a request with a client's certificate, as a listener hands it over.
func shown(t *testing.T, b *creds.Broker, target, authorization string, chain ...tls.Certificate) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if len(chain) > 0 {
		r.TLS = &tls.ConnectionState{}
		for _, c := range chain {
			r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, c.Leaf)
		}
	}
	rec := httptest.NewRecorder()
	b.Handler().ServeHTTP(rec, r)
	return rec.Result()
}

func TestAllWaysLeadToOneSessionOfTheBinding(t *testing.T) {
	t.Parallel()
	w := newWorkloads(t)
	b := w.broker(t)
	cert := w.authority.Client(t, spiffeID)
	var bodies []map[string]any
	for what, ask := range map[string]func() *http.Response{
		"a token":             func() *http.Response { return ask(t, b, http.MethodGet, creds.Path, w.token.Reveal()) },
		"a token with a name": func() *http.Response { return ask(t, b, http.MethodGet, named(orders, sink), w.token.Reveal()) },
		"an issuer's token":   func() *http.Response { return ask(t, b, http.MethodGet, named(orders, sink), w.jwt(nil)) },
		"a later one, Bearer": func() *http.Response { return ask(t, b, http.MethodGet, named(orders, sink), "Bearer "+w.jwt(nil)) },
		"a certificate":       func() *http.Response { return shown(t, b, named(orders, sink), "", cert) },
		"another certificate": func() *http.Response { return shown(t, b, named(orders, sink), "", w.authority.Client(t, spiffeID)) },
	} {
		r := settled(t, ask)
		if r.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d, want 200", what, r.StatusCode)
		}
		bodies = append(bodies, fields(t, r))
	}
	for _, body := range bodies[1:] {
		if body["AccessKeyId"] != bodies[0]["AccessKeyId"] {
			t.Errorf("another session: %v, want %v", body["AccessKeyId"], bodies[0]["AccessKeyId"])
		}
	}
	w.wantCalls(t, "all ways", 1, 1)
	for labels, want := range map[string]float64{
		`outcome="ok",way="token"`: 2, `outcome="ok",way="oidc"`: 2, `outcome="ok",way="spiffe"`: 2, `outcome="refused",way="oidc"`: 0,
	} {
		if got := w.metric(t, "rolebridge_broker_authentications_total", labels); got < want || want == 0 && got != 0 {
			t.Errorf("authentications{%s} is %v, want %v", labels, got, want)
		}
	}
}

func (w *workloads) jwt(change func(*jwt.Claims)) string {
	c := w.issuer.Claims(audience, subject)
	if change != nil {
		change(&c)
	}
	return w.issuer.Token(c)
}

func TestWhateverIsWrongIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	w := newWorkloads(t)
	w.integration("cspi-other", platformRole+"2", customerRole+"2")
	other := credstest.NewToken()
	w.replica.Bind("cspi-other", "other-sink", other)
	w.replica.Bind(orders, "no-workload", credstest.NewToken())
	expired := credstest.NewToken()
	w.replica.ChangeBinding(orders, "expired", func(o integration.OrganizationID, b *integration.Binding) {
		token := credstest.Token(o, orders, "expired", expired)
		token.ExpiresAt = time.Now().Add(-time.Minute)
		b.Tokens = []integration.Token{token}
	})
	b := w.broker(t, func(c *creds.Config) { c.FailedBurst = 1000 })
	// The keys are there, and all bindings give sessions to those who prove them.
	if r := settled(t, func() *http.Response { return ask(t, b, http.MethodGet, named(orders, sink), w.jwt(nil)) }); r.StatusCode != http.StatusOK {
		t.Fatalf("the right token got %d", r.StatusCode)
	}
	forger := identitytest.NewSigningKey(jose.RS256)
	client, stranger := w.authority.Client(t, spiffeID), certtest.New(t, "prod.example.com")
	type attempt struct {
		target, authorization string
		chain                 []tls.Certificate
	}
	var first []byte
	var headers http.Header
	for what, a := range map[string]attempt{
		"nothing":                       {creds.Path, "", nil},
		"an unknown token":              {creds.Path, credstest.NewToken().Reveal(), nil},
		"an expired token":              {creds.Path, expired.Reveal(), nil},
		"a foreign token":               {named(orders, sink), other.Reveal(), nil},
		"a token of another connector":  {named(orders, "no-workload"), w.token.Reveal(), nil},
		"a token for an unknown name":   {named("cspi-none", "none"), w.token.Reveal(), nil},
		"a malformed token":             {creds.Path, "\x01\x02 %zz", nil},
		"a huge token":                  {creds.Path, strings.Repeat("x", 20_000), nil},
		"a huge token, right cert":      {named(orders, sink), strings.Repeat("x", 20_000), []tls.Certificate{client}},
		"workload without a name":       {creds.Path, w.jwt(nil), nil},
		"workload, unknown name":        {named("cspi-none", "none"), w.jwt(nil), nil},
		"workload, foreign name":        {named("cspi-other", "other-sink"), w.jwt(nil), nil},
		"workload, binding has none":    {named(orders, "no-workload"), w.jwt(nil), nil},
		"workload, another subject":     {named(orders, sink), w.jwt(func(c *jwt.Claims) { c.Subject = "x" }), nil},
		"workload, another audience":    {named(orders, sink), w.jwt(func(c *jwt.Claims) { c.Audience = jwt.Audience{"x"} }), nil},
		"workload, another issuer":      {named(orders, sink), w.jwt(func(c *jwt.Claims) { c.Issuer = "https://x.example.com" }), nil},
		"workload, expired":             {named(orders, sink), w.jwt(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour)) }), nil},
		"workload, another's signature": {named(orders, sink), identitytest.Sign(forger, w.issuer.Claims(audience, subject)), nil},
		"workload, malformed":           {named(orders, sink), "ey.ey.ey", nil},
		"certificate without a name":    {creds.Path, "", []tls.Certificate{client}},
		"certificate, unknown name":     {named("cspi-none", "none"), "", []tls.Certificate{client}},
		"certificate, foreign name":     {named("cspi-other", "other-sink"), "", []tls.Certificate{client}},
		"certificate, another id":       {named(orders, sink), "", []tls.Certificate{w.authority.Client(t, spiffeID+"2")}},
		"certificate of a stranger":     {named(orders, sink), "", []tls.Certificate{stranger.Client(t, spiffeID)}},
	} {
		r := shown(t, b, a.target, a.authorization, a.chain...)
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first, headers = body.Bytes(), r.Header
		}
		if r.StatusCode != http.StatusUnauthorized || !bytes.Equal(body.Bytes(), first) || fmt.Sprint(r.Header) != fmt.Sprint(headers) {
			t.Errorf("%s: got %d %s %v, want 401 %s %v", what, r.StatusCode, body.Bytes(), r.Header, first, headers)
		}
	}
}

func TestATokenCountsBeforeACertificate(t *testing.T) {
	t.Parallel()
	w := newWorkloads(t)
	b := w.broker(t)
	right, wrong := w.authority.Client(t, spiffeID), w.authority.Client(t, spiffeID+"2")
	for _, c := range []struct {
		what, token string
		cert        tls.Certificate
		want        int
	}{
		{"right and right", w.token.Reveal(), right, 200},
		{"a right token, a wrong certificate", w.token.Reveal(), wrong, 200},
		{"a wrong token, a right certificate", "x", right, 401},
		{"no token, a right certificate", "", right, 200},
		{"no token, a wrong certificate", "", wrong, 401},
		{"a workload's token, a wrong certificate", w.jwt(nil), wrong, 200},
		{"another workload's token, a right certificate", w.jwt(func(c *jwt.Claims) { c.Subject = "x" }), right, 401},
	} {
		if r := settled(t, func() *http.Response { return shown(t, b, named(orders, sink), c.token, c.cert) }); r.StatusCode != c.want {
			t.Errorf("%s: got %d, want %d", c.what, r.StatusCode, c.want)
		}
	}
}

func TestAnIssuerThatIsAwayIsSaidInTimeAndForgottenLater(t *testing.T) {
	t.Parallel()
	w := newWorkloads(t)
	b := w.broker(t, func(c *creds.Config) { c.Patience = 50 * time.Millisecond })
	mustSession(t, b, w.token) // so that only the issuer is waited for
	w.issuer.Spoil(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	r := ask(t, b, http.MethodGet, named(orders, sink), w.jwt(nil))
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d, Retry-After %q; want 503 and 1", r.StatusCode, r.Header.Get("Retry-After"))
	}
	if got := w.metric(t, "rolebridge_broker_authentications_total", `outcome="unavailable",way="oidc"`); got != 1 {
		t.Errorf("%v attempts were counted as unavailable, want 1", got)
	}
	if r := ask(t, b, http.MethodGet, creds.Path, w.token.Reveal()); r.StatusCode != http.StatusOK {
		t.Errorf("a token meanwhile: got %d, want 200", r.StatusCode)
	}
	w.issuer.Spoil(nil)
	if r := settled(t, func() *http.Response { return ask(t, b, http.MethodGet, named(orders, sink), w.jwt(nil)) }); r.StatusCode != http.StatusOK {
		t.Errorf("when the issuer is back: got %d, want 200", r.StatusCode)
	}
}

func TestAWorkloadThatIsTakenAwayGetsNothingMore(t *testing.T) {
	t.Parallel()
	w := newWorkloads(t)
	b := w.broker(t)
	raw, cert := w.jwt(nil), w.authority.Client(t, spiffeID)
	if r := settled(t, func() *http.Response { return ask(t, b, http.MethodGet, named(orders, sink), raw) }); r.StatusCode != http.StatusOK {
		t.Fatalf("got %d", r.StatusCode)
	}
	w.admit(orders, sink, integration.Workload{SPIFFE: spiffeID})
	if r := ask(t, b, http.MethodGet, named(orders, sink), raw); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token whose workload was taken away: got %d, want 401", r.StatusCode)
	}
	if r := shown(t, b, named(orders, sink), "", cert); r.StatusCode != http.StatusOK {
		t.Errorf("the workload that stays: got %d, want 200", r.StatusCode)
	}
	w.replica.Unbind(orders, sink)
	if r := shown(t, b, named(orders, sink), "", cert); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the binding is gone: got %d, want 401", r.StatusCode)
	}
}

// anybody takes every token for every workload that there is.
type anybody struct{}

func (anybody) Token(_ context.Context, _ integration.OrganizationID, _ string, among []integration.Workload, _ time.Duration) error {
	if len(among) == 0 {
		return identity.ErrRefused
	}
	return nil
}

func TestAWorkloadsSessionIsRenewedAheadWhileItIsAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.options = []creds.Option{creds.WithTokens(anybody{})}
		w.admit(orders, sink, integration.Workload{OIDC: integration.OIDC{Issuer: "https://i", Audience: "a", Subject: "s"}})
		b := w.broker(t)
		read := func() {
			t.Helper()
			if r := ask(t, b, http.MethodGet, named(orders, sink), "ey.a."+random()); r.StatusCode != http.StatusOK {
				t.Fatalf("got %d", r.StatusCode)
			}
		}
		read()
		bubbletest.Pass(50 * time.Minute)
		if got := w.metric(t, "rolebridge_broker_refreshes_total", `outcome="issued"`); got != 1 {
			t.Errorf("%v renewals after 50 minutes, want 1", got)
		}
		read()
		w.admit(orders, sink)
		bubbletest.Pass(50 * time.Minute)
		if got := w.metric(t, "rolebridge_broker_refreshes_total", `outcome="gone"`); got != 1 {
			t.Errorf("%v sessions were let go after the workload was taken away, want 1", got)
		}
	})
}

// random is some text that was not there before.
func random() string { return credstest.NewToken().Reveal()[:8] }

func TestABindingIsNamedOnceAndWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.broker(t)
	for _, query := range []string{
		"integration=cspi-orders", "connector=orders-sink", "integration=&connector=orders-sink", "integration=a&integration=b&connector=c",
		"integration=a&connector=b&connector=c", "integration=a&connector=" + strings.Repeat("x", 2000),
	} {
		if r := ask(t, b, http.MethodGet, creds.Path+"?"+query, w.token.Reveal()); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%.60s: got %d, want 400", query, r.StatusCode)
		}
	}
}

// serveTLS serves a broker on a real listener, whose certificate is the authority's.
func (w *workloads) serveTLS(t *testing.T, b *creds.Broker) (base string, authority *certtest.Authority) {
	t.Helper()
	authority = certtest.New(t, "")
	files := certtest.Write(t, t.TempDir(), authority.Server(t))
	settings := listen.Defaults()
	settings.Listen, settings.TLS.CertFile, settings.TLS.KeyFile = "127.0.0.1:0", files.Cert, files.Key
	l, err := listen.Open(t.Context(), "broker", settings, listen.WithClients(w.bundles), listen.WithLog(slog.New(slog.NewJSONHandler(w.log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx, b.Handler(), time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.URL(), authority
}

// overTLS serves a broker on a real listener, and asks it with a client's certificate.
func (w *workloads) overTLS(t *testing.T, b *creds.Broker) func(*testing.T, ...tls.Certificate) (*http.Response, error) {
	t.Helper()
	base, authority := w.serveTLS(t, b)
	return func(t *testing.T, certs ...tls.Certificate) (*http.Response, error) {
		t.Helper()
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12,
			// Whatever the server asks for: a client that is up to something does so.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &certs[0], nil
			},
		}}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+named(orders, sink), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(req)
		if err == nil {
			_ = r.Body.Close()
		}
		return r, err
	}
}

func TestACertificateIsJudgedAtTheHandshakeAndComparedWithTheBinding(t *testing.T) {
	t.Parallel()
	w := newWorkloads(t)
	ask := w.overTLS(t, w.broker(t))
	hour := func(from, to time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to) }
	}
	for what, c := range map[string]struct {
		certs  []tls.Certificate
		status int // 0: no handshake
	}{
		"right":                   {[]tls.Certificate{w.authority.Client(t, spiffeID)}, 200},
		"none":                    {nil, 401},
		"another workload's":      {[]tls.Certificate{w.authority.Client(t, spiffeID+"2")}, 401},
		"expired":                 {[]tls.Certificate{w.authority.Client(t, spiffeID, hour(-2*time.Hour, -time.Minute))}, 0},
		"not valid yet":           {[]tls.Certificate{w.authority.Client(t, spiffeID, hour(time.Minute, time.Hour))}, 0},
		"of an unknown authority": {[]tls.Certificate{certtest.New(t, "prod.example.com").Client(t, spiffeID)}, 0},
		"of another trust domain": {[]tls.Certificate{w.authority.Client(t, "spiffe://other.example.com/x")}, 0},
		"without an id":           {[]tls.Certificate{w.authority.Client(t, "")}, 0},
	} {
		var r *http.Response
		var err error
		for r == nil || r.StatusCode == http.StatusServiceUnavailable {
			if r, err = ask(t, c.certs...); err != nil {
				break
			}
		}
		if c.status == 0 {
			if err == nil {
				t.Errorf("a certificate %s: got %d, want no handshake", what, r.StatusCode)
			}
			continue
		}
		if err != nil || r.StatusCode != c.status {
			t.Errorf("a certificate %s: got %v, %v; want %d", what, r, err, c.status)
		}
	}
}

func TestFailedAttemptsAreLimitedBySourceAndWhatIsRightIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t, func(c *creds.Config) { c.FailedAttempts, c.FailedBurst = 1, 5 })
		from := func(peer, token string) *http.Response {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, creds.Path, nil)
			r.RemoteAddr = peer
			r.Header.Set("Authorization", token)
			// Nobody gets another source by saying so.
			r.Header.Set("X-Forwarded-For", random())
			rec := httptest.NewRecorder()
			b.Handler().ServeHTTP(rec, r)
			return rec.Result()
		}
		const one, same, other = "[2001:db8:1:2::1]:1", "[2001:db8:1:2:3::9]:2", "[2001:db8:1:3::1]:1"
		var got []int
		for range 7 {
			got = append(got, from(one, "wrong").StatusCode)
		}
		if want := []int{401, 401, 401, 401, 401, 429, 429}; !slices.Equal(got, want) {
			t.Errorf("wrong tokens of one source: got %v, want %v", got, want)
		}
		limited := from(same, "wrong")
		if limited.StatusCode != http.StatusTooManyRequests || limited.Header.Get("Retry-After") != "1" {
			t.Errorf("another address of the same /64: got %d, Retry-After %q; want 429 and 1", limited.StatusCode, limited.Header.Get("Retry-After"))
		}
		if body := fields(t, limited); body["code"] != string(integration.CodeThrottled) || !strings.Contains(body["message"].(string), "token is not known") { //nolint:forcetypeassert // fails the test
			t.Errorf("the answer is %v, want the code, and what is wrong with the token", body)
		}
		for range 100 {
			if r := from(one, w.token.Reveal()); r.StatusCode != http.StatusOK {
				t.Fatalf("the right token from a limited source: got %d, want 200", r.StatusCode)
			}
		}
		if r := from(other, "wrong"); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("another source: got %d, want 401", r.StatusCode)
		}
		for range 1000 {
			from(one, "wrong")
		}
		if n := strings.Count(w.log.String(), "too many failed attempts"); n != 1 {
			t.Errorf("the log names the source %d times, want once a minute", n)
		}
		if got := w.metric(t, "rolebridge_broker_limited_attempts_total", ""); got != 1003 {
			t.Errorf("%v limited attempts are counted, want 1003", got)
		}
		bubbletest.Pass(2 * time.Second)
		if r := from(one, "wrong"); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("after a while: got %d, want 401", r.StatusCode)
		}
		// Many sources forget the first ones, and cost no more than a bound.
		for n := range 30_000 {
			from(fmt.Sprintf("10.%d.%d.%d:1", n>>16, n>>8&255, n&255), secret.New("wrong").Reveal())
		}
	})
}

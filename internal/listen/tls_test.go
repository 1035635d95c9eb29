package listen_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/polltest"
)

// withTLS are settings with the files of a certificate.
func withTLS(f certtest.Files) func(*listen.Settings) {
	return func(s *listen.Settings) {
		s.Listen = "0.0.0.0:0" // allowed, because of TLS
		s.TLS = listen.TLS{CertFile: f.Cert, KeyFile: f.Key, ReloadEvery: 10 * time.Millisecond}
	}
}

// ask makes one request on a connection of its own.
func ask(t *testing.T, s *server, config *tls.Config) (*http.Response, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	_, port, _ := strings.Cut(s.Addr()[strings.LastIndex(s.Addr(), "]")+1:], ":")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:"+port+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport, Timeout: bound}).Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return resp, err
}

func TestACertificateIsReplacedWithoutARestart(t *testing.T) {
	t.Parallel()
	authority, dir := certtest.New(t, ""), t.TempDir()
	first := authority.Server(t)
	s := serve(t, fine, withTLS(certtest.Write(t, dir, first)))
	shown := func() string {
		resp, err := ask(t, s, &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	if got := shown(); got != first.Leaf.SerialNumber.String() {
		t.Fatalf("shows certificate %s, want the first", got)
	}
	second := authority.Server(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(48 * time.Hour) })
	files := certtest.Write(t, dir, second)
	polltest.Until(t, "the new certificate is shown", func() bool { return shown() == second.Leaf.SerialNumber.String() })
	if got := s.metric(t, "rolebridge_listener_certificate_expiry_timestamp_seconds"); got != float64(second.Leaf.NotAfter.Unix()) {
		t.Errorf("the metric says it expires at %v, want %d", got, second.Leaf.NotAfter.Unix())
	}
	for what, spoil := range map[string]func(){
		"garbage":         func() { certtest.WriteFile(t, files.Cert, []byte("garbage")) },
		"another's key":   func() { certtest.Write(t, dir, second); certtest.WriteFile(t, files.Key, keyOf(t, authority)) },
		"an expired one":  func() { certtest.Write(t, dir, authority.Server(t, expired)) },
		"nothing to read": func() { certtest.WriteFile(t, files.Cert, nil) },
	} {
		before := s.metric(t, "rolebridge_listener_reloads_total")
		spoil()
		polltest.Until(t, what+" is told", func() bool { return s.metric(t, "rolebridge_listener_reloads_total") > before })
		if got := shown(); got != second.Leaf.SerialNumber.String() {
			t.Errorf("after %s it shows certificate %s, want that it stays", what, got)
		}
		second = authority.Server(t)
		certtest.Write(t, dir, second)
		polltest.Until(t, "a good certificate is shown again", func() bool { return shown() == second.Leaf.SerialNumber.String() })
	}
	if strings.Contains(s.log.String(), "PRIVATE KEY") {
		t.Error("the log shows a key")
	}
}

func keyOf(t *testing.T, a *certtest.Authority) []byte {
	t.Helper()
	return certtest.ReadFile(t, certtest.Write(t, t.TempDir(), a.Server(t)).Key)
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func TestFilesOfTLSThatCannotBeUsedFailAtTheStart(t *testing.T) {
	t.Parallel()
	authority := certtest.New(t, "")
	for what, f := range map[string]certtest.Files{
		"no such file": {Cert: "/none", Key: "/none"},
		"expired":      certtest.Write(t, t.TempDir(), authority.Server(t, expired)),
	} {
		s := listen.Defaults()
		withTLS(f)(&s)
		if l, err := listen.Open(t.Context(), "broker", s); err == nil || !strings.Contains(err.Error(), what) || !strings.HasPrefix(err.Error(), "broker.tls: ") {
			t.Errorf("%s: got %v", what, err)
			if l != nil {
				_ = l.Close()
			}
		}
	}
}

// judge is a verifier that a test tells what to say.
type judge struct {
	refuse atomic.Bool
	asked  atomic.Int32
}

func (j *judge) VerifyClient([]*x509.Certificate) error {
	j.asked.Add(1)
	if j.refuse.Load() {
		return errors.New("not this one")
	}
	return nil
}

func TestAClientsCertificateIsJudgedAtEachHandshake(t *testing.T) {
	t.Parallel()
	authority := certtest.New(t, "")
	j := &judge{}
	s := serve(t, fine, withTLS(certtest.Write(t, t.TempDir(), authority.Server(t))), listen.WithClients(j))
	bare := &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12}
	if _, err := ask(t, s, bare); err != nil || j.asked.Load() != 0 {
		t.Errorf("a client without a certificate: %v, judged %d times; want it let in", err, j.asked.Load())
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		j.refuse.Store(false)
		before := j.asked.Load()
		// With a cache of sessions the second handshake is a resumed one.
		config := &tls.Config{
			RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12, MaxVersion: version,
			Certificates: []tls.Certificate{authority.Client(t, "")}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		var resumed bool
		for range 2 {
			resp, err := ask(t, s, config)
			if err != nil {
				t.Fatal(err)
			}
			resumed = resp.TLS.DidResume
		}
		if !resumed {
			t.Errorf("%s: the second session was not resumed: the test shows nothing", tls.VersionName(version))
		}
		if got := j.asked.Load() - before; got != 2 {
			t.Errorf("%s: judged %d times in two handshakes, want 2", tls.VersionName(version), got)
		}
		j.refuse.Store(true)
		if _, err := ask(t, s, config); err == nil {
			t.Errorf("%s: a client that is refused was let in with its old session", tls.VersionName(version))
		}
	}
}

func TestOneRequestAtATimeIsServedOnAConnection(t *testing.T) {
	t.Parallel()
	authority := certtest.New(t, "")
	s := serve(t, fine, withTLS(certtest.Write(t, t.TempDir(), authority.Server(t))))
	resp, err := ask(t, s, &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil || resp.TLS.NegotiatedProtocol != "http/1.1" || resp.ProtoMajor != 1 {
		t.Errorf("a client of HTTP/2: got %v, %v; want HTTP/1.1", resp, err)
	}
}

func TestAnOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	authority := certtest.New(t, "")
	s := serve(t, fine, withTLS(certtest.Write(t, t.TempDir(), authority.Server(t))))
	old := &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if _, err := ask(t, s, old); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

func TestPlainHTTPOnATLSListenerIsNotServed(t *testing.T) {
	t.Parallel()
	authority := certtest.New(t, "")
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it came to the handler") }),
		withTLS(certtest.Write(t, t.TempDir(), authority.Server(t))))
	if got := say(t, s.dial(t), get); !strings.Contains(got, "400") {
		t.Errorf("got %q, want 400", got)
	}
}

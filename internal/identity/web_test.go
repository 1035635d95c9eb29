package identity_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
	"github.com/rolebridge/rolebridge/internal/logtest"
)

// genuine is a verifier that may ask an issuer on loopback.
func genuine(t *testing.T, change ...func(*identity.Config)) (*identity.Verifier, *identitytest.Issuer, *logtest.Log) {
	t.Helper()
	i := identitytest.NewIssuer()
	t.Cleanup(i.Close)
	c := identity.Defaults()
	if err := i.Trust(&c, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&c)
	}
	v, log := run(t, c)
	return v, i, log
}

func TestKeysAreFetchedWhereTheIssuerSaysTheyAre(t *testing.T) {
	t.Parallel()
	v, i, log := genuine(t)
	want(t, "a token", prove(t.Context(), v, acme, i.Token(i.Claims(audience, subject)), wanted(i.URL)), nil)
	if log.String() != "" {
		t.Errorf("logged: %s", log)
	}
}

func TestAnIssuerThatIsNotPublicIsNotAsked(t *testing.T) {
	t.Parallel()
	v, i, log := genuine(t, func(c *identity.Config) { c.AllowNetworks = nil })
	want(t, "an issuer on loopback", prove(t.Context(), v, acme, i.Token(i.Claims(audience, subject)), wanted(i.URL)), identity.ErrUnavailable)
	byName := strings.Replace(i.URL, "127.0.0.1", "localhost", 1)
	said := i.Claims(audience, subject)
	said.Issuer = byName
	want(t, "a name for loopback", prove(t.Context(), v, acme, i.Token(said), wanted(byName)), identity.ErrUnavailable)
	for _, address := range []string{
		"https://169.254.169.254", "https://10.0.0.1", "https://[::1]", "https://[::ffff:127.0.0.1]", "https://[fd00::1]", "https://0.0.0.0", "https://100.64.0.1",
		"https://2130706433", "https://[64:ff9b::7f00:1]",
	} {
		said.Issuer = address
		want(t, address, prove(t.Context(), v, acme, i.Token(said), wanted(address)), identity.ErrUnavailable)
	}
	if i.Asked() != 0 {
		t.Errorf("it was asked %d times", i.Asked())
	}
	if n := strings.Count(log.String(), "prohibited IP"); n < 8 {
		t.Errorf("%d addresses were refused for what they are: %s", n, log)
	}
}

func TestAMaliciousIssuerGetsNowhere(t *testing.T) {
	t.Parallel()
	victim := identitytest.NewIssuer() // must not be asked
	t.Cleanup(victim.Close)
	configuration := func(text func(own string) string) func(string) http.HandlerFunc {
		return func(own string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "openid-configuration") {
					_, _ = io.WriteString(w, text(own))
				}
			}
		}
	}
	for what, c := range map[string]struct {
		spoil func(own string) http.HandlerFunc
		says  string
	}{
		"a redirect": {func(string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, victim.URL+r.URL.Path, http.StatusFound) //nolint:gosec // what must not be followed
			}
		}, "answered 302"},
		"a document without end": {func(string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				for text := bytes.Repeat([]byte("x"), 1<<16); ; {
					if _, err := w.Write(text); err != nil {
						return
					}
				}
			}
		}, "more than 262144 bytes"},
		"an answer that never comes": {func(string) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}, "deadline exceeded"},
		"a header without end": {func(string) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }
		}, "server response headers exceeded"},
		"keys in the clear": {configuration(func(own string) string {
			return `{"issuer":"` + own + `","jwks_uri":"` + strings.Replace(victim.URL, "https", "http", 1) + `/keys"}`
		}), "no https URL"},
		"keys in a file": {configuration(func(own string) string {
			return `{"issuer":"` + own + `","jwks_uri":"file:///etc/passwd"}`
		}), "no https URL"},
		"a password in the address": {configuration(func(own string) string {
			return `{"issuer":"` + own + `","jwks_uri":"` + strings.Replace(victim.URL, "://", "://a:b@", 1) + `/keys"}`
		}), "no https URL"},
		"another issuer's configuration": {configuration(func(string) string {
			return `{"issuer":"` + victim.URL + `","jwks_uri":"` + victim.URL + `/keys"}`
		}), "of another issuer"},
		"no JSON": {configuration(func(string) string { return "<html>" }), "no JSON"},
		"no keys": {configuration(func(own string) string { return `{"issuer":"` + own + `","jwks_uri":"` + own + `/keys"}` }), "no JSON object with keys"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			v, i, log := genuine(t, func(c *identity.Config) { c.Timeout = 500 * time.Millisecond })
			i.Spoil(c.spoil(i.URL))
			want(t, what, prove(t.Context(), v, acme, i.Token(i.Claims(audience, subject)), wanted(i.URL)), identity.ErrUnavailable)
			if !strings.Contains(log.String(), c.says) {
				t.Errorf("the log says %s, want %q", log, c.says)
			}
			if victim.Asked() != 0 {
				t.Errorf("somebody else was asked %d times", victim.Asked())
			}
		})
	}
}

func TestAnIssuersCertificateHasToBeTrusted(t *testing.T) {
	t.Parallel()
	v, i, log := genuine(t, func(c *identity.Config) { c.CAFile = "" })
	want(t, "an unknown authority", prove(t.Context(), v, acme, i.Token(i.Claims(audience, subject)), wanted(i.URL)), identity.ErrUnavailable)
	if !strings.Contains(log.String(), "unknown authority") {
		t.Errorf("the log says %s", log)
	}
}

func TestAStopEndsFetches(t *testing.T) {
	t.Parallel()
	v, i, _ := genuine(t, func(c *identity.Config) { c.Timeout = 30 * time.Second })
	i.Spoil(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	want(t, "impatient", prove(ctx, v, acme, i.Token(i.Claims(audience, subject)), wanted(i.URL)), identity.ErrUnavailable)
	// The clean-up waits for Run, which waits for the fetch.
}

func TestAllFaultsOfTheConfigAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	err := identity.Config{Timeout: time.Hour, Refresh: time.Second}.Validate("broker")
	for _, w := range []string{"broker.oidc.timeout: 1h0m0s", "broker.oidc.refresh: 1s", "broker.oidc.keep"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want %q", err, w)
		}
	}
}

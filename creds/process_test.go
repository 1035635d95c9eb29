package creds_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/certtest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

func TestFetchPrintsWhatACredentialProcessPrints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.broker(t)
	server := httptest.NewServer(b.Handler())
	t.Cleanup(server.Close)
	for _, path := range []string{creds.Path, creds.Path + "?format=container"} {
		raw, err := creds.Fetch(t.Context(), server.URL+path, creds.Caller{Token: w.token})
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		s := mustSession(t, b, w.token)
		wantFields(t, got, map[string]any{
			"Version": 1.0, "AccessKeyId": s.AccessKeyID, "SecretAccessKey": s.SecretAccessKey.Reveal(), "SessionToken": s.Token.Reveal(),
			"Expiration": s.Expires.UTC().Format(time.RFC3339), "AccountId": "222222222222",
		})
	}
	_, err := creds.Fetch(t.Context(), server.URL+creds.Path, creds.Caller{Token: secret.New("wrong")})
	wantCode(t, "a wrong token", err, integration.CodeUnauthenticated)
}

func TestFetchShowsWhatAWorkloadHas(t *testing.T) {
	t.Parallel()
	w := newWorkloads(t)
	b := w.broker(t)
	mustSession(t, b, w.token)
	plain := httptest.NewServer(b.Handler())
	t.Cleanup(plain.Close)
	dir := t.TempDir()
	base, authority := w.serveTLS(t, b)
	client, ca := certtest.Write(t, dir, w.authority.Client(t, spiffeID)), filepath.Join(dir, "ca.pem")
	certtest.WriteFile(t, ca, authority.PEM())
	cert := creds.Caller{CertFile: client.Cert, KeyFile: client.Key, CAFile: ca, Integration: orders, Connector: sink}
	for what, c := range map[string]struct {
		url string
		as  creds.Caller
	}{
		"an issuer's token":            {plain.URL, creds.Caller{Token: secret.New(w.jwt(nil)), Integration: orders, Connector: sink}},
		"an issuer's token over https": {base, creds.Caller{Token: secret.New(w.jwt(nil)), Integration: orders, Connector: sink, CAFile: ca}},
		"a certificate":                {base, cert},
	} {
		if got, err := creds.Fetch(t.Context(), c.url+creds.Path+"?format=container", c.as); err != nil || !strings.Contains(string(got), "SessionToken") {
			t.Errorf("%s: got %s, %v", what, got, err)
		}
	}
	other := cert
	other.Connector = "another"
	_, err := creds.Fetch(t.Context(), base+creds.Path, other)
	wantCode(t, "a certificate of another binding", err, integration.CodeUnauthenticated)
	for what, spoil := range map[string]func(*creds.Caller){
		"no key":                  func(c *creds.Caller) { c.KeyFile = filepath.Join(dir, "none") },
		"no authorities":          func(c *creds.Caller) { c.CAFile = filepath.Join(dir, "none") },
		"no certificates in them": func(c *creds.Caller) { c.CAFile = client.Key },
	} {
		wrong := cert
		spoil(&wrong)
		if _, err := creds.Fetch(t.Context(), base+creds.Path, wrong); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func TestFetchTriesAgainWhenThatMayHelp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		tries  int32
		code   integration.Code
	}{
		{"unavailable", 503, 3, ""},
		{"throttled", 429, 3, ""},
		{"internal", 500, 3, ""},
		{"unauthenticated", 401, 1, integration.CodeUnauthenticated},
		{"denied", 403, 1, integration.CodeDenied},
		{"a redirect", 302, 1, integration.CodeInternal},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) < 3 || c.code != "" {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(c.status)
					if c.status != 302 {
						_, _ = w.Write([]byte(`{"code":"` + string(c.code) + `","message":"no"}`))
					}
					return
				}
				if r.Header.Get("Authorization") != "token" {
					t.Errorf("authorization %q, want the token", r.Header.Get("Authorization"))
				}
				_, _ = w.Write([]byte(`{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2030-01-01T00:00:00Z"}`))
			}))
			t.Cleanup(server.Close)
			got, err := creds.Fetch(t.Context(), server.URL, creds.Caller{Token: secret.New("token")})
			if asked.Load() != c.tries {
				t.Errorf("asked %d times, want %d", asked.Load(), c.tries)
			}
			if c.code != "" {
				wantCode(t, c.name, err, c.code)
				return
			}
			want := `{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":"T","Expiration":"2030-01-01T00:00:00Z"}`
			if err != nil || string(got) != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		})
	}
}

func TestFetchGoesOnUntilItsCallersDeadline(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"code":"unavailable","message":"no"}`))
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := creds.Fetch(ctx, server.URL, creds.Caller{Token: secret.New("token")})
	wantCode(t, "at the end", err, integration.CodeUnavailable)
	if deadline, _ := ctx.Deadline(); time.Until(deadline) > 400*time.Millisecond {
		t.Error("gave up at once")
	}
}

func TestFetchShowsTheTokenToNobodyElse(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"http://broker.example.com/v1/credentials", "http://10.0.0.1/", "ftp://localhost/", "broker:8080", "", "http://", "://",
		"http://localhost.example.com/",
	} {
		if _, err := creds.Fetch(t.Context(), address, creds.Caller{Token: secret.New("token")}); err == nil {
			t.Errorf("%q was asked", address)
		} else if strings.Contains(err.Error(), "token\"") {
			t.Errorf("%q: the error shows the token: %v", address, err)
		}
	}
}

func TestTheTokenIsFoundWhereSDKsFindIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flag, file := write("flag", "from-flag\n"), write("file", "from-file")
	for _, c := range []struct {
		name, flag string
		env        map[string]string
		want       string
	}{
		{"a flag", flag, map[string]string{creds.EnvTokenFile: file, creds.EnvToken: "from-env"}, "from-flag"},
		{"a file", "", map[string]string{creds.EnvTokenFile: file, creds.EnvToken: "from-env"}, "from-file"},
		{"a variable", "", map[string]string{creds.EnvToken: "from-env"}, "from-env"},
		{"nothing", "", nil, ""},
		{"a missing file", filepath.Join(dir, "none"), map[string]string{creds.EnvToken: "from-env"}, ""},
	} {
		got, err := creds.FindToken(c.flag, func(name string) string { return c.env[name] })
		if got.Reveal() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v; want %q", c.name, got.Reveal(), err, c.want)
		}
	}
}

package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// answers is a server that gives its answers one after the other and remembers what it was asked.
type answers struct {
	list []func(http.ResponseWriter)
	keys []string
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.keys = append(a.keys, r.Header.Get("Idempotency-Key"))
	now := a.list[min(len(a.keys), len(a.list))-1]
	now(w)
}

func away(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"errors":[{"id":"r","status":"503","code":"unavailable","title":"Service Unavailable","detail":"no Kafka","resolution":"Try again."}]}`)
}

func done(w http.ResponseWriter) {
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"id":"cspi-12345"}`)
}

func open(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	return openWith(t, h, client.Config{})
}

func openWith(t *testing.T, h http.Handler, config client.Config) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	config.URL, config.Key, config.Secret = s.URL+"/", "K", secret.New("hidden")
	c, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAWriteIsTriedAgainUnderTheSameKey(t *testing.T) {
	t.Parallel()
	a := &answers{list: []func(http.ResponseWriter){away, away, done}}
	i, err := open(t, a).Create(t.Context(), wire.IntegrationRequestV2{})
	if err != nil || i.ID != "cspi-12345" {
		t.Fatalf("got %+v, %v", i, err)
	}
	if len(a.keys) != 3 || a.keys[0] == "" || a.keys[0] != a.keys[1] || a.keys[1] != a.keys[2] {
		t.Errorf("got the keys %q, want one key three times", a.keys)
	}
}

func TestWhoWantsOneTryHasOne(t *testing.T) {
	t.Parallel()
	a := &answers{list: []func(http.ResponseWriter){away, done}}
	_, err := openWith(t, a, client.Config{Tries: 1}).Create(t.Context(), wire.IntegrationRequestV2{})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != http.StatusServiceUnavailable || len(a.keys) != 1 {
		t.Errorf("got %d tries, %v; want the first one's 503", len(a.keys), err)
	}
}

func TestABindingIsTriedOnce(t *testing.T) {
	t.Parallel()
	a := &answers{list: []func(http.ResponseWriter){away}}
	_, err := open(t, a).Bind(t.Context(), "cspi-12345", wire.ConnectorRequest{Connector: "lcc-1"})
	if len(a.keys) != 1 || client.Code(err) != integration.CodeUnavailable {
		t.Errorf("got %d tries, %v; want 1 and %s", len(a.keys), err, integration.CodeUnavailable)
	}
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Error() != "no Kafka" || e.Resolution() != "Try again." {
		t.Errorf("got %v", err)
	}
}

func TestARefusalIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]integration.Code{
		400: integration.CodeInvalid, 401: integration.CodeUnauthenticated, 404: integration.CodeInvalid, 500: integration.CodeInternal, 501: integration.CodeUnavailable,
	} {
		a := &answers{list: []func(http.ResponseWriter){func(w http.ResponseWriter) { w.WriteHeader(status) }}}
		_, err := open(t, a).Read(t.Context(), "env", "cspi-12345")
		if len(a.keys) != 1 || client.Code(err) != want {
			t.Errorf("%d: got %d tries, %s; want 1, %s", status, len(a.keys), client.Code(err), want)
		}
	}
}

func TestACodeOfTheDomainIsTaken(t *testing.T) {
	t.Parallel()
	for _, code := range integration.Codes() {
		err := &client.Error{Status: code.Answer().HTTP, Faults: []wire.Fault{{Code: string(code)}}}
		if got := client.Code(err); got != code {
			t.Errorf("got %s, want %s", got, code)
		}
	}
	if got := client.Code(&client.Error{Status: 400, Faults: []wire.Fault{{Code: "invalid_request"}}}); got != integration.CodeInvalid {
		t.Errorf("got %s, want %s", got, integration.CodeInvalid)
	}
	if got := client.Code(errors.New("connection refused")); got != integration.CodeUnavailable {
		t.Errorf("got %s, want %s", got, integration.CodeUnavailable)
	}
}

func TestAWrongConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	_, err := client.New(client.Config{URL: "localhost:8080"})
	for _, want := range []string{"url: ", "key: ", "secret: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	for _, url := range []string{"https://user:hush@api.example.com", "http://user:hush@api.example.com/%zz", "user:hush@api.example.com"} {
		_, err := client.New(client.Config{URL: url, Key: "K", Secret: secret.New("s")})
		if err == nil || !strings.Contains(err.Error(), "url: ") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v, want a fault without the password", url, err)
		}
	}
}

func TestACountIsOneRequestForOneOfThem(t *testing.T) {
	t.Parallel()
	var asked []string
	c := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		_, _ = io.WriteString(w, `{"metadata":{"total_size":250,"next":"https://h/pim/v2/integrations?page_token=more"},"data":[{"id":"cspi-12345"}]}`)
	}))
	n, err := c.Count(t.Context(), "env-1", "gcp")
	if want := "GET /pim/v2/integrations?environment=env-1&page_size=1&provider=gcp"; n != 250 || err != nil || len(asked) != 1 || asked[0] != want {
		t.Errorf("got %d, %v after %q; want 250 after %s", n, err, asked, want)
	}
}

func TestTheKeyIsNotSentWhereARedirectPoints(t *testing.T) {
	t.Parallel()
	stolen := make(chan string, 100)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen <- r.URL.Path }))
	t.Cleanup(thief.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		sends := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL+"/x\u202e", status) })
		for _, config := range []client.Config{{}, {HTTP: &http.Client{}}} {
			c := openWith(t, sends, config)
			_, read := c.Read(t.Context(), "env", "cspi-12345")
			_, created := c.Create(t.Context(), wire.IntegrationRequestV2{})
			var followed error
			bounded, cancel := context.WithTimeout(t.Context(), time.Minute) // who follows a redirect is turned away for ever
			for _, err := range c.Follow(bounded, client.Watch{}) {
				followed = err
			}
			cancel()
			for what, err := range map[string]error{"read": read, "create": created, "follow": followed} {
				if client.Code(err) != integration.CodeInvalid || !strings.Contains(err.Error(), thief.URL) || strings.Contains(err.Error(), "\u202e") {
					t.Errorf("%d, %s: got %v, want an error that names the other address", status, what, err)
				}
			}
		}
	}
	if len(stolen) > 0 {
		t.Errorf("the other address was asked for %s", <-stolen)
	}
}

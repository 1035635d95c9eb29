package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// answering is a transport that gives every request the same answer.
type answering func() *http.Response

// RoundTrip implements [http.RoundTripper].
func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	got := a()
	got.Request = r
	return got, nil
}

// FuzzAnAnswer: whatever answers at the API's address, a call ends with an error that has a code or with what was read, and no
// error holds the key's secret or grows without bound.
func FuzzAnAnswer(f *testing.F) {
	const hush = "a-secret-of-the-key"
	for _, body := range []string{
		"id: 1\ndata: {\"id\":\"1\",\"type\":\"integration.created\"}\n\n", "event: gap\ndata: x\n\n", "data: {\n\n", "id: \x00\n\n", ": hello\n\n", "retry: -1\n\n",
		"", "{}", "null", "[]", `{"id":"cspi-00001","environment":{"id":"env-1"},"config":{"kind":"AwsIntegrationConfig"}}`, `{"id":1}`, `{}{}`, `{"config":{"kind":5}}`,
		`{"errors":[{"code":"denied","title":"t","detail":"d","source":{"pointer":"/x"}}]}`, `{"errors":null}`, `{"errors":[{"code":1}]}`, `{"data":[{}],"metadata":{"next":"%zz"}}`,
		`{"metadata":{"next":"https://other/?page_token=x"}}`, strings.Repeat("[", 20000),
	} {
		for _, status := range []int{200, 302, 404, 429, 500} {
			f.Add(status, "5", "https://elsewhere.example.com/", body)
		}
	}
	f.Add(429, "-9223372036854775809", "\x1b[2J", "{")
	f.Fuzz(func(t *testing.T, status int, after, location, body string) {
		if status < 200 || status > 599 {
			return // the transport gives no such
		}
		c, err := client.New(client.Config{URL: "http://api.example.com", Key: "K", Secret: secret.New(hush), Tries: 1, HTTP: &http.Client{Transport: answering(func() *http.Response {
			return &http.Response{
				StatusCode: status, Header: http.Header{"Retry-After": {after}, "Location": {location}, "X-Request-Id": {location}}, Body: io.NopCloser(strings.NewReader(body)),
			}
		})}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(t.Context(), "env-1", "cspi-00001")
		if (err == nil) && status >= 300 {
			t.Fatalf("%d %q: no error", status, body)
		}
		_, _, listed := c.History(t.Context(), "cspi-00001")
		for _, err := range []error{err, listed, watched(t, c)} {
			if err == nil {
				continue
			}
			if strings.Contains(err.Error(), hush) || len(err.Error()) > 10*(1000+len(body)+len(location)) {
				t.Fatalf("%d %q: got an error of %d bytes: %.1000v", status, body, len(err.Error()), err)
			}
			if e, ok := errors.AsType[*client.Error](err); status >= 400 && (!ok || e.Status != status || client.Code(err) == "") {
				t.Fatalf("%d %q: got %v, want an error with a code", status, body, err)
			}
		}
	})
}

// watched reads one stream of events to its end, and returns how it ended.
func watched(t *testing.T, c *client.Client) (ended error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lost := func(err error, _ time.Duration) {
		ended = err
		cancel()
	}
	for _, err := range c.Follow(ctx, client.Watch{Lost: lost}) {
		if err != nil && ended == nil {
			ended = err
		}
	}
	if ended == nil {
		t.Fatal("a stream ended, and nobody was told")
	}
	return ended
}

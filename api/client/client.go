package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Config says where the API is and who asks.
type Config struct {
	URL    string
	Key    string
	Secret secret.Text
	// HTTP is the client to use; nil is one of this client's own. Its CheckRedirect is not used: redirects are refused, since
	// the API key would go along to other ports, schemes and subdomains.
	HTTP *http.Client
	// Agent is the User-Agent.
	Agent string
	// Tries bounds how often a call is made while the service is unavailable; 0 is 4.
	Tries uint
}

// Client calls the API. Safe for concurrent use.
type Client struct{ config Config }

// timeout bounds one try: longer than the server's own longest wait.
const timeout = 50 * time.Second

// Bounds of trying again, and of what is read.
const (
	someTries = 4
	budget    = 30 * time.Second
	maxAnswer = 16 << 20
)

// New returns a client. It names all that is missing of c.
func New(c Config) (*Client, error) {
	var faults []error
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		faults = append(faults, fmt.Errorf("url: %q: want the http or https URL of the API", withoutUser(c.URL)))
	} else if u.User != nil {
		faults = append(faults, fmt.Errorf("url: %q: want it without a user and a password: who asks is said by the API key", withoutUser(c.URL)))
	}
	if c.Key == "" {
		faults = append(faults, errors.New("key: empty: want the id of an API key"))
	}
	if c.Secret.Empty() {
		faults = append(faults, errors.New("secret: empty: want the API key's secret"))
	}
	c.URL = strings.TrimRight(c.URL, "/")
	c.Tries = cmp.Or(c.Tries, someTries)
	own := http.Client{Timeout: timeout}
	if c.HTTP != nil {
		own = *c.HTTP
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTP = &own
	return &Client{c}, errors.Join(faults...)
}

// withoutUser is a text that should be a URL without what may be a password in it.
func withoutUser(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		return "…" + text[at:]
	}
	return text
}

// request is one call. Without a key, a write is tried once.
type request struct {
	method, path string
	query        url.Values
	body         any
	key          string
}

// once makes a write one that can be tried again.
func (r request) once() request {
	r.key = rand.Text()
	return r
}

// do calls the API and reads the answer into v, unless v is nil.
func (c *Client) do(ctx context.Context, r request, v any) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 200*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		retry, err := c.try(ctx, r, v)
		switch {
		case err == nil:
			return struct{}{}, nil
		case retry < 0 || r.method != http.MethodGet && r.key == "":
			return struct{}{}, backoff.Permanent(err)
		case retry > 0:
			return struct{}{}, errors.Join(err, backoff.RetryAfter(int(retry/time.Second)))
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(c.config.Tries), backoff.WithMaxElapsedTime(budget))
	if e, ok := errors.AsType[*Error](err); ok {
		return e // without what the waiting put around it
	}
	return err
}

// never is a wait after which it is no use to try again.
const never = -1 * time.Second

// try calls the API once. After an error, retry is the wait before the next try: 0 for the client's own, or never.
func (c *Client) try(ctx context.Context, r request, v any) (retry time.Duration, err error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return never, err
		}
		body = bytes.NewReader(text)
	}
	to := c.config.URL + r.path
	if len(r.query) > 0 {
		to += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, to, body)
	if err != nil {
		return never, err
	}
	c.sign(req)
	req.Header.Set("Accept", "application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	resp, err := c.config.HTTP.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return never, ctx.Err()
		}
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode >= 300 {
		return failed(resp, text)
	}
	if v != nil && len(text) > 0 {
		if err := decode(text, v); err != nil {
			return never, fmt.Errorf("the answer is not what was expected: %w", err)
		}
	}
	return 0, nil
}

// decode reads one JSON document. Numbers of no known type stay as they are written.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind it")
	}
	return nil
}

// sign says who asks.
func (c *Client) sign(req *http.Request) {
	req.SetBasicAuth(c.config.Key, c.config.Secret.Reveal())
	if c.config.Agent != "" {
		req.Header.Set("User-Agent", c.config.Agent)
	}
}

// longestRetry bounds what a server may ask a person to wait for.
const longestRetry = 10 * time.Second

func failed(resp *http.Response, text []byte) (retry time.Duration, err error) {
	e := &Error{Status: resp.StatusCode, Request: resp.Header.Get("X-Request-Id"), Command: resp.Header.Get("X-Rolebridge-Command-Id")}
	if e.Status < 400 {
		e.Faults = []wire.Fault{misled(resp)}
		return never, e
	}
	var f wire.Failure
	if json.Unmarshal(text, &f) == nil {
		e.Faults = f.Errors
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
			retry = time.Duration(min(s, 3600)) * time.Second
		}
		if retry <= longestRetry {
			return retry, e
		}
	}
	return never, e
}

// misled is what is said of an answer below 400 that is none: most often a redirect.
func misled(resp *http.Response) wire.Fault {
	f := wire.Fault{
		Status: strconv.Itoa(resp.StatusCode), Code: string(integration.CodeInvalid),
		Detail: fmt.Sprintf("the server answered %d %s, which the API does not", resp.StatusCode, http.StatusText(resp.StatusCode)),
	}
	if to := resp.Header.Get("Location"); to != "" {
		f.Detail = fmt.Sprintf("the server sends to another address (%d), %q: the API key is not sent there", resp.StatusCode, to)
		f.Resolution = "If the API is there, give that address."
	}
	return f
}

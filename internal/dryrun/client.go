package dryrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Client asks a [Server].
type Client struct {
	url   string
	token secret.Text
	http  *http.Client
}

// onTheWay is what is left of the asker's time for the answer to come back.
const onTheWay = 500 * time.Millisecond

// NewClient returns a client of the server at base, e.g. http://trust:8082.
func NewClient(base string, token secret.Text) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("dry_run.url: %q: want the http or https URL of a trust worker", base)
	}
	if token.Empty() {
		return nil, errors.New("dry_run.token_file: empty: want the token that the trust worker has")
	}
	transport := &http.Transport{MaxIdleConnsPerHost: MostAtOnce, IdleConnTimeout: time.Minute}
	return &Client{url: strings.TrimRight(base, "/") + Path, token: token, http: &http.Client{
		Transport: transport, Timeout: Longest + time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Prove implements [Prover]. An error that is no refusal is a fault of the set-up, e.g. a wrong token.
func (c *Client) Prove(ctx context.Context, claim Claim) (integration.Report, error) {
	within := Longest
	if end, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(end)-onTheWay)
	}
	body, err := json.Marshal(question{claim, within.Milliseconds()})
	if err != nil {
		return integration.Report{}, fmt.Errorf("dryrun: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return integration.Report{}, fmt.Errorf("dryrun: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	r.Header.Set("Content-Type", "application/json")
	got, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return integration.Report{}, ctx.Err()
		}
		return integration.Report{}, integration.Refuse(integration.CodeUnavailable, "no trust worker can be reached for a dry run")
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(got.Body, longestReport))
	if err != nil {
		return integration.Report{}, integration.Refuse(integration.CodeUnavailable, "the trust worker's answer ended too early")
	}
	return read(got.StatusCode, text)
}

func read(status int, text []byte) (report integration.Report, err error) {
	if status == http.StatusOK {
		if err := json.Unmarshal(text, &report); err != nil || len(report.Checks) == 0 {
			return integration.Report{}, errors.New("dryrun: dry_run.url is not that of a trust worker")
		}
		return report, nil
	}
	var refusal integration.Refusal
	if json.Unmarshal(text, &refusal) == nil {
		switch refusal.Code {
		case integration.CodeThrottled, integration.CodeTimeout, integration.CodeUnavailable:
			return report, &refusal
		}
	}
	return report, fmt.Errorf("dryrun: the trust worker answered %d %s", status, refusal.Message)
}

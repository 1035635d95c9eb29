package creds

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxExplanations bounds what is read: a line of a gate has some hundred bytes.
const maxExplanations = 8 << 20

// AskExplanation asks the broker whose probes answer at base, e.g. http://127.0.0.1:9090. Errors: the broker's refusal; an
// answer that is none; a connection that fails.
func AskExplanation(ctx context.Context, base, of string) ([]Explanation, error) {
	address := strings.TrimRight(base, "/") + ExplainPath + "?of=" + url.QueryEscape(of)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Timeout: fetchBudget}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxExplanations))
	if err != nil {
		return nil, err
	}
	var all []Explanation
	if resp.StatusCode == http.StatusOK && json.Unmarshal(raw, &all) == nil {
		return all, nil
	}
	if refusal := refusalOf(raw); refusal != nil {
		return nil, refusal
	}
	return nil, fmt.Errorf("%s answered %d without an explanation: is it the telemetry address of a broker?", base, resp.StatusCode)
}

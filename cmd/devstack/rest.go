package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/rolebridge/rolebridge/api/wire"
)

// rest asks the API, as any customer's program would.
type rest struct {
	url, key, secret string
}

// do sends in, if it is not nil, and reads the answer into out, if it is not nil.
func (c rest) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return err
	}
	req.SetBasicAuth(c.key, c.secret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var failure wire.Failure
		if err := json.Unmarshal(text, &failure); err != nil || len(failure.Errors) == 0 {
			return fmt.Errorf("%s %s: %s", method, path, resp.Status)
		}
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, failure.Errors[0].Detail)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

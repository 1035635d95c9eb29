package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// sdk is how one family of SDKs keeps container credentials fresh. Times before the expiry are a real SDK's and are
// compressed like the sessions' life; timeouts and pauses between tries are real and are not, which makes the benchmark
// the stricter: a pause of a second takes a minute of a connector's life.
type sdk struct {
	name string
	// refresh is how long before the expiry it asks. Python's and Java's live on for a while when they are given nothing;
	// here that is a failed read all the same.
	refresh time.Duration
	timeout time.Duration // of one try
	tries   int
	pause   func(try int) time.Duration
	again   func(status int) bool // whether it repeats an answer; a broken connection is always repeated
	agent   string
}

// sdks behave as their sources say: aws-sdk-go-v2 (endpointcreds, retry.Standard), botocore (ContainerMetadataFetcher,
// RefreshableCredentials), aws-sdk-java-v2 (ContainerCredentialsProvider, CachedSupplier), aws-sdk-js-v3 (fromHttp,
// memoize).
var sdks = []sdk{
	{
		name: "go", refresh: 5 * time.Minute, timeout: 5 * time.Second, tries: 3, agent: "aws-sdk-go-v2/1.39.0",
		pause: func(try int) time.Duration { return time.Duration(rand.Float64() * float64(time.Second<<try)) }, //nolint:gosec // jitter
		again: func(status int) bool { return status == http.StatusTooManyRequests || status >= 500 },
	},
	{
		name: "botocore", refresh: 15 * time.Minute, timeout: 2 * time.Second, tries: 3, agent: "Botocore/1.40.0",
		pause: func(int) time.Duration { return time.Second },
		again: func(int) bool { return true },
	},
	{
		name: "java", refresh: 15 * time.Minute, timeout: time.Second, tries: 6, agent: "aws-sdk-java/2.33.0",
		pause: func(int) time.Duration { return 0 },
		again: func(status int) bool { return status >= 500 },
	},
	{
		name: "js", refresh: 5 * time.Minute, timeout: time.Second, tries: 4, agent: "aws-sdk-js/3.890.0",
		pause: func(int) time.Duration { return time.Second },
		again: func(int) bool { return true },
	},
}

// record is what all connectors saw together.
type record struct {
	mu       sync.Mutex
	reads    int // rounds of tries
	failed   map[string]int
	broken   map[string]int // tries, by what came instead of a session
	took     []time.Duration
	shortest float64 // life of what was handed out, in minutes of a fleet
}

func newRecord() *record {
	return &record{failed: map[string]int{}, broken: map[string]int{}, shortest: 60}
}

// connector asks for its session whenever its SDK would, until ctx ends.
type connector struct {
	sdk
	url, token string
	client     *http.Client
	record     *record
}

func (c *connector) run(ctx context.Context) error {
	for {
		expires, ok := c.read(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end
		}
		wait := time.Until(expires) - c.refresh/compressed
		if !ok {
			wait = 0 // its user asks again
		}
		// A connector that works asks for its credentials many times a second: the SDK sees at once that it is time.
		if pause(ctx, max(wait, time.Second)) != nil {
			return nil //nolint:nilerr // the end
		}
	}
}

// read is one refresh with all its tries.
func (c *connector) read(ctx context.Context) (expires time.Time, ok bool) {
	var why string
	for try := range c.tries {
		begin := time.Now()
		var status int
		expires, status, why = c.try(ctx)
		if ctx.Err() != nil {
			return time.Time{}, false
		}
		c.record.tried(time.Since(begin), why)
		if why == "" {
			c.record.read(time.Until(expires).Minutes() * compressed)
			return expires, true
		}
		if status != 0 && !c.again(status) {
			break
		}
		if try+1 < c.tries && pause(ctx, c.pause(try)) != nil {
			return time.Time{}, false
		}
	}
	c.record.fail(c.name + ": " + why)
	return time.Time{}, false
}

// try is one request, on a connection of its own: between two refreshes of a real SDK lies most of an hour, and the
// server closes what is idle for two minutes.
func (c *connector) try(ctx context.Context) (expires time.Time, status int, why string) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return expires, 0, err.Error()
	}
	req.Header.Set("Authorization", c.token)
	req.Header.Set("User-Agent", c.agent)
	resp, err := c.client.Do(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return expires, 0, "timeout"
		}
		return expires, 0, "connection"
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return expires, 0, "connection"
	case resp.StatusCode != http.StatusOK:
		return expires, resp.StatusCode, fmt.Sprint(resp.StatusCode)
	}
	var got struct {
		AccessKeyID string `json:"AccessKeyId"`
		Expiration  time.Time
	}
	if err := json.Unmarshal(body, &got); err != nil || got.AccessKeyID == "" || !got.Expiration.After(time.Now()) {
		return expires, 0, "not a session that is good"
	}
	return got.Expiration, http.StatusOK, ""
}

func (r *record) tried(took time.Duration, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, took)
	if why != "" {
		r.broken[why]++
	}
}

func (r *record) read(life float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	r.shortest = min(r.shortest, life)
}

func (r *record) fail(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	r.failed[why]++
}

// histogramBounds are upper bounds in milliseconds.
var histogramBounds = []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 800, 1000, 2000}

// histogram counts tries by how long they took.
func (r *record) histogram() []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := make([]int, len(histogramBounds)+1)
	for _, d := range r.took {
		n, _ := slices.BinarySearch(histogramBounds, float64(d.Nanoseconds())/1e6)
		counts[n]++
	}
	all := make([]map[string]any, 0, len(counts))
	for n, count := range counts {
		bound := any("more")
		if n < len(histogramBounds) {
			bound = histogramBounds[n]
		}
		all = append(all, map[string]any{"up_to_ms": bound, "tries": count})
	}
	return all
}

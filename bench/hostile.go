package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/aws/policy/policytest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// What a text may cost, whatever it says.
const (
	hostileMS = 100
	hostileMB = 16
	// hostileRounds: the fastest of so many counts, since others use the machine as well.
	hostileRounds = 5
)

// cost is what one call takes.
type cost struct {
	what string
	ms   float64
	mb   float64
}

// hostileTexts measures what the worst texts cost that are known: to be read, linted, mended and evaluated, as a line of a
// batch, and by the API. The baseline is the final trust policy, linted.
func hostileTexts(ctx context.Context) (Result, error) {
	const platform, customer = "arn:aws:iam::111122223333:role/platform/cspi-ab12c", "arn:aws:iam::444455556666:role/customer"
	server, err := lintServer()
	if err != nil {
		return Result{}, err
	}
	id := policytest.LongestID
	expect := policy.Expect{PlatformRole: platform, ExternalIDs: []string{id, id[1:]}, CustomerRole: customer}
	request := policy.Request{Caller: policy.Caller{ARN: platform}, Resource: customer, SessionName: "s", ExternalID: id, Tags: map[string]string{"k": "v"}}
	texts := policytest.Hostile()
	var all []cost
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		text := texts[name]
		quoted, err := json.Marshal(string(text))
		if err != nil {
			return Result{}, err
		}
		line := fmt.Appendf(nil, `{"trustPolicy":%s,"principalArn":%q,"externalId":%q,"tags":{}}`, quoted, platform, id)
		body := fmt.Sprintf(`{"policy":%s,"principal":%q,"external_ids":[%q,%q],"customer_role_arn":%q}`, quoted, platform, id, id[1:], customer)
		read := policy.Parse(policy.Trust, text)
		for what, do := range map[string]func(){
			"parse":    func() { policy.Parse(policy.Trust, text) },
			"lint":     func() { read.Lint(expect) },
			"mend":     func() { _, _ = read.Mend(expect) },
			"evaluate": func() { read.Assume(request) },
			"batch":    func() { policy.EvaluateLine(line) },
			"api":      func() { server.lint(ctx, body) },
		} {
			c := measure(do)
			c.what = what + ": " + name
			all = append(all, c)
		}
	}
	if server.failed != nil {
		return Result{}, server.failed
	}
	final, err := policy.FinalTrust(platform, id)
	if err != nil {
		return Result{}, err
	}
	text := final.JSON()
	plain := measure(func() { policy.Parse(policy.Trust, text).Lint(expect) })
	slowest := slices.MaxFunc(all, func(a, b cost) int { return compare(a.ms, b.ms) })
	biggest := slices.MaxFunc(all, func(a, b cost) int { return compare(a.mb, b.mb) })
	return Result{
		Value: slowest.ms, Unit: "ms for the worst text", Baseline: plain.ms,
		Details: map[string]any{
			"baseline_is": "the final trust policy, read and linted",
			"texts":       len(texts), "figures": len(all), "slowest": slowest.what,
			"most_allocated_mb": rounded(biggest.mb), "most_allocated": biggest.what,
		},
		Targets: []Target{atMost("ms for the worst text", slowest.ms, hostileMS), atMost("MB allocated for the worst text", biggest.mb, hostileMB)},
	}, nil
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// measure returns the time of the fastest round, and what a round allocates, all that is freed again included.
func measure(do func()) (c cost) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // its pauses are those of the garbage of others
	var before, after runtime.MemStats
	for range hostileRounds {
		runtime.GC()
		runtime.ReadMemStats(&before)
		begin := time.Now()
		do()
		took := float64(time.Since(begin)) / float64(time.Millisecond)
		runtime.ReadMemStats(&after)
		if c.ms == 0 || took < c.ms {
			c.ms = took
		}
		c.mb = max(c.mb, float64(after.TotalAlloc-before.TotalAlloc)/(1<<20))
	}
	return c
}

// lintServer is an api that has one key and no state.
func lintServer() (*linting, error) {
	const key, text = "BENCH", "a-secret-that-is-long-enough"
	keys, err := api.NewKeys(api.Key{ID: key, Organization: "org-1", Principal: "u-1", Hash: api.HashSecret(secret.New(text))})
	if err != nil {
		return nil, err
	}
	c := api.Defaults()
	c.Rate, c.Burst = 1e6, 1e6
	server, err := api.New(c, oneOrganization{}, nil, keys, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return &linting{handler: server.Handler(), key: key, secret: text}, nil
}

type linting struct {
	handler     http.Handler
	key, secret string
	failed      error
}

// lint asks for findings; a refusal of the body is an answer, too.
func (l *linting) lint(ctx context.Context, body string) {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/rolebridge/v1/policies:lint", strings.NewReader(body))
	r.SetBasicAuth(l.key, l.secret)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	l.handler.ServeHTTP(w, r)
	switch w.Code {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
	default:
		said, _ := io.ReadAll(io.LimitReader(w.Body, 300))
		l.failed = fmt.Errorf("the api answered %d to %.80s: %s", w.Code, body, said)
	}
}

// oneOrganization is a replica of a state that holds nothing else.
type oneOrganization struct{ api.Replica }

// Ready implements [api.Replica].
func (oneOrganization) Ready() <-chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}

// Organization implements [api.Replica].
func (oneOrganization) Organization(o integration.OrganizationID) (*integration.Organization, bool) {
	admin := integration.RoleBinding{Principal: "u-1", Role: integration.OrganizationAdmin}
	return &integration.Organization{ID: o, RoleBindings: []integration.RoleBinding{admin}}, true
}

// KeyOwners implements [api.Replica]: all keys are those of the file.
func (oneOrganization) KeyOwners(integration.KeyID) []*integration.Account { return nil }

// Account implements [api.Replica].
func (oneOrganization) Account(integration.OrganizationID, integration.Principal) (*integration.Account, bool) {
	return nil, false
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
)

// Attempts of each kind of stranger: so many times in turn, so many requests each time.
const (
	strangerRounds   = 400
	strangerRequests = 50
)

// stranger is somebody whom the broker must refuse.
type stranger struct{ kind, target, token string }

// door is a broker with bindings of all sorts, and whom it has to refuse.
type door struct {
	broker  *creds.Broker
	replica *credstest.Replica
	issuer  *identitytest.Issuer
	done    func() error
}

const (
	doorIntegration = integration.ID("cspi-door1")
	doorAudience    = "rolebridge"
	doorSubject     = "system:serviceaccount:connect:orders"
)

func openDoor(ctx context.Context) (d *door, err error) {
	d = &door{replica: credstest.NewReplica(), issuer: identitytest.NewIssuer()}
	dir, err := os.MkdirTemp("", "rolebridge-bench-")
	if err != nil {
		return nil, err
	}
	c := identity.Defaults()
	quiet := slog.New(slog.DiscardHandler)
	err = d.issuer.Trust(&c, dir)
	if err != nil {
		return nil, err
	}
	tokens, err := identity.New("broker", c, quiet, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	cfg := creds.Defaults()
	cfg.FailedAttempts, cfg.FailedBurst = 1e6, 1_000_000
	if d.broker, err = creds.New(cfg, d.replica, creds.NewMemory(nil), credstest.NewCloud(), creds.WithLog(quiet), creds.WithTokens(tokens)); err != nil {
		return nil, err
	}
	d.replica.Trusted("org-1", doorIntegration, "arn:aws:iam::111111111111:role/p", "arn:aws:iam::222222222222:role/c", "x", false)
	d.replica.ChangeBinding(doorIntegration, "workload", func(_ integration.OrganizationID, b *integration.Binding) {
		b.Workloads = []integration.Workload{{OIDC: integration.OIDC{Issuer: d.issuer.URL, Audience: doorAudience, Subject: doorSubject}}}
	})
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- tokens.Run(ctx) }()
	d.done = func() error {
		cancel()
		d.issuer.Close()
		return errors.Join(<-ended, os.RemoveAll(dir))
	}
	return d, nil
}

func target(id integration.ID, c integration.ConnectorID) string {
	return creds.Path + "?" + url.Values{"integration": {string(id)}, "connector": {string(c)}}.Encode()
}

// strangersWithTokens compares the times of refusals of connectors' tokens: all kinds name the same binding.
func strangersWithTokens(ctx context.Context) (Result, error) {
	return refusals(ctx, func(d *door) []stranger {
		d.replica.Bind(doorIntegration, "own", credstest.NewToken())
		foreign, expired := credstest.NewToken(), credstest.NewToken()
		d.replica.Bind(doorIntegration, "foreign", foreign)
		d.replica.ChangeBinding(doorIntegration, "expired", func(o integration.OrganizationID, b *integration.Binding) {
			token := credstest.Token(o, doorIntegration, "expired", expired)
			token.ExpiresAt = time.Now().Add(-time.Hour)
			b.Tokens = []integration.Token{token}
		})
		unknown := credstest.NewToken().Reveal()
		return []stranger{
			{"unknown", target(doorIntegration, "own"), unknown},
			{"foreign", target(doorIntegration, "own"), foreign.Reveal()},
			{"expired", target(doorIntegration, "expired"), expired.Reveal()},
			{malformed, target(doorIntegration, "own"), "%\x7f" + unknown[2:]},
			{"for an unknown binding", target("cspi-none1", "own"), unknown},
		}
	})
}

// strangersWithIssuersTokens compares the times of refusals of issuers' tokens.
func strangersWithIssuersTokens(ctx context.Context) (Result, error) {
	return refusals(ctx, func(d *door) []stranger {
		sign := func(change func(*jwt.Claims)) string {
			c := d.issuer.Claims(doorAudience, doorSubject)
			change(&c)
			return d.issuer.Token(c)
		}
		right := sign(func(*jwt.Claims) {})
		forger := identitytest.NewSigningKey(jose.RS256)
		at := target(doorIntegration, "workload")
		return []stranger{
			{"unknown: another's signature", at, identitytest.Sign(forger, d.issuer.Claims(doorAudience, doorSubject))},
			{"foreign: another subject", at, sign(func(c *jwt.Claims) { c.Subject = "somebody" })},
			{"foreign: another issuer", at, sign(func(c *jwt.Claims) { c.Issuer = "https://issuer.example.com" })},
			{"expired", at, sign(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour)) })},
			{"for an unknown binding", target("cspi-none1", "none"), right},
			{malformed, at, right[:len(right)-8] + "!!!!!!!!"},
		}
	})
}

// malformed is the kind of token that may be refused sooner: whoever sends it knows what is wrong with it.
const malformed = "malformed"

// refusals measures the median time of each kind of refusal, in turns, and compares the slowest with the fastest.
func refusals(ctx context.Context, who func(*door) []stranger) (r Result, err error) {
	d, err := openDoor(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, d.done()) }()
	kinds := who(d)
	if err := d.warm(ctx); err != nil {
		return r, err
	}
	return compared(kinds, func(k stranger) (float64, error) { return d.refuse(ctx, k) })
}

// compared has each kind refused in turns.
func compared(kinds []stranger, refuse func(stranger) (float64, error)) (r Result, err error) {
	times := make([][]float64, len(kinds))
	for round := range strangerRounds + 20 {
		for n := range kinds {
			n = (n + round) % len(kinds)
			took, err := refuse(kinds[n])
			if err != nil {
				return r, err
			}
			if round >= 20 { // caches of the processor are warm
				times[n] = append(times[n], took)
			}
		}
	}
	medians, all := map[string]float64{}, []float64{}
	for n, k := range kinds {
		medians[k.kind] = rounded(median(times[n]))
		if k.kind != malformed {
			all = append(all, median(times[n]))
		}
	}
	return Result{
		Value: slices.Max(all), Unit: "us/refusal", Baseline: slices.Min(all),
		Targets: []Target{atMost("the slowest refusal to the fastest", slices.Max(all)/slices.Min(all), 1.2)},
		Details: map[string]any{
			"baseline_is": "the kind that is refused fastest; the value is the slowest's, medians both, malformed ones left out",
			"medians_us":  medians,
			"requests":    strangerRounds * strangerRequests,
		},
	}, nil
}

// warm has the issuer's keys fetched, which only the right token does.
func (d *door) warm(ctx context.Context) error {
	right := stranger{"right", target(doorIntegration, "workload"), d.issuer.Token(d.issuer.Claims(doorAudience, doorSubject))}
	for range 100 {
		w := httptest.NewRecorder()
		d.broker.Handler().ServeHTTP(w, right.request(ctx))
		if d.issuer.Asked() > 0 && w.Code != http.StatusUnauthorized {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the right token was never accepted")
}

func (s stranger) request(ctx context.Context) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, s.target, nil)
	r.Header.Set("Authorization", s.token)
	return r
}

// refuse returns the time of one refusal, in microseconds.
func (d *door) refuse(ctx context.Context, s stranger) (float64, error) {
	return timedRefusal(d.broker.Handler(), s.request(ctx), s.kind, http.StatusUnauthorized)
}

// timedRefusal returns the time of one answer, in microseconds; all must have the code.
func timedRefusal(h http.Handler, request *http.Request, kind string, code int) (float64, error) {
	w := &status{discard: discard{http.Header{}}}
	begin := time.Now()
	for range strangerRequests {
		h.ServeHTTP(w, request)
	}
	took := time.Since(begin)
	if w.code != code {
		return 0, fmt.Errorf("%s: answered %d", kind, w.code)
	}
	return float64(took.Nanoseconds()) / 1000 / strangerRequests, nil
}

// status keeps the code of an answer.
type status struct {
	discard
	code int
}

func (s *status) WriteHeader(code int) { s.code = code }

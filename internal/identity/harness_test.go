package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
	"github.com/rolebridge/rolebridge/internal/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	acme     = integration.OrganizationID("acme")
	audience = "rolebridge"
	bound    = time.Minute // of what a test waits for
	subject  = "system:serviceaccount:connect:orders"
)

// run runs a verifier until the test ends.
func run(t testing.TB, c identity.Config) (v *identity.Verifier, log *logtest.Log) {
	t.Helper()
	log = &logtest.Log{}
	v, err := identity.New("broker", c, slog.New(slog.NewJSONHandler(log, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	v.Running()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return v, log
}

// published is what issuers publish, without a network.
type published struct {
	mu    sync.Mutex
	keys  map[string][]jose.JSONWebKey
	asked map[string]int
	// wait is how long an issuer takes; away, that it fails.
	wait map[string]time.Duration
	away map[string]bool
}

func publish(v *identity.Verifier) *published {
	p := &published{keys: map[string][]jose.JSONWebKey{}, asked: map[string]int{}, wait: map[string]time.Duration{}, away: map[string]bool{}}
	v.AskWith(p.ask)
	return p
}

func (p *published) ask(ctx context.Context, issuer string) ([]byte, error) {
	p.mu.Lock()
	p.asked[issuer]++
	wait, away := p.wait[issuer], p.away[issuer]
	var set jose.JSONWebKeySet
	for _, k := range p.keys[issuer] {
		set.Keys = append(set.Keys, k.Public())
	}
	p.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if away {
		return nil, errors.New("away")
	}
	return json.Marshal(set)
}

func (p *published) set(change func(*published)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *published) count(issuer string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[issuer]
}

// claims are right ones, of an issuer without a network.
func claims(issuer string, life time.Duration) jwt.Claims {
	now := time.Now()
	return jwt.Claims{
		Issuer: issuer, Audience: jwt.Audience{audience}, Subject: subject, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	}
}

func wanted(issuer string) []integration.Workload {
	return []integration.Workload{{OIDC: integration.OIDC{Issuer: issuer, Audience: audience, Subject: subject}}}
}

func want(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || (got == nil) != (want == nil) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// key is made once: RSA keys take time.
var key = sync.OnceValue(func() jose.JSONWebKey { return identitytest.NewSigningKey(jose.RS256) })

// prove asks with a patience that is over only when a test waits for nothing.
func prove(ctx context.Context, v *identity.Verifier, o integration.OrganizationID, raw string, among []integration.Workload) error {
	return v.Token(ctx, o, raw, among, bound)
}

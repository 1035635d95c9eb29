package identity

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/integration"
)

// What a credential that does not prove anything gets.
var (
	// ErrRefused says that the credential is not one of those that would do; why, nobody is told.
	ErrRefused = errors.New("identity: refused")
	// ErrUnavailable says that the issuer's keys cannot be had now.
	ErrUnavailable = errors.New("identity: the keys of the token's issuer cannot be had")
)

// algorithms are all that a token may be signed with: never none, never a shared secret. RFC 8725, section 3.1.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.EdDSA,
}

// leeway is how far our clock and an issuer's may differ.
const leeway = 30 * time.Second

// Verifier verifies tokens. Safe for concurrent use. [Verifier.Run] has to run for keys to be fetched.
type Verifier struct {
	issuers  *issuers
	verdicts *verdicts
	decoys   decoys
}

// New returns a verifier for a part of the program, e.g. broker, and starts nothing. Errors: a config that is not valid, a CA file that cannot be used, metrics
// that are registered already.
func New(part string, c Config, log *slog.Logger, reg prometheus.Registerer) (*Verifier, error) {
	if err := c.Validate(part); err != nil {
		return nil, err
	}
	web, err := newWeb(part, c)
	if err != nil {
		return nil, err
	}
	metrics, err := newMetrics(part, reg)
	if err != nil {
		return nil, err
	}
	v := &Verifier{issuers: newIssuers(c, web.keys, log, metrics), verdicts: newVerdicts()}
	v.decoys, err = newDecoys()
	return v, err
}

// Run owns the fetches of keys until ctx ends.
func (v *Verifier) Run(ctx context.Context) error { return v.issuers.run(ctx) }

// Token returns nil if raw proves one of these workloads now. Errors: [ErrRefused]; [ErrUnavailable], also when ctx or the
// patience ends before the keys are there: the fetch then goes on, and asking again helps. o is whom a fetch is counted for.
func (v *Verifier) Token(
	ctx context.Context, o integration.OrganizationID, raw string, among []integration.Workload, patience time.Duration,
) error {
	now := time.Now()
	if v.verdicts.hold(v.issuers, o, raw, among, now) { //nolint:contextcheck // a fetch outlives who starts it
		return nil
	}
	token, err := jwt.ParseSigned(raw, algorithms)
	if err != nil {
		v.decoys.spend(jose.RS256)
		return ErrRefused
	}
	header := token.Headers[0] // the compact form has one
	var said jwt.Claims
	claimed := -1
	if token.UnsafeClaimsWithoutVerification(&said) == nil {
		claimed = match(said, among, now)
	}
	if claimed < 0 {
		v.decoys.spend(jose.SignatureAlgorithm(header.Algorithm))
		return ErrRefused
	}
	want := among[claimed].OIDC
	key, of, err := v.issuers.key(ctx, o, want.Issuer, header, patience)
	switch {
	case err != nil:
		return err
	case key == nil:
		v.decoys.spend(jose.SignatureAlgorithm(header.Algorithm))
		return ErrRefused
	}
	var proved jwt.Claims
	if token.Claims(key.Key, &proved) != nil || match(proved, among[claimed:claimed+1], now) != 0 {
		return ErrRefused
	}
	v.verdicts.keep(raw, want, verdict{until: proved.Expiry.Time(), issuer: of, key: key.print})
	return nil
}

// Holder reads who a token says that it is about, and of which issuer; nothing of that is verified. ok is false for what
// is no token that could be.
func Holder(raw string) (issuer, subject string, ok bool) {
	token, err := jwt.ParseSigned(raw, algorithms)
	if err != nil {
		return "", "", false
	}
	var said jwt.Claims
	if token.UnsafeClaimsWithoutVerification(&said) != nil || said.Issuer == "" || said.Subject == "" {
		return "", "", false
	}
	return said.Issuer, said.Subject, true
}

// match returns the first of the workloads that the claims are of, at this time; -1 if there is none. A token that does
// not expire is of nobody.
func match(c jwt.Claims, among []integration.Workload, now time.Time) int {
	if c.Expiry == nil {
		return -1
	}
	return slices.IndexFunc(among, func(w integration.Workload) bool {
		want := w.OIDC
		return want != integration.OIDC{} && c.ValidateWithLeeway(jwt.Expected{
			Issuer: want.Issuer, Subject: want.Subject, AnyAudience: jwt.Audience{want.Audience}, Time: now,
		}, leeway) == nil
	})
}

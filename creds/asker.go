package creds

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/identity"
)

// credential is what a request shows of who asks.
type credential struct {
	// token is the Authorization header's; empty when there is none.
	token string
	// integration and connector name the binding. A token of a binding is enough without; a workload has no binding of its
	// own, and one workload may have many.
	integration integration.ID
	connector   integration.ConnectorID
	// chain is the client's certificate, leaf first.
	chain []*x509.Certificate
}

func (c credential) named() bool { return c.integration != "" }

// way is how whoever asks shows who it is; the label of metrics.
type way string

const (
	wayToken  way = "token"
	wayOIDC   way = "oidc"
	waySPIFFE way = "spiffe"
)

// way is the one that decides, and the only one that is tried. An Authorization header counts before a certificate: a mesh
// gives certificates to all that it carries, while a header is sent on purpose. With a fallback from one to the other, a
// wrong token would go unnoticed until the certificate ends too.
func (c credential) way() way {
	switch {
	case c.token == "" && len(c.chain) > 0:
		return waySPIFFE
	case strings.HasPrefix(c.token, "ey") && strings.Count(c.token, ".") == 2:
		return wayOIDC // a JSON object in base64 opens with these two letters
	default:
		return wayToken
	}
}

// asker is somebody who has proved a binding.
type asker struct {
	binding events.Binding
	hash    tokenHash         // of the plan
	token   integration.Token // none for workloads
	plan    *plan             // may be nil, or out of date
}

// Tokens verifies tokens of workloads; [identity.Verifier] does.
type Tokens interface {
	Token(ctx context.Context, o integration.OrganizationID, raw string, among []integration.Workload, patience time.Duration) error
}

// Certificates verifies certificates of workloads; [identity.Bundles] does.
type Certificates interface {
	ID(chain []*x509.Certificate, now time.Time) (string, error)
}

// nobody verifies nothing, for brokers that are told of no workloads.
type nobody struct{}

func (nobody) Token(context.Context, integration.OrganizationID, string, []integration.Workload, time.Duration) error {
	return identity.ErrRefused
}

func (nobody) ID([]*x509.Certificate, time.Time) (string, error) { return "", identity.ErrRefused }

// WithTokens lets workloads show tokens of OpenID Connect issuers; the default refuses all.
func WithTokens(v Tokens) Option { return func(o *options) { o.tokens = v } }

// WithCertificates lets workloads show certificates; the default refuses all.
func WithCertificates(v Certificates) Option { return func(o *options) { o.certificates = v } }

// authenticate finds out who asks: [errUnauthenticated] for everybody who has not proved a binding, whatever is wrong.
func (b *Broker) authenticate(ctx context.Context, c credential, now time.Time) (asker, error) {
	w := c.way()
	var at asker
	var err error
	switch w {
	case waySPIFFE:
		at, err = b.byCertificate(c, now)
	case wayOIDC:
		// A binding may also have a token of its own that looks like one of an issuer.
		if at, err = b.byToken(c, now); err != nil {
			at, err = b.byWorkload(ctx, c, now)
		}
	case wayToken:
		at, err = b.byToken(c, now)
	}
	b.metrics.authenticated(w, err)
	return at, err
}

// byToken finds the binding that has the token, which has to be the one that is named, if one is.
func (b *Broker) byToken(c credential, now time.Time) (asker, error) {
	at := asker{hash: hashOf(c.token)}
	at.plan = b.plans.get(at.hash)
	var ok bool
	at.binding, at.token, ok = b.binding(at.plan, at.plan.text(at.hash), c.token, now)
	if !ok || !at.token.Alive(now) || c.named() && (at.binding.Integration.ID != c.integration || at.binding.Connector != c.connector) {
		return asker{}, errUnauthenticated
	}
	return at, nil
}

// byWorkload verifies an issuer's token for the binding that is named. Without such a binding it does the same work.
func (b *Broker) byWorkload(ctx context.Context, c credential, now time.Time) (asker, error) {
	binding, workloads := b.workloads(c)
	var o integration.OrganizationID
	if binding.Organization != nil {
		o = binding.Organization.ID
	}
	err := b.tokens.Token(ctx, o, c.token, workloads, time.Until(now.Add(b.cfg.Patience)))
	switch {
	case errors.Is(err, identity.ErrUnavailable) && ctx.Err() != nil:
		return asker{}, ctx.Err()
	case errors.Is(err, identity.ErrUnavailable):
		return asker{}, errIssuer
	case err != nil || binding.Organization == nil:
		return asker{}, errUnauthenticated
	}
	return b.workload(binding), nil
}

// byCertificate compares a certificate's SPIFFE id with those of the binding that is named.
func (b *Broker) byCertificate(c credential, now time.Time) (asker, error) {
	binding, workloads := b.workloads(c)
	id, err := b.certificates.ID(c.chain, now)
	if err != nil || id == "" {
		return asker{}, errUnauthenticated
	}
	for _, w := range workloads {
		if w.SPIFFE == id {
			return b.workload(binding), nil
		}
	}
	return asker{}, errUnauthenticated
}

// workloads are those of the binding that is named; none if there is no such binding.
func (b *Broker) workloads(c credential) (events.Binding, []integration.Workload) {
	binding, ok := b.bindings.Binding(c.integration, c.connector)
	if !ok {
		return events.Binding{}, nil
	}
	return binding, binding.Grant().Workloads
}

// workload is an asker who has proved to be a workload of this binding. All of them share the binding's plan, however
// often their tokens change.
func (b *Broker) workload(of events.Binding) asker {
	at := asker{binding: of, hash: hashOf(workloadPlan + string(of.Integration.ID) + "\n" + string(of.Connector))}
	at.plan = b.plans.get(at.hash)
	return at
}

// workloadPlan opens what the place of a workload's plan is made of. No token has a line feed, so none leads there.
const workloadPlan = "workload\n"

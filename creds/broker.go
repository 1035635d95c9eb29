package creds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// Bindings is the replica of the state, as far as the broker needs it; [events.Table] is one. The values behind a
// binding's pointers never change: a change is a new value.
type Bindings interface {
	// Holders returns the bindings that have a token with this SHA-256, in lower-case hexadecimal.
	Holders(hash string) []events.Holder
	// Binding returns the binding of a connector; ok is false when it is not bound.
	Binding(id integration.ID, c integration.ConnectorID) (b events.Binding, ok bool)
	// Ready is closed once the replica is complete.
	Ready() <-chan struct{}
}

// Broker hands out sessions. Safe for concurrent use. [Broker.Run] has to run for anything but warm reads.
type Broker struct {
	cfg       Config
	bindings  Bindings
	store     Store
	upstream  *upstream
	plans     plans
	book      *book
	turns     *turns
	lone      *rate.Limiter
	metrics   *metrics
	log       *slog.Logger
	onRefused func(integration.OrganizationID, integration.ID)
	trail     Trail

	tokens       Tokens
	certificates Certificates
	sources      Sources
	attempts     *listen.Attempts
	uselessTold  rate.Sometimes
	tracer       *telemetry.Tracer
}

// Option changes how a [Broker] works.
type Option func(*options)

type options struct {
	log       *slog.Logger
	registry  prometheus.Registerer
	onRefused func(integration.OrganizationID, integration.ID)
	trail     Trail

	tokens       Tokens
	certificates Certificates
	sources      Sources
	tracer       *telemetry.Tracer
}

// WithLog sends the broker's few log lines to l; the default is [slog.Default].
func WithLog(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithMetrics registers the broker's metrics; the default keeps them to itself.
func WithMetrics(r prometheus.Registerer) Option { return func(o *options) { o.registry = r } }

// WithTracer makes spans of what is fetched; the default makes none. Warm reads have none.
func WithTracer(t *telemetry.Tracer) Option { return func(o *options) { o.tracer = t } }

// OnRefused calls f when a customer's role denies a session to an integration whose trust was thought to be valid: at most once
// in 30 seconds for each key. f must not block.
func OnRefused(f func(integration.OrganizationID, integration.ID)) Option {
	return func(o *options) { o.onRefused = f }
}

// Sources says where requests come from; [listen.Sources] does.
type Sources interface {
	Of(r *http.Request) listen.Source
}

// WithSources says where requests come from; the default is the peer.
func WithSources(s Sources) Option { return func(o *options) { o.sources = s } }

// New returns a broker and starts nothing. Errors: a config that is not valid, metrics that are registered already.
func New(cfg Config, bindings Bindings, store Store, c Cloud, with ...Option) (*Broker, error) {
	o := options{
		log: slog.Default(), registry: prometheus.NewRegistry(), onRefused: func(integration.OrganizationID, integration.ID) {}, trail: noTrail{},
		tokens: nobody{}, certificates: nobody{}, sources: listen.Sources{},
	}
	for _, f := range with {
		f(&o)
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("creds: %w", err)
	}
	b := &Broker{
		cfg: cfg, bindings: bindings, store: store, plans: newPlans(), log: o.log, onRefused: o.onRefused, trail: o.trail,
		tokens: o.tokens, certificates: o.certificates, sources: o.sources, attempts: listen.NewAttempts(cfg.FailedAttempts, cfg.FailedBurst),
		uselessTold: rate.Sometimes{First: 1, Interval: time.Minute},
		turns:       newTurns(cfg.Calls), lone: rate.NewLimiter(rate.Limit(cfg.Lone), max(1, int(cfg.Lone))),
		book: &book{
			fetches: cfg.Fetches, flying: map[integration.OrganizationID]int{}, slots: map[Key]*slot{},
			due: due{bell: make(chan struct{}, 1)},
		},
	}
	var err error
	if b.metrics, err = newMetrics(o.registry, b.book); err != nil {
		return nil, fmt.Errorf("creds: %w", err)
	}
	b.tracer = o.tracer
	b.upstream = newUpstream(cfg, c, o.log, b.metrics)
	b.upstream.tracer = o.tracer
	return b, nil
}

// stopBudget is what fetches under way get when Run ends: another replica would have to begin anew.
const stopBudget = 2 * time.Second

// Run renews sessions and owns all fetches until ctx ends (nil) or the store fails for good. Once only.
func (b *Broker) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.store.Run(ctx) })
	g.Go(func() error {
		// Here and not before: a flight may join the group only while somebody is in it.
		b.book.open(base, g)
		defer b.book.close()
		b.log.InfoContext(ctx, "broker started", "region", b.cfg.Region)
		return b.schedule(ctx)
	})
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopBudget, cancel) })
	defer stop()
	err := g.Wait()
	b.log.InfoContext(ctx, "broker stopped", "error", err)
	return err
}

func (b *book) open(base context.Context, g *errgroup.Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.base, b.group = base, g
}

// close lets no flight start any more.
func (b *book) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.group, b.closed = nil, true
}

var (
	errUnauthenticated = integration.Refuse(integration.CodeUnauthenticated, "the token is not known")
	errIssuer          = integration.Refuse(integration.CodeUnavailable, "the keys of the token's issuer cannot be had; try again")
	errLoading         = integration.Refuse(integration.CodeUnavailable, "the state is still loading; try again")
)

// Session returns credentials for the binding that token proves, with at least [MinLife] left while the cloud answers,
// and less, but never expired ones, while it does not. It answers within [Config.Patience]; a fetch that it starts may
// outlive ctx.
//
// Errors are refusals: [integration.CodeUnauthenticated] for a token that is unknown, unbound or foreign,
// indistinguishably; [integration.CodeDenied] when trust or the cloud forbids; [integration.CodeUnavailable] and
// [integration.CodeThrottled] when asking again may help. Or the error of ctx.
func (b *Broker) Session(ctx context.Context, token secret.Text) (cloud.Session, error) {
	p, err := b.read(ctx, credential{token: token.Reveal()})
	if err != nil {
		return cloud.Session{}, err
	}
	return p.Session, nil
}

func (b *Broker) read(ctx context.Context, c credential) (*prepared, error) {
	start := time.Now()
	p, level, err := b.find(ctx, c, start)
	end := time.Now()
	if err == nil && !p.valid(end) {
		// The process was suspended while it answered.
		p, level, err = nil, levelNone, errLate
	}
	b.metrics.read(level, err, end.Sub(start))
	return p, err
}

func (b *Broker) find(ctx context.Context, c credential, now time.Time) (*prepared, Level, error) {
	select {
	case <-b.bindings.Ready():
	default:
		return nil, levelNone, errLoading
	}
	at, err := b.authenticate(ctx, c, now)
	if err != nil {
		b.noteRefused(events.Binding{}, err, now)
		return nil, levelNone, err
	}
	p, binding := at.plan, at.binding
	if err = gate(binding); err != nil {
		b.noteRefused(binding, err, now)
		return nil, levelNone, err
	}
	if p == nil || !p.holds(binding) || p.slot.gone.Load() {
		if p, err = b.plan(at); err != nil {
			b.noteRefused(binding, err, now)
			return nil, levelNone, err
		}
	}
	session, level := p.slot.session.Load(), LevelMemory
	if !session.good(now) {
		patience := time.NewTimer(time.Until(now.Add(b.cfg.Patience)))
		defer patience.Stop()
		if session, level, err = b.wait(ctx, p.slot, patience.C); err != nil {
			err = final(err)
			b.noteRefused(binding, err, now)
			return nil, levelNone, err
		}
	}
	b.seen(p, session, level) //nolint:contextcheck // a flight outlives who starts it
	return session, level, nil
}

// gate says why a known binding gets nothing.
func gate(of events.Binding) error {
	if r := of.Integration.CredentialsAllowed(*of.Organization); r != nil {
		return integration.Refuse(integration.CodeDenied, "no credentials: %s", r.Message)
	}
	if kind := of.Integration.Config.Kind; kind != integration.KindAWS {
		return integration.Refuse(integration.CodeDenied, "no credentials: this broker has none for %s", kind)
	}
	return nil
}

// plan makes an asker's plan anew, and drops what only the plan before it could reach.
func (b *Broker) plan(at asker) (*plan, error) {
	was := at.plan
	r, err := b.recipe(at.binding)
	if err != nil {
		return nil, err
	}
	k := r.Key()
	p := &plan{hash: at.hash, token: at.token, binding: at.binding, slot: b.book.slotOf(k, r)}
	switch {
	case was == nil:
	case was.slot.key.Epoch != k.Epoch:
		b.book.drop(was.slot)
		b.book.dropKey(was.slot.recipe.platform().Key())
	case r.succeeds(was.slot):
		b.book.succeed(p.slot, was.slot)
	}
	b.book.link(p.slot, standInOf(at.binding, r))
	b.plans.put(p)
	return p, nil
}

// seen notes that a session was read since it was issued, for the trail too. The first to do so after the session's refresh was due starts
// the refresh: the scheduler passed it over as idle.
func (b *Broker) seen(p *plan, session *prepared, level Level) {
	if !session.noted.Load() && session.noted.CompareAndSwap(false, true) {
		b.noteIssued(p.binding, p.slot.recipe, session, level)
	}
	if p.slot.reader.Load() != nil || !p.slot.reader.CompareAndSwap(nil, p) {
		return
	}
	if session.due(time.Now()) {
		b.book.join(p.slot, b.fly)
	}
}

// final is what a caller sees of an error.
func final(err error) error {
	var refused *refusedError
	var refusal *integration.Refusal
	switch {
	case errors.As(err, &refused):
		return refused.answer
	case errors.As(err, &refusal), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return errLate
}

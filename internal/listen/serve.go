package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/internal/reload"
)

// Listener is an address that is bound. Serve it once, or close it.
type Listener struct {
	name     string
	settings Settings
	on       net.Listener // with limits
	cert     *reload.Value[*tls.Certificate]
	config   *tls.Config
	log      *slog.Logger
	counts   counts
}

// Option changes a [Listener].
type Option func(*options)

type options struct {
	log     *slog.Logger
	metrics *Metrics
	clients Verifier
}

// WithLog sends the listener's few log lines to l; the default is [slog.Default].
func WithLog(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithMetrics counts in m; the default keeps the counts to itself.
func WithMetrics(m *Metrics) Option { return func(o *options) { o.metrics = m } }

// WithClients asks clients for a certificate, which they need not have, and lets v judge it.
func WithClients(v Verifier) Option { return func(o *options) { o.clients = v } }

// Open binds the address of a part, e.g. "broker", which is the label of its metrics. Errors: settings that are not valid,
// files of TLS that cannot be used, an address that is taken, a name that turned out not to be this machine.
func Open(ctx context.Context, part string, s Settings, with ...Option) (*Listener, error) {
	o := options{log: slog.Default()}
	for _, f := range with {
		f(&o)
	}
	if o.metrics == nil {
		o.metrics, _ = NewMetrics(prometheus.NewRegistry()) // a fresh registry takes all
	}
	if err := s.Validate(part); err != nil {
		return nil, err
	}
	l := &Listener{name: part, settings: s, log: o.log, counts: o.metrics.of(part)}
	if s.TLS.enabled() {
		var err error
		if l.cert, err = certificate(s.TLS); err != nil {
			return nil, fmt.Errorf("%s.tls: %w", part, err)
		}
		l.config = tlsConfig(l.cert, o.clients)
		l.counts.expires(l.cert.Get().Leaf.NotAfter)
	}
	on, err := new(net.ListenConfig).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("%s.listen: %w", part, err)
	}
	if at, err := netip.ParseAddrPort(on.Addr().String()); !s.TLS.enabled() && !s.InsecureListen && (err != nil || !StaysHere(at.Addr())) {
		return nil, errors.Join(s.exposed(part, on.Addr().String()), on.Close())
	}
	l.on = bounded(on, s.Limits, l.Sources(), l.counts)
	return l, nil
}

// Addr is where it listens, host:port.
func (l *Listener) Addr() string { return l.on.Addr().String() }

// URL is how to reach it from this machine.
func (l *Listener) URL() string {
	if l.config != nil {
		return "https://" + l.Addr()
	}
	return "http://" + l.Addr()
}

// Sources finds out where the listener's requests come from.
func (l *Listener) Sources() Sources { return Sources{l.settings.TrustedProxies} }

// Close frees the address. After [Listener.Serve] it does nothing.
func (l *Listener) Close() error {
	if err := l.on.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Serve serves h until ctx ends, then gives requests under way the grace to finish.
func (l *Listener) Serve(ctx context.Context, h http.Handler, grace time.Duration) error {
	limits := l.settings.Limits
	srv := &http.Server{
		Handler: l.guard(h), TLSConfig: l.config, MaxHeaderBytes: limits.HeaderBytes,
		ReadHeaderTimeout: limits.ReadHeader, ReadTimeout: limits.Read, WriteTimeout: limits.Write, IdleTimeout: limits.Idle,
		// What net/http says is about single peers, and any peer may make it say so.
		ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stopping{}, ctx.Done())
		},
		// One request at a time on each connection: the bound of connections bounds requests too.
		Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	failed := make(chan error, 1)
	var watch sync.WaitGroup
	defer watch.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if l.cert == nil {
		go func() { failed <- srv.Serve(l.on) }()
	} else {
		watch.Go(func() { l.cert.Run(ctx, l.settings.TLS.ReloadEvery, l.reloaded) })
		go func() { failed <- srv.ServeTLS(l.on, "", "") }()
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	err := srv.Shutdown(stopping)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close() // whoever is still there had the grace
	}
	<-failed //nolint:errcheck // always http.ErrServerClosed after a shutdown
	return err
}

// stopping is the key of what [Stopping] returns.
type stopping struct{}

// Stopping is closed when the listener of a request stops: an answer that goes on for long ends then, instead of using up
// the grace of all. It is nil for a request of no listener.
func Stopping(ctx context.Context) <-chan struct{} {
	done, _ := ctx.Value(stopping{}).(<-chan struct{})
	return done
}

// reloaded tells of a change of the certificate's files.
func (l *Listener) reloaded(err error) {
	if err != nil {
		l.counts.failed.Inc()
		l.log.Error("certificate not reloaded; the one before stays", "part", l.name, "error", err)
		return
	}
	until := l.cert.Get().Leaf.NotAfter
	l.counts.reloaded.Inc()
	l.counts.expires(until)
	l.log.Info("certificate reloaded", "part", l.name, "expires", until.UTC())
}

// guard refuses what no handler here reads, and makes an answer of a panic.
func (l *Listener) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer l.recovered(w, r)
		fault := ""
		switch {
		case (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength != 0:
			// A body where none belongs is how one request is smuggled inside another.
			fault = "a " + r.Method + " has no body"
		case len(r.Header["Authorization"]) > 1:
			// A proxy in front may have judged the other one.
			fault = "there is more than one Authorization header"
		}
		if fault != "" {
			w.Header().Set("Connection", "close")
			http.Error(w, fault, http.StatusBadRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// recovered answers for a handler that panicked.
func (l *Listener) recovered(w http.ResponseWriter, r *http.Request) {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler: // net/http's own way to end a connection
		panic(v)
	default:
		l.counts.panics.Inc()
		l.log.ErrorContext(r.Context(), "request panicked", "part", l.name, "error", Panicked(v))
		w.Header().Set("Connection", "close")
		http.Error(w, "internal error", http.StatusInternalServerError) // too late if the answer began
	}
}

// Panicked is what may be logged of a recovered panic: where it was, and what the runtime says. Any other value may hold
// a secret of the request, so only its type is told.
func Panicked(v any) error {
	if fault, ok := v.(runtime.Error); ok {
		return fmt.Errorf("panic: %w\n%s", fault, debug.Stack())
	}
	return fmt.Errorf("panic with a %T\n%s", v, debug.Stack())
}

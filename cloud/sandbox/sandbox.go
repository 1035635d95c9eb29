package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// stopBudget is what requests under way get when Run ends.
	stopBudget = 5 * time.Second
	// savePeriod bounds how many sessions a killed process forgets. What IAM changed is on disk before its answer.
	savePeriod = time.Second
)

// Config says how a sandbox behaves. Start from Defaults.
type Config struct {
	// Dir is the data folder; it is made if missing. Empty keeps everything, objects too, in memory.
	Dir string

	// RolesPerAccount is IAM's quota: 1,000 at AWS unless raised, 5,000 at most.
	RolesPerAccount int

	// Propagation is how long STS, S3 and the check of principals go on seeing a role as it was before a change. IAM
	// itself reads back its writes at once. SetPropagation changes it later.
	Propagation time.Duration

	// Now is the sandbox's clock; nil means time.Now. Requests signed 15 minutes before or after it are refused.
	Now func() time.Time

	// Log gets start, stop and what could not be saved; never keys or tokens. Nil discards.
	Log *slog.Logger
}

// Defaults is AWS's quota, no delay, and nothing kept on disk.
func Defaults() Config { return Config{RolesPerAccount: 1000} }

// Validate returns all faults at once, each as `field: value: what is allowed`.
func (c Config) Validate() error {
	var faults []error
	if c.RolesPerAccount < 1 || c.RolesPerAccount > 5000 {
		faults = append(faults, fmt.Errorf("%s: %d: 1 to 5000", "RolesPerAccount", c.RolesPerAccount))
	}
	if c.Propagation < 0 {
		faults = append(faults, fmt.Errorf("%s: %s: not negative", "Propagation", c.Propagation))
	}
	return errors.Join(faults...)
}

// Sandbox is one make-believe AWS with all its accounts. Its methods are safe for concurrent use.
type Sandbox struct {
	roleQuota int
	now       func() time.Time
	log       *slog.Logger

	mu          sync.RWMutex
	state       *state
	propagation time.Duration
	listener    net.Listener

	disk    *disk
	objects *objects
	s3      http.Handler
	faults  faults
}

// New reads the data folder, when one is given, and starts nothing. Errors: a Config that is not valid, a folder that
// cannot be written, a state file that cannot be read.
func New(cfg Config) (*Sandbox, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s := &Sandbox{roleQuota: cfg.RolesPerAccount, propagation: cfg.Propagation, now: cfg.Now, log: cfg.Log}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.disk, s.state, err = openDisk(cfg.Dir); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if s.objects, err = openObjects(cfg.Dir, s.now); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	s.s3 = s.newS3()
	return s, nil
}

// SetPropagation changes the delay for what is written from now on. Changes under way keep theirs.
func (s *Sandbox) SetPropagation(delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.propagation = max(delay, 0)
}

// Listen opens addr, such as "127.0.0.1:0", so that Endpoint is known before Run. It refuses addresses that are not
// loopback: the sandbox speaks plain HTTP and hands out keys for whatever its state file says.
func (s *Sandbox) Listen(ctx context.Context, addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("sandbox: listen on %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("sandbox: listen on %q: only a loopback address is allowed", addr)
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return errors.Join(fmt.Errorf("sandbox: already listening on %s", s.listener.Addr()), l.Close())
	}
	s.listener = l
	return nil
}

// Endpoint is the value for AWS_ENDPOINT_URL, or "" before Listen.
func (s *Sandbox) Endpoint() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.listener == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

// Run serves what Listen opened until ctx ends, gives requests under way 5 seconds, and saves. It returns nil after such
// a stop; an error means that it could not serve or not save.
func (s *Sandbox) Run(ctx context.Context) error {
	s.mu.RLock()
	l := s.listener
	s.mu.RUnlock()
	if l == nil {
		return errors.New("sandbox: Run before Listen")
	}
	return s.Serve(ctx, l)
}

// Serve is Run for a listener that the caller opened. It closes l.
func (s *Sandbox) Serve(ctx context.Context, l net.Listener) error {
	s.log.InfoContext(ctx, "sandbox started", "endpoint", "http://"+l.Addr().String())
	g, ctx := errgroup.WithContext(ctx)
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		// Only waits on purpose (Fault.Latency) heed the context: a stop ends them, and nothing that works.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("sandbox: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBudget)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			return errors.Join(fmt.Errorf("sandbox: stop: %w", err), server.Close())
		}
		return nil
	})
	g.Go(func() error { return s.saveNowAndThen(ctx) })
	err := g.Wait()
	if saved := s.save(); saved != nil {
		err = errors.Join(err, fmt.Errorf("sandbox: %w", saved))
	}
	s.log.InfoContext(ctx, "sandbox stopped", "error", err)
	return err
}

func (s *Sandbox) saveNowAndThen(ctx context.Context) error {
	tick := time.NewTicker(savePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.save(); err != nil {
				s.log.WarnContext(ctx, "sandbox state not saved", "error", err)
			}
		}
	}
}

package creds

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// KeysetWatch keeps a [Sealer] at what its file says. The file may change while brokers run. One that is broken or lost is
// refused, told once, and the keyset before it goes on; a process that never had one seals with a keyset of its own, so
// that a lost keyset costs a cold cache and no outage. One goroutine runs it.
type KeysetWatch struct {
	sealer *Sealer
	file   KeysetFile
	every  time.Duration
	log    *slog.Logger
	loads  *prometheus.CounterVec

	loaded  bool   // at least once
	current []byte // as it was loaded last
	told    string // what was wrong last; empty when nothing was
}

// lookAtKeyset is how often the file is read.
const lookAtKeyset = 10 * time.Second

// NewKeysetWatch returns a watch and the sealer that it keeps, which has a keyset of its own until [KeysetWatch.Load].
func NewKeysetWatch(f KeysetFile, log *slog.Logger, reg prometheus.Registerer) (*KeysetWatch, *Sealer, error) {
	s, err := NewSealer()
	if err != nil {
		return nil, nil, err
	}
	w := &KeysetWatch{
		sealer: s, file: f, every: lookAtKeyset, log: log,
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_broker_keyset_loads_total", Help: "Keysets taken from the file when it changed, and looks at a file that was refused.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{outcomeOK, "refused"} {
		w.loads.WithLabelValues(outcome)
	}
	if err := reg.Register(w.loads); err != nil {
		return nil, nil, fmt.Errorf("creds: %w", err)
	}
	return w, s, nil
}

// Run looks at the file until ctx ends (nil).
func (w *KeysetWatch) Run(ctx context.Context) error {
	again := time.NewTicker(w.every)
	defer again.Stop()
	for {
		w.Load(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// Load takes the keyset from the file if it changed. A file that was refused is tried again: a KMS may be back.
func (w *KeysetWatch) Load(ctx context.Context) {
	raw, err := os.ReadFile(w.file.Path)
	if err == nil && w.loaded && bytes.Equal(raw, w.current) {
		if w.told != "" {
			w.told = ""
			w.log.InfoContext(ctx, "keyset is as it was", "file", w.file.Path)
		}
		return
	}
	if err == nil {
		if handle, failed := w.file.parse(ctx, raw); failed != nil {
			err = failed
		} else {
			err = w.sealer.use(handle)
		}
	}
	if err != nil {
		w.refuse(ctx, err)
		return
	}
	w.loaded, w.current, w.told = true, raw, ""
	w.loads.WithLabelValues(outcomeOK).Inc()
	w.log.InfoContext(ctx, "keyset loaded", "file", w.file.Path)
}

// refuse tells a fault once, and counts it at every look, so that an alert ends when the fault does.
func (w *KeysetWatch) refuse(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.loads.WithLabelValues("refused").Inc()
	if w.told == err.Error() {
		return
	}
	w.told = err.Error()
	goes := "the keyset before it"
	if !w.loaded {
		goes = "a keyset of this process alone: no session is shared"
	}
	w.log.ErrorContext(ctx, "keyset refused", "error", err, "goes_on_with", goes)
}

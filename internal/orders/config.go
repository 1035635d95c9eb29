package orders

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// Config says how a [Consumer] reads orders. Start from [Defaults].
type Config struct {
	Topics events.Topics `koanf:"-"`
	// Client says how to reach Kafka: seeds, TLS, SASL.
	Client []kgo.Opt `koanf:"-"`
	// Tracer makes spans of orders; nil makes none.
	Tracer *telemetry.Tracer `koanf:"-"`
	// Group is the consumer group's name; empty: [events.Topics.Group] of the worker's.
	Group string `koanf:"group"`
	// Instance names this worker's slot, stable over restarts and different from all others: a worker that comes back
	// under the same name has its partitions again at once. Empty: a member like any other, gone after SessionTimeout.
	Instance string `koanf:"instance"`
	// SessionTimeout is how long a worker that is gone keeps its partitions.
	SessionTimeout time.Duration `koanf:"session_timeout"`
	// Concurrency is the most orders that are handled at once.
	Concurrency int `koanf:"concurrency"`
	// Waiting is the most records held in memory before they are handled; polling stops there.
	Waiting int `koanf:"waiting"`
	// HandleTimeout bounds one order. The decider asks again after 2 minutes, so longer is in vain.
	HandleTimeout time.Duration `koanf:"handle_timeout"`
	// StopBudget is what running orders get when the worker is asked to stop.
	StopBudget time.Duration `koanf:"stop_budget"`
}

// Defaults returns a configuration that lacks Topics and Client.
func Defaults() Config {
	return Config{
		SessionTimeout: 10 * time.Second, Concurrency: 64, Waiting: 1000,
		HandleTimeout: 90 * time.Second, StopBudget: 15 * time.Second,
	}
}

// Validate reports all faults at once, each as "path: value: what is allowed".
func (c Config) Validate() error {
	var faults []error
	if err := c.Topics.Check(); err != nil {
		faults = append(faults, err)
	}
	for _, n := range []struct {
		path      string
		v, lo, hi int
	}{
		{"concurrency", c.Concurrency, 1, 1000}, {"waiting", c.Waiting, 1, 5000},
	} {
		if n.v < n.lo || n.v > n.hi {
			faults = append(faults, fmt.Errorf("orders.%s: %d: want %d to %d", n.path, n.v, n.lo, n.hi))
		}
	}
	for _, d := range []struct {
		path      string
		v, lo, hi time.Duration
	}{
		{"session_timeout", c.SessionTimeout, time.Second, 5 * time.Minute},
		{"handle_timeout", c.HandleTimeout, time.Second, 2 * time.Minute},
		{"stop_budget", c.StopBudget, time.Second, 2 * time.Minute},
	} {
		if d.v < d.lo || d.v > d.hi {
			faults = append(faults, fmt.Errorf("orders.%s: %v: want %v to %v", d.path, d.v, d.lo, d.hi))
		}
	}
	return errors.Join(faults...)
}

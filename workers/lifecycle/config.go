package lifecycle

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// Config says how a [Worker] works. Start from [Defaults].
type Config struct {
	Topics events.Topics `koanf:"-"`
	// Client says how to reach Kafka: seeds, TLS, SASL.
	Client []kgo.Opt `koanf:"-"`
	// Group is the consumer group's name, with which transactional ids begin; empty: [events.Topics.Group] of "lifecycle". All
	// deciders of an installation need the same, or each group decides everything.
	Group string `koanf:"group"`
	// Instance names this worker's slot, stable over restarts and different from all others: a worker that was killed
	// and comes back under the same name has its partitions again at once, and fences what its predecessor left open.
	Instance string `koanf:"instance"`
	// Fresh makes the transactional id new at each start. Only for an embedded broker that cannot fence a predecessor.
	Fresh bool `koanf:"-"`
	// SessionTimeout is how long a worker that is gone for good keeps its partitions.
	SessionTimeout time.Duration `koanf:"session_timeout"`
	// TransactionTimeout must be longer than a broker takes to restart: a transaction that times out while its
	// coordinator is away may be left hanging for good.
	TransactionTimeout time.Duration `koanf:"transaction_timeout"`
	// EndTimeout bounds the end of one transaction; after it the worker gives up and must be restarted.
	EndTimeout time.Duration `koanf:"end_timeout"`
	// BatchRecords is the most records that one transaction decides. More is faster and answers later.
	BatchRecords int `koanf:"batch_records"`
	// Tracer makes spans of decisions; nil makes none.
	Tracer *telemetry.Tracer `koanf:"-"`
	// RequireSigned refuses commands whose signature does not prove that their producer may act as their actor.
	RequireSigned bool `koanf:"require_signed"`
	// SignersFile registers the keys of producers; package events/signature has its shape. Empty: signatures are not looked
	// at. A change of the file counts within seconds.
	SignersFile string `koanf:"signers_file"`
	// Proof judges who sends commands; nil lets everybody who may write to the topic act as anybody.
	Proof Proof `koanf:"-"`
	// Accounts are the platform's own at AWS, of which no role can be a customer's.
	Accounts []string `koanf:"-"`
}

// Proof judges whether a command's producer may act as its actor. Safe for concurrent use.
type Proof interface {
	// Check returns why not, or nil. It judges by the record alone, which it does not change, and the time.
	Check(r *kgo.Record, cmd integration.Command, now time.Time) *integration.Refusal
}

// unasked is the [Proof] of a worker without one.
type unasked struct{}

// Check implements [Proof].
func (unasked) Check(*kgo.Record, integration.Command, time.Time) *integration.Refusal { return nil }

// Defaults returns a configuration that lacks Topics, Client and Instance.
func Defaults() Config {
	return Config{
		SessionTimeout: 10 * time.Second, TransactionTimeout: time.Minute, EndTimeout: 5 * time.Second, BatchRecords: 1000,
	}
}

// Validate reports all faults at once, each as "path: value: what is allowed".
func (c Config) Validate() error {
	between := func(path string, v, low, high time.Duration) error {
		if v < low || v > high {
			return fmt.Errorf("lifecycle.%s: %v: want %v to %v", path, v, low, high)
		}
		return nil
	}
	var instance, batch, signers error
	if c.Instance == "" {
		instance = errors.New("lifecycle.instance: empty: want a name for this worker that is stable over restarts")
	}
	if c.BatchRecords < 1 || c.BatchRecords > 10_000 {
		batch = fmt.Errorf("lifecycle.batch_records: %d: want 1 to 10000", c.BatchRecords)
	}
	if c.RequireSigned && c.SignersFile == "" {
		signers = errors.New("lifecycle.signers_file: empty: want the registered keys, since lifecycle.require_signed is set")
	}
	return errors.Join(
		c.Topics.Check(), instance, batch, signers,
		between("session_timeout", c.SessionTimeout, time.Second, 5*time.Minute),
		between("transaction_timeout", c.TransactionTimeout, 15*time.Second, 15*time.Minute),
		between("end_timeout", c.EndTimeout, time.Second, time.Minute),
	)
}

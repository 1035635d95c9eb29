package trust

import (
	"errors"
	"fmt"
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/internal/orders"
)

// Config says how a [Worker] works. Start from [Defaults].
type Config struct {
	orders.Config `koanf:",squash"`
	Prover        ProverConfig `koanf:",squash"`
}

// ProverConfig says how a [Prover] proves.
type ProverConfig struct {
	// Own are the platform's accounts at AWS, of which no role can be a customer's.
	Own []string `koanf:"-"`
	// MaxSession is the session duration that bindings will ask for, 15 min to 1 h (the most of a chained session).
	MaxSession time.Duration `koanf:"max_session"`
	// ReadPolicy has the linter look at the real trust policy where the role permits iam:GetRole. A role that does not
	// notes a refused call in its account's audit log at every proof.
	ReadPolicy bool `koanf:"read_policy"`
	// Tries is how often a check is made that meets a temporary error, 1 to 10.
	Tries uint `koanf:"tries"`
	// FirstPause before a check is made again; it grows.
	FirstPause time.Duration `koanf:"first_pause"`
	// Budget bounds one proof as a whole; what is not made by then counts as an error.
	Budget time.Duration `koanf:"budget"`
	// CallsPerSecond of one organization into one customer account, and how many at once after a rest. Its dry runs have a
	// quarter as many on top. STS allows an account some hundred calls a second, which it shares with the customer's own work.
	CallsPerSecond float64 `koanf:"calls_per_second"`
	CallsBurst     int     `koanf:"calls_burst"`
	// CallWait is the longest that a call waits for its turn.
	CallWait time.Duration `koanf:"call_wait"`
	// Accounts is how many pairs of organization and customer account are remembered for that.
	Accounts int `koanf:"accounts"`
}

// Defaults returns a configuration that lacks Topics and Client.
func Defaults() Config {
	return Config{Config: orders.Defaults(), Prover: ProverDefaults()}
}

// ProverDefaults returns the configuration of a prover.
func ProverDefaults() ProverConfig {
	return ProverConfig{
		MaxSession: aws.LongestChained, ReadPolicy: true, Tries: 4, FirstPause: 250 * time.Millisecond, Budget: 60 * time.Second,
		CallsPerSecond: 10, CallsBurst: 40, CallWait: 10 * time.Second, Accounts: 10_000,
	}
}

// Validate reports all faults at once, each as "path: value: what is allowed".
func (c Config) Validate() error { return errors.Join(c.Config.Validate(), c.Prover.Validate()) }

// Validate reports all faults at once, each as "path: value: what is allowed".
func (c ProverConfig) Validate() error {
	var faults []error
	refuse := func(path string, v any, want string) {
		faults = append(faults, fmt.Errorf("trust.%s: %v: want %s", path, v, want))
	}
	if c.MaxSession < aws.ShortestSession || c.MaxSession > aws.LongestChained {
		refuse("max_session", c.MaxSession, "15m to 1h")
	}
	if c.Tries < 1 || c.Tries > 10 {
		refuse("tries", c.Tries, "1 to 10")
	}
	if c.FirstPause < time.Millisecond || c.FirstPause > 10*time.Second {
		refuse("first_pause", c.FirstPause, "1ms to 10s")
	}
	if c.Budget < time.Second || c.Budget > 80*time.Second {
		refuse("budget", c.Budget, "1s to 1m20s, less than an order has")
	}
	if c.CallsPerSecond <= 0 || c.CallsPerSecond > 1000 {
		refuse("calls_per_second", c.CallsPerSecond, "more than 0, at most 1000")
	}
	if c.CallsBurst < 1 || c.CallsBurst > 1000 {
		refuse("calls_burst", c.CallsBurst, "1 to 1000")
	}
	if c.CallWait < 0 || c.CallWait > time.Minute {
		refuse("call_wait", c.CallWait, "0s to 1m")
	}
	if c.Accounts < 1 || c.Accounts > 1_000_000 {
		refuse("accounts", c.Accounts, "1 to 1000000")
	}
	return errors.Join(faults...)
}

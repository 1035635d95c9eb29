package creds

import (
	"errors"
	"fmt"
	"time"
)

// Config says how a [Broker] works. Start from [Defaults].
type Config struct {
	// Region of the endpoint that sessions are asked of, e.g. "eu-west-1".
	Region string `koanf:"region"`
	// Duration of a session, 40 minutes to 1 hour: AWS gives a chained session one hour at most, and the tenth after
	// half of its life must end with 15 minutes left.
	Duration time.Duration `koanf:"duration"`
	// Patience is how long an answer may take, 50 to 790 ms: SDKs give up after 1 s.
	Patience time.Duration `koanf:"patience"`
	// Timeout of one call to the cloud. Longer than the patience: a slow answer is kept for the next asker.
	Timeout time.Duration `koanf:"timeout"`
	// Fetch is the bound of one fetch with all that it waits for: leases, its turn, limits and two calls.
	Fetch time.Duration `koanf:"fetch"`
	// Fetches under way at once; more are refused with [integration.CodeThrottled]. One organization may have as many as are
	// left for all others. As many as [Config.Rate] serves within [Config.Fetch]: two calls each.
	Fetches int `koanf:"fetches"`
	// Calls to the cloud at once. Organizations take turns.
	Calls int `koanf:"calls"`
	// Rate of calls to the cloud, per second, while it does not throttle. AWS allows an account 600 in its larger
	// regions, shared by all replicas and workers.
	Rate float64 `koanf:"rate"`
	// Lone is the rate of fetches, per second, while the store cannot be used: each replica then asks for itself.
	Lone float64 `koanf:"lone"`
	// Lease is how long a replica that was killed keeps the others from fetching what it was fetching.
	Lease time.Duration `koanf:"lease"`
	// Poll is how often those who wait for another replica look by themselves, should a wake-up be lost.
	Poll time.Duration `koanf:"poll"`
	// BreakAfter failures in a row the cloud is left alone for BreakFor.
	BreakAfter int           `koanf:"break_after"`
	BreakFor   time.Duration `koanf:"break_for"`
	// FailedAttempts is how many a second of one source are answered with 401, FailedBurst how many at once; of more each is
	// a 429. What is right is answered always.
	FailedAttempts float64 `koanf:"failed_attempts"`
	FailedBurst    int     `koanf:"failed_burst"`
}

// Defaults suits a fleet of up to ten replicas in one region.
func Defaults() Config {
	return Config{
		Region: "us-east-1", Duration: time.Hour, Patience: 750 * time.Millisecond, Timeout: 10 * time.Second,
		Fetch: time.Minute, Fetches: 2048, Calls: 32, Rate: 100, Lone: 20, Lease: 3 * time.Second,
		Poll: 500 * time.Millisecond, BreakAfter: 5, BreakFor: 5 * time.Second, FailedAttempts: 1, FailedBurst: 30,
	}
}

// Validate returns all faults at once, each as `path: value: what is allowed`.
func (c Config) Validate() error {
	var faults []error
	within := func(path string, ok bool, value any, allowed string) {
		if !ok {
			faults = append(faults, fmt.Errorf("broker.%s: %v: want %s", path, value, allowed))
		}
	}
	between := func(path string, value, low, high time.Duration) {
		within(path, value >= low && value <= high, value, fmt.Sprintf("%s to %s", low, high))
	}
	count := func(path string, value, low, high int) {
		within(path, value >= low && value <= high, value, fmt.Sprintf("%d to %d", low, high))
	}
	rate := func(path string, value float64) {
		within(path, value >= 1 && value <= 1e6, value, "1 to 1000000 per second")
	}
	within("region", c.Region != "", `""`, "the name of a region")
	between("duration", c.Duration, 40*time.Minute, time.Hour)
	between("patience", c.Patience, 50*time.Millisecond, 790*time.Millisecond)
	between("timeout", c.Timeout, time.Second, time.Minute)
	between("fetch", c.Fetch, 2*time.Second, 5*time.Minute)
	within("fetch", c.Fetch >= c.Timeout, c.Fetch, "at least the timeout of one call")
	count("fetches", c.Fetches, 1, 1_000_000)
	count("calls", c.Calls, 1, 10_000)
	rate("rate", c.Rate)
	rate("lone", c.Lone)
	between("lease", c.Lease, 500*time.Millisecond, time.Minute)
	between("poll", c.Poll, 50*time.Millisecond, c.Lease)
	count("break_after", c.BreakAfter, 1, 1000)
	within("failed_attempts", c.FailedAttempts > 0 && c.FailedAttempts <= 1e6, c.FailedAttempts, "more than 0 and at most 1000000 per second")
	count("failed_burst", c.FailedBurst, 1, 1_000_000)
	between("break_for", c.BreakFor, 100*time.Millisecond, time.Minute)
	return errors.Join(faults...)
}

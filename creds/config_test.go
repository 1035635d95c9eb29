package creds_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
)

func TestAllFaultsOfAConfigAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	if err := creds.Defaults().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if err := creds.RedisDefaults().Validate(); err != nil {
		t.Errorf("the defaults of Redis: %v", err)
	}
	c := creds.Defaults()
	c.Duration, c.Patience, c.Region, c.Lease = 15*time.Minute, time.Second, "", time.Millisecond
	got := c.Validate()
	for _, want := range []string{
		"broker.duration: 15m0s: want 40m0s to 1h0m0s", "broker.patience: 1s: want 50ms to 790ms", `broker.region: "": want`,
		"broker.lease: 1ms: want 500ms to 1m0s",
	} {
		if got == nil || !strings.Contains(got.Error(), want) {
			t.Errorf("got %v, want it to say %q", got, want)
		}
	}
	if _, err := creds.New(c, credstest.NewReplica(), creds.NewMemory(nil), credstest.NewCloud()); err == nil {
		t.Error("a broker was made of it")
	}
	r := creds.RedisDefaults()
	r.Address, r.Timeout = "", 0
	if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "redis.address") || !strings.Contains(err.Error(), "redis.timeout") {
		t.Errorf("got %v, want address and timeout named", err)
	}
}

func TestMetricsThatAreTakenAreAnError(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	for n, fails := range []bool{false, true} {
		_, err := creds.New(creds.Defaults(), credstest.NewReplica(), creds.NewMemory(nil), credstest.NewCloud(), creds.WithMetrics(registry))
		if (err != nil) != fails {
			t.Errorf("broker %d: %v, want an error: %t", n, err, fails)
		}
	}
}

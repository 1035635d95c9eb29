package creds_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

func TestReplicasWhoseClocksDifferAskTwiceAnHourAtMost(t *testing.T) {
	for _, apart := range []time.Duration{50 * time.Millisecond, 2 * time.Second, 30 * time.Second} {
		t.Run(apart.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.cloud.Inject(credstest.Fault{Latency: 50 * time.Millisecond})
				var fleet []*creds.Broker
				shared, clocks := w.store, []time.Duration{0, apart, -apart}
				for _, ahead := range clocks {
					w.store = movedStore{shared, ahead}
					fleet = append(fleet, w.brokerOn(t, movedCloud{w.cloud, ahead}))
				}
				const hours = 24
				for range hours * 60 {
					for n, b := range fleet {
						s := mustSession(t, b, w.token)
						if left := time.Until(s.Expires.Add(clocks[n])); left < creds.MinLife-apart {
							t.Fatalf("%s left, want 15 minutes less the %s between the clocks", left, apart)
						}
					}
					bubbletest.Pass(time.Minute)
				}
				if got := w.cloud.Calls(customerRole); got > 2*hours+1 || got < hours {
					t.Errorf("the customer's role was asked for %d times in %d hours, want at most two an hour", got, hours)
				}
				if got := w.cloud.Calls(platformRole); got > 2*hours+1 {
					t.Errorf("the platform role was asked for %d times in %d hours, want at most two an hour", got, hours)
				}
			})
		})
	}
}

func TestAnIdleKeyCostsAFleetNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var fleet []*creds.Broker
		for range 3 {
			fleet = append(fleet, w.broker(t))
			mustSession(t, fleet[len(fleet)-1], w.token)
		}
		bubbletest.Pass(40 * time.Minute) // renewed once, since it was read
		before := w.cloud.Calls("")
		bubbletest.Pass(48 * time.Hour)
		if after := w.cloud.Calls(""); after != before {
			t.Errorf("%d calls in two days in which nobody read, want none", after-before)
		}
		if got := w.metric(t, "rolebridge_broker_cached_sessions", ""); got != 0 {
			t.Errorf("%v sessions in memory, want none", got)
		}
	})
}

// Readers come through a load balancer as SDKs do: each session is read once, when an SDK's own refresh is due.
func TestRefreshAheadFollowsTheRhythmOfSDKs(t *testing.T) {
	for name, before := range map[string]time.Duration{
		"botocore, 15 minutes before": 15 * time.Minute, "Java, 15 minutes before": 15 * time.Minute,
		"Go, 5 minutes before": 5 * time.Minute, "JavaScript, 5 minutes before": 5 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				fleet := []*creds.Broker{w.broker(t), w.broker(t), w.broker(t)}
				w.cloud.Inject(credstest.Fault{Latency: 200 * time.Millisecond})
				mustSession(t, fleet[0], w.token)
				random := rand.New(rand.NewPCG(3, 4))
				const hours = 48
				for end := time.Now().Add(hours * time.Hour); time.Now().Before(end); {
					start := time.Now()
					s := mustSession(t, fleet[random.IntN(len(fleet))], w.token)
					if left := time.Until(s.Expires); left < creds.MinLife {
						t.Fatalf("%s left, want 15 minutes at least", left)
					}
					if took := time.Since(start); took != 0 {
						t.Fatalf("a read waited %s", took)
					}
					bubbletest.Pass(max(time.Until(s.Expires)-before, time.Second))
				}
				if got := w.cloud.Calls(customerRole); got > 2*hours+1 {
					t.Errorf("the customer's role was asked for %d times in %d hours, want at most two an hour", got, hours)
				}
			})
		})
	}
}

func TestRenewalsOfManyKeysAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t, func(c *creds.Config) { c.Rate = 1000 })
		const keys = 300
		for _, token := range w.connectors(keys) {
			mustSession(t, b, token)
		}
		bubbletest.Pass(29*time.Minute + 30*time.Second)
		var perMinute []int
		for last := w.cloud.Calls(customerRole); len(perMinute) < 8; {
			bubbletest.Pass(time.Minute)
			now := w.cloud.Calls(customerRole)
			perMinute, last = append(perMinute, now-last), now
		}
		if most := slices.Max(perMinute); most > keys/3 {
			t.Errorf("renewals by minute from 29:30 on: %v, want them spread over six minutes", perMinute)
		}
		if all := w.cloud.Calls(customerRole); all != 2*keys {
			t.Errorf("%d calls for %d keys, want each renewed once", all, keys)
		}
		t.Log(fmt.Sprint(perMinute))
	})
}

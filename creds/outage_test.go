package creds_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

func TestAnExpiredSessionIsNeverHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		s := mustSession(t, b, w.token)
		outage := w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		bubbletest.Pass(time.Until(s.Expires) - creds.HardLimit - time.Second)
		if got := mustSession(t, b, w.token); got != s {
			t.Error("a second before the limit: another session")
		}
		bubbletest.Pass(time.Second)
		for range 100 {
			start := time.Now()
			_, err := b.Session(t.Context(), w.token)
			wantCode(t, "after the limit", err, integration.CodeUnavailable)
			if took := time.Since(start); took > 800*time.Millisecond {
				t.Errorf("an answer took %s, want at most 800 ms", took)
			}
			bubbletest.Pass(time.Second)
		}
		if outage.Fired() == 0 {
			t.Error("the fault never fired")
		}
		outage.Remove()
		bubbletest.Pass(10 * time.Second)
		mustSession(t, b, w.token)
	})
}

func TestASessionThatComesWithLessThanAMinuteLeftIsNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		short := movedCloud{w.cloud, time.Hour - 30*time.Second} // as for a clock that is far ahead
		b := w.brokerOn(t, short)
		for range 60 {
			asked(t, b, w.token).want(t, "a session with 30 s left", unavailable)
			bubbletest.Pass(time.Second)
		}
		if n := w.cloud.Calls(""); n > 60 {
			t.Errorf("%d calls in a minute for what cannot be used", n)
		}
	})
}

func TestAnInconclusiveProofDuringAnOutageKeepsWarmKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		warm := mustSession(t, b, w.token)
		outage := w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		w.replica.Proved(orders, integration.Report{Checks: []integration.Check{
			{Name: integration.CheckPlatformIdentity, Outcome: integration.Errored},
			{Name: integration.CheckTagSession, Outcome: integration.Skipped},
		}})
		if got := mustSession(t, b, w.token); got != warm {
			t.Error("another session after a proof that could not be made, want the one in memory")
		}
		if n := outage.Fired(); n != 0 {
			t.Errorf("%d calls to the cloud for a warm key, want none", n)
		}
		outage.Remove()
	})
}

func TestAShortBreakOfTheCloudIsNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		broken := w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		time.AfterFunc(300*time.Millisecond, broken.Remove)
		mustSession(t, b, w.token) // cold: waits, tries again
		if broken.Fired() == 0 {
			t.Error("the fault never fired")
		}
	})
}

func TestABrokenCloudIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		outage := w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		tokens := w.connectors(50)
		for range 60 {
			for _, token := range tokens {
				go func() { _, _ = b.Session(t.Context(), token) }()
			}
			bubbletest.Pass(time.Second)
		}
		if n := outage.Fired(); n > 5+12+2 { // five to trip it, then one in five seconds
			t.Errorf("50 connectors made %d calls in a minute of outage, want about 17", n)
		}
		if got := w.log.count("cloud lost"); got != 1 {
			t.Errorf("%d lines say that the cloud is lost, want 1", got)
		}
		outage.Remove()
		bubbletest.Pass(10 * time.Second)
		for _, token := range tokens {
			mustSession(t, b, token)
		}
		if got := w.log.count("cloud back"); got != 1 {
			t.Errorf("%d lines say that the cloud is back, want 1", got)
		}
	})
}

func TestThrottlingSlowsUsDownAndPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		throttle := w.cloud.Inject(credstest.Fault{Fault: cloud.FaultThrottled})
		tokens := w.connectors(300)
		minute := func() int {
			before := throttle.Fired()
			for range 60 {
				for _, token := range tokens {
					go func() { _, _ = b.Session(t.Context(), token) }()
				}
				bubbletest.Pass(time.Second)
			}
			return throttle.Fired() - before
		}
		minute()
		if n := minute(); n > 2*60 {
			t.Errorf("%d calls in the second minute of throttling, want about one a second", n)
		}
		if got := w.log.count("cloud lost"); got != 0 {
			t.Error("throttling tripped the breaker")
		}
		throttle.Remove()
		bubbletest.Pass(time.Minute)
		if took := allServed(t, b, tokens); took > 2*time.Minute {
			t.Errorf("300 sessions took %s after the throttling, want the pace to grow back", took)
		}
	})
}

// allServed asks with all tokens at once until each has a session, and returns how long that took.
func allServed(t *testing.T, b *creds.Broker, tokens []secret.Text) time.Duration {
	var all sync.WaitGroup
	start := time.Now()
	for _, token := range tokens {
		all.Go(func() {
			for {
				if _, err := b.Session(t.Context(), token); err == nil {
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

func TestCallsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cloud.Inject(credstest.Fault{Latency: 500 * time.Millisecond})
		b := w.broker(t, func(c *creds.Config) { c.Calls = 8 })
		tokens := w.connectors(200)
		took := allServed(t, b, tokens)
		if w.cloud.Most() != 8 {
			t.Errorf("%d calls at once, want 8", w.cloud.Most())
		}
		if took > 20*time.Second {
			t.Errorf("200 keys took %s at 8 a time and half a second each", took)
		}
		if n := w.cloud.Calls(customerRole); n != 200 {
			t.Errorf("%d calls for 200 keys, want one each", n)
		}
	})
}

func TestABrokenStoreCostsOnlyCallsToTheCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store = brokenStore{w.store}
		fleet := []*creds.Broker{w.broker(t), w.broker(t)}
		for _, b := range fleet {
			first := mustSession(t, b, w.token)
			for range 4 * 60 {
				bubbletest.Pass(time.Minute)
				mustSession(t, b, w.token)
			}
			if mustSession(t, b, w.token) == first {
				t.Error("nothing was renewed in four hours")
			}
		}
		if got := w.metric(t, "rolebridge_broker_store_errors_total", `op="get"`); got == 0 {
			t.Error("no error of the store was counted")
		}
	})
}

func TestFetchesWithoutAStoreArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store = brokenStore{w.store}
		b := w.broker(t, func(c *creds.Config) { c.Lone = 10 })
		for _, token := range w.connectors(200) {
			go func() { _, _ = b.Session(t.Context(), token) }()
		}
		bubbletest.Pass(5 * time.Second)
		if n := w.cloud.Calls(customerRole); n < 50 || n > 10+5*10+2 {
			t.Errorf("%d calls in 5 s, want about 10 a second", n)
		}
	})
}

// brokenStore fails whatever is asked of it.
type brokenStore struct{ creds.Store }

var errBroken = errors.New("broken on purpose")

func (brokenStore) Get(context.Context, creds.Key) (creds.Issued, error) {
	return creds.Issued{}, errBroken
}

func (brokenStore) Lease(context.Context, creds.Key, time.Duration) (creds.Lease, error) {
	return creds.Lease{}, errBroken
}

// connectors binds n connectors and returns their tokens.
func (w *world) connectors(n int) []secret.Text {
	tokens := make([]secret.Text, n)
	for i := range tokens {
		tokens[i] = credstest.NewToken()
		w.replica.Bind(orders, integration.ConnectorID(fmt.Sprint("connector-", i)), tokens[i])
	}
	return tokens
}

// with counts the lines that hold all of these words.
func (l *lines) with(words ...string) (n int) {
	for line := range strings.Lines(l.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

func (l *lines) count(words string) int { return strings.Count(l.String(), words) }

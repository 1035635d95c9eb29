package creds_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

func TestASessionIsRenewedAfterHalfOfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		first := mustSession(t, b, w.token)
		bubbletest.Pass(29 * time.Minute)
		if s := mustSession(t, b, w.token); s != first {
			t.Errorf("renewed before half of its life")
		}
		bubbletest.Pass(8 * time.Minute)
		w.wantCalls(t, "37 minutes", 1, 2) // the platform role's first session still had enough
		if s := mustSession(t, b, w.token); s == first {
			t.Errorf("not renewed after 37 minutes")
		}
		if got := w.metric(t, "rolebridge_broker_refreshes_total", `outcome="issued"`); got != 1 {
			t.Errorf("%v refreshes were counted, want 1", got)
		}
	})
}

func TestAnIdleSessionIsLeftToExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		mustSession(t, b, w.token)
		bubbletest.Pass(24 * time.Hour)
		w.wantCalls(t, "a day after one read", 1, 2) // one renewal, which nobody read
		if got := w.metric(t, "rolebridge_broker_cached_sessions", ""); got != 0 {
			t.Errorf("%v sessions in memory, want none", got)
		}
		mustSession(t, b, w.token)
	})
}

func TestAnIdleSessionIsRenewedWhenItIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		mustSession(t, b, w.token)
		bubbletest.Pass(74 * time.Minute) // renewed at 30 to 36, and at 60 to 72 passed over
		before := w.cloud.Calls(customerRole)
		late := mustSession(t, b, w.token)
		if left := time.Until(late.Expires); left < creds.MinLife {
			t.Errorf("%s left, want 15 minutes at least", left)
		}
		synctest.Wait()
		if after := w.cloud.Calls(customerRole); after != before+1 {
			t.Errorf("%d calls after the read, want one renewal", after-before)
		}
	})
}

func TestWhatIsHandedOutHas15MinutesLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		random := rand.New(rand.NewPCG(1, 2))
		for range 2000 { // any rhythm of reading
			s := mustSession(t, b, w.token)
			if left := time.Until(s.Expires); left < creds.MinLife {
				t.Fatalf("%s left, want 15 minutes at least", left)
			}
			bubbletest.Pass(time.Duration(random.ExpFloat64() * float64(20*time.Minute)))
		}
	})
}

func TestTheFleetAsksTwiceAnHourAtMost(t *testing.T) {
	for _, replicas := range []int{1, 3, 10} {
		t.Run(fmt.Sprint(replicas, " replicas"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.cloud.Inject(credstest.Fault{Latency: 50 * time.Millisecond})
				var fleet []*creds.Broker
				for range replicas {
					fleet = append(fleet, w.broker(t))
				}
				const hours = 48
				for range hours * 60 {
					for _, b := range fleet {
						if left := time.Until(mustSession(t, b, w.token).Expires); left < creds.MinLife {
							t.Fatalf("%s left, want 15 minutes at least", left)
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
				if w.cloud.Most() > 1 {
					t.Errorf("%d calls at once for one key, want one", w.cloud.Most())
				}
			})
		})
	}
}

func TestOneReplicaFetchesForManyCallersOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := w.cloud.Inject(credstest.Fault{Latency: 200 * time.Millisecond})
		fleet := []*creds.Broker{w.broker(t), w.broker(t), w.broker(t)}
		start := time.Now()
		var failed atomic.Int32
		done := make(chan time.Duration, 500)
		for n := range cap(done) {
			go func() {
				if _, err := fleet[n%3].Session(t.Context(), w.token); err != nil {
					failed.Add(1)
				}
				done <- time.Since(start)
			}()
		}
		for range cap(done) {
			if took := <-done; took > 430*time.Millisecond {
				t.Fatalf("a caller waited %s, want two calls of 200 ms and at most 30 ms", took)
			}
		}
		if failed.Load() != 0 || slow.Fired() != 2 {
			t.Errorf("%d callers failed, %d calls upstream; want none and one chain of 2", failed.Load(), slow.Fired())
		}
	})
}

func TestASessionOfAnotherReplicaIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := mustSession(t, w.broker(t), w.token)
		if s := mustSession(t, w.broker(t), w.token); s != first {
			t.Errorf("the second replica has %s, want %s", s.AccessKeyID, first.AccessKeyID)
		}
		w.wantCalls(t, "two replicas", 1, 1)
		if got := w.metric(t, "rolebridge_broker_reads_total", `level="store",outcome="ok"`); got != 1 {
			t.Errorf("%v reads from the store were counted, want 1", got)
		}
	})
}

func TestOnlyWantedSessionsAreRenewed(t *testing.T) {
	for name, change := range map[string]func(*world){
		"unbound":       func(w *world) { w.replica.Unbind(orders, sink) },
		"another epoch": func(w *world) { w.replica.Revoke(orders) },
		"token rotated, and not read since": func(w *world) {
			w.replica.Bind(orders, sink, credstest.NewToken())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				b := w.broker(t)
				mustSession(t, b, w.token)
				change(w)
				bubbletest.Pass(2 * time.Hour)
				w.wantCalls(t, name, 1, 1)
				if got := w.metric(t, "rolebridge_broker_refreshes_total", `outcome="gone"`); got != 1 {
					t.Errorf("%v refreshes were counted as gone, want 1", got)
				}
			})
		})
	}
}

func TestAFailedRefreshKeepsTheSession(t *testing.T) {
	for _, fault := range []cloud.Fault{cloud.FaultUnavailable, cloud.FaultThrottled, cloud.FaultDenied, cloud.FaultInvalid, cloud.FaultExpired} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				b := w.broker(t)
				first := mustSession(t, b, w.token)
				trouble := w.cloud.Inject(credstest.Fault{Fault: fault})
				for time.Until(first.Expires) > 62*time.Second {
					bubbletest.Pass(time.Second)
					start := time.Now()
					if s := mustSession(t, b, w.token); s != first {
						t.Fatal("another session while nobody gives one")
					}
					if took := time.Since(start); took > 800*time.Millisecond {
						t.Fatalf("a read took %s", took)
					}
				}
				if trouble.Fired() == 0 {
					t.Error("the fault never fired")
				}
				bubbletest.Pass(3 * time.Second)
				if s, err := b.Session(t.Context(), w.token); err == nil {
					t.Errorf("a session with %s left was handed out", time.Until(s.Expires))
				}
				trouble.Remove()
				bubbletest.Pass(3 * time.Minute)
				mustSession(t, b, w.token)
			})
		})
	}
}

package creds_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

const nextID = "b0a4d6c1e7f24d5f8f2f6d4e3c2b1a09"

// accepts gives the customer's role the policy of a rotation, in which it accepts two external IDs.
func (w *world) accepts(id, also string) {
	w.cloud.Role(customerRole, credstest.CloudRole{Trusts: platformRole, ExternalID: id, Also: also, Tags: true})
}

// proving has the state prove nextID; proved says that a proof has seen it admitted.
func (w *world) proving(current, next string, proved bool) {
	w.replica.Change(orders, func(i *integration.Integration) {
		i.ExternalID, i.Rotation = current, &integration.Rotation{Phase: integration.RotationProving, Other: next, Proved: proved}
	})
}

// exchanged makes nextID the current external ID.
func (w *world) exchanged() {
	w.replica.Change(orders, func(i *integration.Integration) {
		i.ExternalID, i.Rotation = nextID, &integration.Rotation{Phase: integration.RotationRetiring, Other: externalID, Proved: true}
	})
}

// exchangedWorld has a broker with a session of before the exchange.
func exchangedWorld(t *testing.T) (w *world, b *creds.Broker, before cloud.Session) {
	t.Helper()
	w = newWorld(t)
	b = w.broker(t)
	before = mustSession(t, b, w.token)
	w.accepts(externalID, nextID)
	w.exchanged()
	return w, b, before
}

func (w *world) rotationOver() {
	w.replica.Change(orders, func(i *integration.Integration) { i.Rotation = nil })
}

func TestAnExchangeOfTheExternalIDLeavesWarmSessionsWarm(t *testing.T) {
	for name, fault := range map[string]cloud.Fault{
		"while the cloud is away": cloud.FaultUnavailable, "while it throttles": cloud.FaultThrottled, "while it refuses": cloud.FaultDenied,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				warm, beside := w.broker(t), w.broker(t)
				first := mustSession(t, warm, w.token)
				w.accepts(externalID, nextID)
				w.cloud.Inject(credstest.Fault{Fault: fault})
				w.exchanged()
				cold := w.broker(t)
				for range 25 * 6 {
					for what, b := range map[string]*creds.Broker{"the replica that has it": warm, "one beside it": beside, "one that just started": cold} {
						if got := mustSession(t, b, w.token); got != first {
							t.Fatalf("%s hands out %s, want %s", what, got.AccessKeyID, first.AccessKeyID)
						}
					}
					bubbletest.Pass(10 * time.Second)
				}
			})
		})
	}
}

func TestAConnectorThatReadsSeldomFindsItsSessionRenewedUnderTheNewExternalID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		first := mustSession(t, b, w.token)
		w.accepts(externalID, nextID)
		bubbletest.Pass(10 * time.Minute)
		w.exchanged()
		bubbletest.Pass(12 * time.Minute)
		w.accepts(nextID, "")
		w.rotationOver()
		old := w.cloud.Inject(credstest.Fault{ExternalID: externalID})
		bubbletest.Pass(18 * time.Minute) // half of its life is over
		w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		bubbletest.Pass(5 * time.Minute)
		second := mustSession(t, b, w.token)
		if second == first {
			t.Error("the session of before the rotation was not renewed")
		}
		if old.Fired() != 0 {
			t.Errorf("the former external ID was used %d times after the rotation", old.Fired())
		}
		if got := w.metric(t, "rolebridge_broker_refreshes_total", `outcome="gone"`); got != 0 {
			t.Errorf("%v sessions were let go as those of nobody", got)
		}
	})
}

func TestAPlaceThatHasNotHeardOfTheNewExternalIDFailsNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told atomic.Int32
		w.options = append(w.options, creds.OnRefused(func(integration.OrganizationID, integration.ID) { told.Add(1) }))
		fleet := []*creds.Broker{w.broker(t), w.broker(t), w.broker(t)}
		mustSession(t, fleet[0], w.token)
		w.accepts(externalID, nextID)
		stale := w.cloud.Inject(credstest.Fault{Role: customerRole, ExternalID: nextID, Fault: cloud.FaultDenied, Code: "AccessDenied"})
		w.exchanged()
		for n := range 2 * 60 * 6 { // two hours, in which connectors come that nobody has a session for
			if n == 80*6 {
				stale.Remove()
			}
			token := w.token
			if n%60 == 0 {
				token = credstest.NewToken()
				w.replica.Bind(orders, integration.ConnectorID(fmt.Sprint("new-", n)), token)
			}
			for _, b := range fleet {
				mustSession(t, b, w.token)
				start := time.Now()
				if s := mustSession(t, b, token); time.Until(s.Expires) < creds.HardLimit {
					t.Fatalf("%s left", time.Until(s.Expires))
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("a read took %s", took)
				}
			}
			bubbletest.Pass(10 * time.Second)
		}
		if stale.Fired() == 0 || told.Load() == 0 {
			t.Errorf("the stale place refused %d times and %d times trust was to be looked at, want both", stale.Fired(), told.Load())
		}
		w.accepts(nextID, "")
		w.rotationOver()
		bubbletest.Pass(40 * time.Minute)
		late := credstest.NewToken()
		w.replica.Bind(orders, "late", late)
		mustSession(t, fleet[1], late)
	})
}

func TestARevocationDuringARotationCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b, first := exchangedWorld(t)
		if s := mustSession(t, b, w.token); s != first {
			t.Fatalf("the exchange made a session %s, want that of before", s.AccessKeyID)
		}
		w.replica.Revoke(orders)
		if s := mustSession(t, b, w.token); s == first {
			t.Error("a revoked session was handed out")
		}

		w.proving(externalID, nextID, false)
		w.replica.Change(orders, func(i *integration.Integration) { i.Epoch++ })
		w.exchanged() // revoked and exchanged before anybody reads
		w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		for what, b := range map[string]*creds.Broker{"warm": b, "cold": w.broker(t)} {
			_, err := b.Session(t.Context(), w.token)
			wantCode(t, "revoked while the cloud is away, "+what, err, integration.CodeUnavailable)
		}
	})
}

func TestOnlyTheExternalIDMayDifferOfASessionThatIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b, first := exchangedWorld(t)
		w.replica.Change(orders, func(i *integration.Integration) { i.Trust.Tags = false })
		if s := mustSession(t, b, w.token); s == first {
			t.Error("a session with tags was handed out for one without")
		}
	})
}

func TestTheNextExternalIDIsUsedOnlyOnceItIsProved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		w.accepts(nextID, "") // the customer has replaced the external ID at once
		w.proving(externalID, nextID, false)
		next := w.cloud.Inject(credstest.Fault{ExternalID: nextID})
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "before a proof", err, integration.CodeDenied)
		if next.Fired() != 0 {
			t.Errorf("the next external ID was used %d times before it was proved", next.Fired())
		}
		w.proving(externalID, nextID, true)
		mustSession(t, b, w.token) // although a refusal is remembered
		if next.Fired() != 1 {
			t.Errorf("the next external ID was used %d times, want once", next.Fired())
		}
	})
}

func TestARoleThatRefusesBothExternalIDsRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		w.accepts("typo", "")
		for range 3 { // there and back: each is the other's stand-in once
			w.exchanged()
			_, err := b.Session(t.Context(), w.token)
			wantCode(t, "exchanged", err, integration.CodeDenied)
			bubbletest.Pass(3 * time.Minute) // what was refused is asked for again
			w.proving(externalID, nextID, true)
			start := time.Now()
			_, err = b.Session(t.Context(), w.token)
			wantCode(t, "and back", err, integration.CodeDenied)
			if took := time.Since(start); took > 0 {
				t.Errorf("a refusal took %s", took)
			}
			bubbletest.Pass(3 * time.Minute)
		}
		w.accepts(externalID, "")
		w.exchanged()
		w.accepts("typo", "")
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "in the rotation", err, integration.CodeDenied)
		w.rotationOver()
		w.accepts(externalID, "")
		bubbletest.Pass(3 * time.Minute)
		former := w.cloud.Inject(credstest.Fault{ExternalID: externalID})
		if _, err = b.Session(t.Context(), w.token); former.Fired() != 0 {
			t.Errorf("the former external ID was used after the rotation: %v", err)
		}
		if log := w.log.String(); strings.Contains(log, nextID) || strings.Contains(log, externalID) {
			t.Error("the log holds an external ID")
		}
	})
}

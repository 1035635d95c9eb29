package creds_test

import (
	"context"
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
	"github.com/rolebridge/rolebridge/internal/secret"
)

func TestASessionIsFetchedOnceAndThenWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		first := mustSession(t, b, w.token)
		for range 100 {
			if s := mustSession(t, b, w.token); s != first {
				t.Fatalf("another session: %s, want %s", s.AccessKeyID, first.AccessKeyID)
			}
		}
		w.wantCalls(t, "101 reads", 1, 1)
		if left := time.Until(first.Expires); left < 59*time.Minute {
			t.Errorf("a new session has %s left, want about an hour", left)
		}
		if got := w.metric(t, "rolebridge_broker_reads_total", `level="memory",outcome="ok"`); got != 100 {
			t.Errorf("%v reads from memory were counted, want 100", got)
		}
		if got := w.metric(t, "rolebridge_broker_reads_total", `level="cloud",outcome="ok"`); got != 1 {
			t.Errorf("%v reads from the cloud were counted, want 1", got)
		}
	})
}

func TestTheBindingsOfAnIntegrationShareThePlatformRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		seen := map[string]bool{}
		for n := range 5 {
			token := credstest.NewToken()
			w.replica.Bind(orders, integration.ConnectorID(fmt.Sprint("connector-", n)), token)
			seen[mustSession(t, b, token).AccessKeyID] = true
		}
		if len(seen) != 5 {
			t.Errorf("5 connectors have %d sessions, want one each", len(seen))
		}
		w.wantCalls(t, "5 connectors", 1, 5)
	})
}

func TestARotatedTokenKeepsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		before := mustSession(t, b, w.token)
		next := credstest.NewToken()
		w.replica.Bind(orders, sink, next)
		if after := mustSession(t, b, next); after != before {
			t.Errorf("the new token got session %s, want %s", after.AccessKeyID, before.AccessKeyID)
		}
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "the old token", err, integration.CodeUnauthenticated)
	})
}

func TestUnknownAndUnboundTokensAreRefusedAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		mustSession(t, b, w.token)
		_, unknown := b.Session(t.Context(), credstest.NewToken())
		wantCode(t, "an unknown token", unknown, integration.CodeUnauthenticated)
		_, empty := b.Session(t.Context(), secret.Text{})
		w.replica.Unbind(orders, sink)
		_, unbound := b.Session(t.Context(), w.token)
		if empty.Error() != unknown.Error() || unbound.Error() != unknown.Error() {
			t.Errorf("empty %q, unbound %q, want both %q", empty, unbound, unknown)
		}
	})
}

func TestTrustIsAskedForEveryAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*integration.Integration)
		says   string // empty: allowed
	}{
		{"valid", func(*integration.Integration) {}, ""},
		{"pending", func(i *integration.Integration) { i.Trust.Status = integration.TrustPending }, "trust of cspi-orders is pending"},
		{"insecure", func(i *integration.Integration) { i.Trust.Status = integration.TrustInsecure }, "trust of cspi-orders is insecure"},
		{"denied", func(i *integration.Integration) { i.Trust.Status = integration.TrustDenied }, "trust of cspi-orders is denied"},
		{"error", func(i *integration.Integration) { i.Trust.Status = integration.TrustError }, "trust of cspi-orders is error"},
		{"the first mapping failed", func(i *integration.Integration) {
			i.Mapping = integration.Mapping{Status: integration.MappingFailed}
		}, "identity of cspi-orders is failed"},
		{"a mapping for a new customer role", func(i *integration.Integration) {
			i.Mapping.Status, i.Trust.Status = integration.MappingRequested, integration.TrustUnknown
		}, "identity of cspi-orders is requested"},
		{"a repeated mapping", func(i *integration.Integration) { i.Mapping.Status = integration.MappingRequested }, ""},
		{"a repeated mapping failed", func(i *integration.Integration) { i.Mapping.Status = integration.MappingFailed }, ""},
		{"another cloud", func(i *integration.Integration) { i.Config.Kind = integration.KindGCP }, "none for GcpIntegrationConfig"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				b := w.broker(t)
				mustSession(t, b, w.token)
				w.replica.Change(orders, c.change)
				_, err := b.Session(t.Context(), w.token)
				if c.says == "" {
					if err != nil {
						t.Errorf("got %v, want a session", err)
					}
					return
				}
				wantCode(t, c.name, err, integration.CodeDenied)
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %q, want it to say %q", err, c.says)
				}
			})
		})
	}
	t.Run("insecure with the organization's consent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			b := w.broker(t)
			w.replica.Change(orders, func(i *integration.Integration) { i.Trust.Status = integration.TrustInsecure })
			w.replica.ChangeOrganization(org, func(o *integration.Organization) { o.InsecureRoles = integration.InsecureWarn })
			mustSession(t, b, w.token)
		})
	})
}

func TestRevocationCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		brokers := []*creds.Broker{w.broker(t), w.broker(t), w.broker(t)}
		before := mustSession(t, brokers[0], w.token)
		for _, b := range brokers {
			mustSession(t, b, w.token)
		}
		w.replica.Revoke(orders)
		after := mustSession(t, brokers[1], w.token)
		if after == before {
			t.Fatalf("session %s was handed out after its revocation", before.AccessKeyID)
		}
		for n, b := range brokers {
			if s := mustSession(t, b, w.token); s != after {
				t.Errorf("broker %d hands out %s, want the session of the new epoch, %s", n, s.AccessKeyID, after.AccessKeyID)
			}
		}
		w.wantCalls(t, "two epochs", 2, 2)
		if got := w.metric(t, "rolebridge_broker_cached_sessions", ""); got != 1 {
			t.Errorf("%v sessions in memory, want 1: the old epoch's is dropped", got)
		}

		w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		w.replica.Revoke(orders)
		_, err := brokers[0].Session(t.Context(), w.token)
		wantCode(t, "revoked while the cloud is away", err, integration.CodeUnavailable)
	})
}

func TestTagsAreSentOnlyWhereTheyAreAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cloud.Role(customerRole, credstest.CloudRole{Trusts: platformRole, ExternalID: externalID, Tags: false})
		b := w.broker(t)
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "tags that are not admitted", err, integration.CodeDenied)
		w.replica.Trusted(org, orders, platformRole, customerRole, externalID, false)
		w.replica.Bind(orders, sink, w.token)
		mustSession(t, b, w.token)
	})
}

func TestALongConnectorsNameFitsIntoASessionName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		seen := map[string]bool{}
		for _, end := range []string{"a", "b"} {
			token := credstest.NewToken()
			w.replica.Bind(orders, integration.ConnectorID(strings.Repeat("long", 15)+"-x-"+end), token)
			seen[mustSession(t, b, token).Identity] = true
		}
		if len(seen) != 2 {
			t.Errorf("two connectors have the session names %v, want two", seen)
		}
	})
}

func TestASlowCloudIsAnsweredInTimeAndThenWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := w.cloud.Inject(credstest.Fault{Role: customerRole, Latency: 5 * time.Second})
		b := w.broker(t)
		for range 4 { // as an SDK tries
			start := time.Now()
			_, err := b.Session(t.Context(), w.token)
			wantCode(t, "while the cloud is slow", err, integration.CodeUnavailable)
			if took := time.Since(start); took > 800*time.Millisecond {
				t.Fatalf("an answer took %s, want at most 800 ms", took)
			}
		}
		bubbletest.Pass(5 * time.Second)
		start := time.Now()
		mustSession(t, b, w.token)
		if took := time.Since(start); took != 0 {
			t.Errorf("a warm read took %s", took)
		}
		w.wantCalls(t, "5 reads", 1, 1)
		if slow.Fired() != 1 {
			t.Errorf("the fault fired %d times, want once", slow.Fired())
		}
	})
}

func TestAFetchOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cloud.Inject(credstest.Fault{Latency: 100 * time.Millisecond})
		b := w.broker(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := b.Session(ctx, w.token); err == nil {
			t.Error("a caller who left got a session")
		}
		bubbletest.Pass(time.Second)
		mustSession(t, b, w.token)
		w.wantCalls(t, "a caller who left and one who came", 1, 1)
	})
}

func TestARefusalIsRememberedFor30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told atomic.Int32
		w.options = append(w.options, creds.OnRefused(func(_ integration.OrganizationID, id integration.ID) {
			if id == orders {
				told.Add(1)
			}
		}))
		b := w.broker(t)
		refusal := w.cloud.Inject(credstest.Fault{Role: customerRole, Fault: cloud.FaultDenied, Code: "AccessDenied"})
		for range 3 {
			start := time.Now()
			_, err := b.Session(t.Context(), w.token)
			wantCode(t, "refused", err, integration.CodeDenied)
			if took := time.Since(start); took != 0 {
				t.Errorf("a refusal took %s, want it at once", took)
			}
			bubbletest.Pass(9 * time.Second)
		}
		if refusal.Fired() != 1 || told.Load() != 1 {
			t.Errorf("asked %d times and told %d times within 30 s of a refusal, want once each", refusal.Fired(), told.Load())
		}
		for range 3600 { // an hour of an SDK that asks every second
			_, _ = b.Session(t.Context(), w.token)
			bubbletest.Pass(time.Second)
		}
		// One in about two minutes, and one in five with a new session of the platform role.
		if n := refusal.Fired(); n < 3600/120 || n > 3600/105+2+3600/300 {
			t.Errorf("asked %d times in an hour of refusals, want 30 to 48", n)
		}
		refusal.Remove()
		bubbletest.Pass(2 * time.Minute)
		mustSession(t, b, w.token)
		if strings.Contains(w.log.String(), w.token.Reveal()) {
			t.Error("the log holds a token")
		}
	})
}

// STS looks at no trust policy before it believes who is asking.
func TestFaultsOfOurOwnCredentialsDoNotQuestionTheCustomersTrust(t *testing.T) {
	for code, questions := range map[string]int32{"InvalidClientTokenId": 0, "SignatureDoesNotMatch": 0, "AccessDenied": 1, "RegionDisabledException": 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var told atomic.Int32
			w.options = append(w.options, creds.OnRefused(func(integration.OrganizationID, integration.ID) { told.Add(1) }))
			b := w.broker(t)
			refusal := w.cloud.Inject(credstest.Fault{Role: customerRole, Fault: cloud.FaultDenied, Code: code})
			_, err := b.Session(t.Context(), w.token)
			wantCode(t, code, err, integration.CodeDenied)
			if refusal.Fired() == 0 || told.Load() != questions {
				t.Errorf("%s: asked %d times, told %d times, want %d", code, refusal.Fired(), told.Load(), questions)
			}
			if says := strings.Contains(err.Error(), "the customer's role refuses"); says != (questions > 0) {
				t.Errorf("%s: the connector is told %v", code, err)
			}
		})
	}
}

func TestARefusedPlatformRoleIsRememberedForAllConnectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.options = append(w.options, creds.OnRefused(func(integration.OrganizationID, integration.ID) {
			t.Error("our own fault puts the customer's trust into question")
		}))
		b := w.broker(t)
		refusal := w.cloud.Inject(credstest.Fault{Role: platformRole, Fault: cloud.FaultDenied})
		other := credstest.NewToken()
		w.replica.Bind(orders, "other", other)
		for _, token := range []secret.Text{w.token, other} {
			_, err := b.Session(t.Context(), token)
			wantCode(t, "platform role refused", err, integration.CodeDenied)
		}
		if refusal.Fired() != 1 {
			t.Errorf("the platform role was asked for %d times, want once", refusal.Fired())
		}
	})
}

func TestAPlatformSessionThatEndedEarlyIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		mustSession(t, b, w.token)
		w.cloud.EndSessions()
		other := credstest.NewToken()
		w.replica.Bind(orders, "other", other)
		mustSession(t, b, other)
	})
}

func TestAPlatformRoleThatWasMadeAnewIsAssumedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		brokers := []*creds.Broker{w.broker(t), w.broker(t)}
		mustSession(t, brokers[0], w.token)
		bubbletest.Pass(10 * time.Minute)
		w.cloud.ForgetSessions() // the cloud denies what the old role's sessions ask for
		for n, b := range brokers {
			other := credstest.NewToken()
			w.replica.Bind(orders, integration.ConnectorID(fmt.Sprint("other-", n)), other)
			mustSession(t, b, other)
		}
		if got := w.cloud.Calls(platformRole); got != 2 {
			t.Errorf("the platform role was asked for %d times, want twice", got)
		}
	})
}

func TestTooManyFetchesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gate := make(chan struct{})
		held := w.cloud.Inject(credstest.Fault{Role: customerRole, Gate: gate})
		b := w.broker(t, func(c *creds.Config) { c.Fetches = 1 })
		got := make(chan error, 1)
		go func() {
			_, err := b.Session(t.Context(), w.token)
			got <- err
		}()
		synctest.Wait()
		other := credstest.NewToken()
		w.replica.Bind(orders, "other", other)
		_, err := b.Session(t.Context(), other)
		wantCode(t, "over the bound", err, integration.CodeThrottled)
		close(gate)
		if err := <-got; err != nil || held.Fired() != 1 {
			t.Errorf("the first fetch: %v after %d calls, want a session after one", err, held.Fired())
		}
		mustSession(t, b, other)
	})
}

func TestWithoutStateNobodyIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replica = credstest.NewLoadingReplica()
		b := w.broker(t)
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "while the state loads", err, integration.CodeUnavailable)
		w.replica.FinishLoading()
		_, err = b.Session(t.Context(), w.token)
		wantCode(t, "an unknown token after it", err, integration.CodeUnauthenticated)
	})
}

func TestABrokerThatDoesNotRunFetchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b, stop := w.mortal(t)
		synctest.Wait()
		mustSession(t, b, w.token)
		stop()
		mustSession(t, b, w.token) // warm: needs nobody
		w.replica.Revoke(orders)
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "cold, and not running", err, integration.CodeUnavailable)
	})
}

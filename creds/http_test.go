package creds_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

// ask makes one request without a network. An empty authorization sends no header.
func ask(t *testing.T, b *creds.Broker, method, target, authorization string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	return w.Result()
}

// fields reads a JSON object.
func fields(t *testing.T, r *http.Response) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
		t.Fatalf("the answer is no JSON: %v", err)
	}
	return got
}

func wantFields(t *testing.T, got, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not a field that SDKs know", name)
		}
	}
}

func TestTheAnswerIsAsSDKsReadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		s := mustSession(t, b, w.token)
		container := map[string]any{
			"AccessKeyId": s.AccessKeyID, "SecretAccessKey": s.SecretAccessKey.Reveal(), "Token": s.Token.Reveal(),
			"Expiration": s.Expires.UTC().Format("2006-01-02T15:04:05Z"), "AccountId": "222222222222", "RoleArn": customerRole,
		}
		process := map[string]any{
			"Version": 1.0, "AccessKeyId": s.AccessKeyID, "SecretAccessKey": s.SecretAccessKey.Reveal(), "SessionToken": s.Token.Reveal(),
			"Expiration": s.Expires.UTC().Format("2006-01-02T15:04:05Z"), "AccountId": "222222222222",
		}
		for _, c := range []struct {
			name, target, authorization string
			want                        map[string]any
		}{
			{"raw token", creds.Path, w.token.Reveal(), container},
			{"bearer", creds.Path, "Bearer " + w.token.Reveal(), container},
			{"named format", creds.Path + "?format=container", w.token.Reveal(), container},
			{"process", creds.Path + "?format=process", w.token.Reveal(), process},
		} {
			r := ask(t, b, http.MethodGet, c.target, c.authorization)
			if r.StatusCode != http.StatusOK {
				t.Fatalf("%s: status %d, want 200", c.name, r.StatusCode)
			}
			wantFields(t, fields(t, r), c.want)
			for header, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
				if got := r.Header.Get(header); got != want {
					t.Errorf("%s: %s is %q, want %q", c.name, header, got, want)
				}
			}
		}
	})
}

func TestRefusalsAreAsSDKsReadThem(t *testing.T) {
	for _, c := range []struct {
		name       string
		prepare    func(w *world)
		method     string
		target     string
		token      string
		status     int
		code       integration.Code
		says       string
		retryAfter string
	}{
		{name: "an unknown token", token: "x", status: 401, code: integration.CodeUnauthenticated},
		{name: "no token", token: " ", status: 401, code: integration.CodeUnauthenticated},
		{name: "a huge token", token: strings.Repeat("x", 100_000), status: 401, code: integration.CodeUnauthenticated},
		{
			name: "trust is denied", status: 403, code: integration.CodeDenied, says: "trust of cspi-orders is denied",
			prepare: func(w *world) {
				w.replica.Change(orders, func(i *integration.Integration) { i.Trust.Status = integration.TrustDenied })
			},
		},
		{
			name: "the role refuses", status: 403, code: integration.CodeDenied, says: "AccessDenied",
			prepare: func(w *world) {
				w.cloud.Inject(credstest.Fault{Role: customerRole, Fault: cloud.FaultDenied, Code: "AccessDenied"})
			},
		},
		{
			name: "the cloud is away", status: 503, code: integration.CodeUnavailable, retryAfter: "1",
			prepare: func(w *world) { w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable}) },
		},
		{
			name: "the cloud throttles", status: 503, code: integration.CodeUnavailable, retryAfter: "1",
			prepare: func(w *world) { w.cloud.Inject(credstest.Fault{Fault: cloud.FaultThrottled}) },
		},
		{name: "a POST", method: http.MethodPost, status: 405, code: integration.CodeInvalid},
		{name: "another path", target: "/v2", status: 404, code: integration.CodeNotFound},
		{name: "another format", target: creds.Path + "?format=xml", status: 400, code: integration.CodeInvalid},
		{name: "a broken query", target: creds.Path + "?format=%zz", status: 400, code: integration.CodeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				if c.prepare != nil {
					c.prepare(w)
				}
				b := w.broker(t)
				method, target, token := http.MethodGet, creds.Path, w.token.Reveal()
				if c.method != "" {
					method = c.method
				}
				if c.target != "" {
					target = c.target
				}
				if c.token != "" {
					token = strings.TrimSpace(c.token)
				}
				start := time.Now()
				r := ask(t, b, method, target, token)
				if took := time.Since(start); took > 800*time.Millisecond {
					t.Errorf("took %s, want at most 800 ms", took)
				}
				got := fields(t, r)
				if r.StatusCode != c.status || got["code"] != string(c.code) || got["Code"] != string(c.code) {
					t.Errorf("got %d %v, want %d %s", r.StatusCode, got, c.status, c.code)
				}
				if message, _ := got["message"].(string); message == "" || got["Message"] != message || !strings.Contains(message, c.says) {
					t.Errorf("message %q, Message %q, want both, saying %q", got["message"], got["Message"], c.says)
				}
				if after := r.Header.Get("Retry-After"); after != c.retryAfter {
					t.Errorf("Retry-After is %q, want %q", after, c.retryAfter)
				}
				if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("headers %v", r.Header)
				}
			})
		})
	}
}

func TestSecretsReachNeitherLogsNorRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		var said strings.Builder
		mustSession(t, b, w.token)
		for _, fault := range []cloud.Fault{cloud.FaultDenied, cloud.FaultUnavailable, cloud.FaultThrottled} {
			trouble := w.cloud.Inject(credstest.Fault{Fault: fault})
			w.replica.Revoke(orders)
			r := ask(t, b, http.MethodGet, creds.Path, w.token.Reveal())
			if err := r.Write(&said); err != nil {
				t.Fatal(err)
			}
			trouble.Remove()
		}
		said.WriteString(w.log.String())
		for _, secret := range append(w.cloud.Secrets(), w.token.Reveal(), externalID) {
			if strings.Contains(said.String(), secret) {
				t.Errorf("%q was said in %s", secret, said.String())
			}
		}
		if !strings.Contains(said.String(), "cloud refused credentials") {
			t.Error("a refusal of the cloud was not logged")
		}
	})
}

func TestEveryMetricIsThereFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.broker(t)
		for name, labels := range map[string][]string{
			"rolebridge_broker_reads_total": {
				`level="memory",outcome="ok"`, `level="store",outcome="ok"`, `level="cloud",outcome="ok"`,
				`level="none",outcome="unauthenticated"`, `level="none",outcome="forbidden"`, `level="none",outcome="unavailable"`,
				`level="none",outcome="too_many_requests"`, `level="none",outcome="canceled"`, `level="none",outcome="internal_error"`,
			},
			"rolebridge_broker_upstream_calls_total": {
				`op="platform-role",outcome="ok"`, `op="customer-role",outcome="denied"`, `op="customer-role",outcome="left-alone"`,
			},
			"rolebridge_broker_refreshes_total":    {`outcome="issued"`, `outcome="adopted"`, `outcome="failed"`, `outcome="refused"`, `outcome="idle"`, `outcome="gone"`},
			"rolebridge_broker_store_errors_total": {`op="get"`, `op="open"`, `op="lease"`, `op="extend"`, `op="put"`, `op="release"`},
			"rolebridge_broker_cached_sessions":    {""},
		} {
			for _, l := range labels {
				if got := w.metric(t, name, l); got != 0 {
					t.Errorf("%s{%s} is %v at the start, want 0", name, l, got)
				}
			}
		}
	})
}

func TestTheNearestExpiryIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		if got := w.metric(t, "rolebridge_broker_session_seconds_to_expiry", ""); got < 1e300 {
			t.Errorf("without a session: %v, want +Inf", got)
		}
		mustSession(t, b, w.token)
		bubbletest.Pass(10 * time.Minute)
		if got := w.metric(t, "rolebridge_broker_session_seconds_to_expiry", ""); got != 3000 {
			t.Errorf("ten minutes into an hour: %v, want 3000", got)
		}
	})
}

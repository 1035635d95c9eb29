package creds_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

// states writes the gates of an explanation in their order, with what the read gets.
func states(x creds.Explanation) string {
	var b strings.Builder
	b.WriteString(x.Answer)
	for _, g := range x.Gates {
		b.WriteString(" " + string(g.Gate) + "=" + string(g.State))
	}
	return b.String()
}

func TestEveryGateIsExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		explainer := creds.NewExplainer(b, w.replica)
		explain := func(of string) []creds.Explanation {
			t.Helper()
			all, err := explainer.Explain(t.Context(), of)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		want := func(when, of, states1 string, says ...string) {
			t.Helper()
			all := explain(of)
			if len(all) != 1 || states(all[0]) != states1 {
				t.Fatalf("%s: got %+v, want one with %q", when, all, states1)
			}
			text, err := json.Marshal(all)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range says {
				if !strings.Contains(string(text), s) {
					t.Errorf("%s: %s does not say %q", when, text, s)
				}
			}
		}
		want("before a read", string(orders), "ok binding=open mapping=open trust=open cache=empty cloud=empty", "not asked by this replica")
		session := mustSession(t, b, w.token)
		want("after a read", string(sink), "ok binding=open mapping=open trust=open cache=open cloud=open",
			"orders-sink@cspi-orders", session.Expires.UTC().Format("2006-01-02T15:04"), platformRole)
		text, err := json.Marshal(explain(string(sink)))
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range []string{session.SecretAccessKey.Reveal(), session.Token.Reveal(), w.token.Reveal(), externalID} {
			if strings.Contains(string(text), hidden) {
				t.Errorf("%s shows %s", text, hidden)
			}
		}

		w.replica.Change(orders, func(i *integration.Integration) {
			i.Trust.Status = integration.TrustDenied
			i.Trust.Report = &integration.Report{Checks: []integration.Check{{Name: integration.CheckWithExternalID, Outcome: integration.Fail, Reason: "AccessDenied"}}}
		})
		want("denied trust", string(orders), "forbidden binding=open mapping=open trust=shut", "assume-with-external-id FAIL (AccessDenied)")
		w.replica.Change(orders, func(i *integration.Integration) {
			i.Mapping = integration.Mapping{Status: integration.MappingFailed, Reason: "LimitExceeded", Tries: 3}
			i.Trust.Status = integration.TrustUnknown
		})
		want("no mapping", string(orders), "forbidden binding=open mapping=shut trust=shut", "failed after 3 tries: LimitExceeded")
		w.replica.Unbind(orders, sink)
		want("no binding", string(orders), "unauthenticated binding=shut mapping=shut trust=shut", "connector bind")

		_, err = explainer.Explain(t.Context(), string(sink))
		wantCode(t, "a connector that is not bound", err, integration.CodeNotFound)
	})
}

func TestTheBindingGateNamesWhoMayAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		explainer := creds.NewExplainer(w.broker(t), w.replica)
		want := func(answer string, state creds.State, says ...string) {
			t.Helper()
			all, err := explainer.Explain(t.Context(), string(sink))
			if err != nil || all[0].Answer != answer || all[0].Gates[0].State != state {
				t.Fatalf("got %+v, %v; want %s and the binding %s", all, err, answer, state)
			}
			for _, s := range says {
				if !strings.Contains(all[0].Gates[0].Detail, s) {
					t.Errorf("%q does not say %q", all[0].Gates[0].Detail, s)
				}
			}
		}
		want("ok", creds.Open, "a token without end")
		w.admit(orders, sink, integration.Workload{SPIFFE: spiffeID}, integration.Workload{OIDC: integration.OIDC{
			Issuer: "https://issuer.example.com", Audience: audience, Subject: subject,
		}})
		want("ok", creds.Open, "a token without end", "workload "+spiffeID, subject, "https://issuer.example.com", audience)
		w.replica.ChangeBinding(orders, sink, func(_ integration.OrganizationID, b *integration.Binding) {
			b.Tokens = slices.Clone(b.Tokens)
			b.Tokens[0].ExpiresAt, b.Workloads = time.Now().Add(time.Hour), nil
		})
		want("ok", creds.Open, "a token until 2000-01-01T01:00:00Z")
		bubbletest.Pass(time.Hour)
		want("unauthenticated", creds.Shut, "its tokens have expired")
	})
}

func TestTheCloudsRefusalIsExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		w.cloud.Role(customerRole, credstest.CloudRole{Trusts: "somebody else", ExternalID: externalID})
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "a role that refuses", err, integration.CodeDenied)
		all, err := creds.NewExplainer(b, w.replica).Explain(t.Context(), string(orders))
		if err != nil || states(all[0]) != "forbidden binding=open mapping=open trust=open cache=empty cloud=shut" {
			t.Errorf("got %+v, %v", all, err)
		}
	})
}

func TestExplanationsAreServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := creds.NewExplainer(w.broker(t), w.replica)
	for query, want := range map[string]int{
		"?of=cspi-orders": http.StatusOK, "?of=orders-sink": http.StatusOK, "?of=other": http.StatusNotFound, "": http.StatusBadRequest,
	} {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, creds.ExplainPath+query, nil))
		if answer.Code != want || !json.Valid(answer.Body.Bytes()) {
			t.Errorf("%q: got %d %s, want %d", query, answer.Code, answer.Body, want)
		}
	}
	loading := creds.NewExplainer(w.broker(t), credstest.NewLoadingReplica())
	if _, err := loading.Explain(t.Context(), "x"); err == nil {
		t.Error("a replica that is loading explains")
	}
}

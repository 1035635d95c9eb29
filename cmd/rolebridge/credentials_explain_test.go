package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/creds"
)

func TestCredentialsAreExplainedGateByGate(t *testing.T) {
	t.Parallel()
	broker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != creds.ExplainPath || r.URL.Query().Get("of") != "lcc-1" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"code":"not_found","message":"no integration and no bound connector is called that"}`))
			return
		}
		_ = json.NewEncoder(w).Encode([]creds.Explanation{{
			Integration: "cspi-00001", Connector: "lcc-1", Answer: "forbidden", Gates: []creds.GateState{
				{Gate: creds.GateBinding, State: creds.Open, Detail: "bound"}, {Gate: creds.GateTrust, State: creds.Shut, Detail: "denied"},
			},
		}})
	}))
	defer broker.Close()
	c := &cli{env: map[string]string{envOperations: broker.URL + "," + broker.URL + "/"}}
	people := c.want(t, 5, "credentials", "explain", "lcc-1")
	for _, text := range []string{"cspi-00001", "forbidden", "trust", "shut", "denied"} {
		if strings.Count(people.out, text) != 2 {
			t.Errorf("%q does not stand there for both brokers:\n%s", text, people.out)
		}
	}
	var all []explained
	if err := json.Unmarshal([]byte(c.want(t, 5, "credentials", "explain", "lcc-1", "-o", "json").out), &all); err != nil || len(all) != 2 || len(all[1].Explanations[0].Gates) != 2 {
		t.Errorf("got %+v, %v", all, err)
	}
	c.want(t, 4, "credentials", "explain", "lcc-2")
	(&cli{}).want(t, 2, "credentials", "explain", "lcc-1")
	c.want(t, 2, "credentials", "explain")

	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if got := c.want(t, 7, "credentials", "explain", "lcc-1", "--operations-url", other.URL); !strings.Contains(got.err, "telemetry address") {
		t.Errorf("another server: got %q", got.err)
	}
}

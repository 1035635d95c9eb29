package deploy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/internal/testenv"
)

// scrape starts a Prometheus with the configuration of the compose file, which asks every second.
func scrape(t *testing.T, s *stack) *testenv.PrometheusServer {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{"prometheus.yml", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join("prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
	}
	config := strings.ReplaceAll(string(files["prometheus.yml"]), ": 10s", ": 1s")
	for role, address := range s.telemetry {
		if !strings.Contains(config, role+":9090") {
			t.Errorf("%s is not scraped", role)
		}
		config = strings.ReplaceAll(config, `"`+role+`:9090"`, `"`+address+`"`)
	}
	files["prometheus.yml"] = []byte(config)
	return testenv.OwnPrometheus(t, files)
}

// ask calls Prometheus' API and reads what is under data.
func ask(t *testing.T, server *testenv.PrometheusServer, path string, form url.Values, into any) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+path, strings.NewReader(form.Encode()))
	if form == nil {
		req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+path, nil)
	}
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// series is how many series an expression has now.
func series(t *testing.T, server *testenv.PrometheusServer, expr string) (int, error) {
	t.Helper()
	var data struct{ Result []json.RawMessage }
	err := ask(t, server, "/api/v1/query", url.Values{"query": {expr}}, &data)
	return len(data.Result), err
}

func TestEveryQueryRunsOnAPrometheusThatScrapesTheStack(t *testing.T) {
	s := startStack(t)
	server := scrape(t, s)
	s.use()

	exported := map[string]bool{}
	s.await("every role to be scraped, and the first proof", func() error {
		for _, expr := range []string{
			fmt.Sprintf(`sum(up{job="rolebridge"}) == %d`, len(roles)), "sum(rolebridge_trust_proofs_total) > 0",
			`sum(rolebridge_broker_reads_total{outcome="unauthenticated"}) > 0`,
		} {
			if n, err := series(t, server, expr); err != nil || n == 0 {
				return fmt.Errorf("%s has %d series: %w", expr, n, err)
			}
		}
		return nil
	})
	var names []string
	if err := ask(t, server, "/api/v1/label/__name__/values", nil, &names); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		exported[name] = true
	}
	for _, q := range queries(t) {
		if _, err := series(t, server, q.expr); err != nil {
			t.Errorf("%s: %s: %v", q.at, q.expr, err)
		}
		for _, name := range metricName.FindAllString(q.expr, -1) {
			if !known(exported, name) {
				t.Errorf("%s uses %s, which no process exports", q.at, name)
			}
		}
	}
	// A panel without a single series, on a stack that has done some of everything, asks for labels that are not there.
	for _, q := range dashboardQueries(t) {
		s.await("a series for "+q.at+": "+q.expr, func() error {
			n, err := series(t, server, q.expr)
			if err == nil && n == 0 {
				err = fmt.Errorf("no series")
			}
			return err
		})
	}
	var loaded struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	s.await("every alert to be evaluated", func() error {
		if err := ask(t, server, "/api/v1/rules", nil, &loaded); err != nil {
			return err
		}
		rules := 0
		for _, g := range loaded.Groups {
			for _, r := range g.Rules {
				rules++
				if r.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
				}
			}
		}
		if want := len(alerts(t)); rules != want {
			return fmt.Errorf("%d rules are loaded, want %d", rules, want)
		}
		return nil
	})
	checkWithPromtool(t, server)
}

// checkWithPromtool lets Prometheus' own tool read the configuration, the alerts, and the dashboards' queries as rules.
func checkWithPromtool(t *testing.T, server *testenv.PrometheusServer) {
	t.Helper()
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboards\n  rules:\n")
	for n, q := range dashboardQueries(t) {
		fmt.Fprintf(&rules, "  - record: query:%d\n    expr: %q\n", n, q.expr)
	}
	path := filepath.Join(t.TempDir(), "dashboards.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "config", "prometheus/prometheus.yml"}, {"check", "rules", "prometheus/alerts.yml"}, {"check", "rules", path},
	} {
		if out, err := exec.CommandContext(t.Context(), server.Tool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

package deploy_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// query is one PromQL expression with its place.
type query struct{ at, expr string }

// panel is what the tests read of a dashboard's panel.
type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  struct{ Type, UID string }
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		RefID      string `json:"refId"`
		Expr       string
		Datasource struct{ Type, UID string }
	}
}

func dashboards(t *testing.T) map[string][]panel {
	t.Helper()
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	all := map[string][]panel{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			UID    string
			Title  string
			Panels []panel
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if d.UID == "" || d.Title == "" {
			t.Errorf("%s has no uid or no title", file)
		}
		all[file] = d.Panels
	}
	return all
}

// dashboardQueries are all of the dashboards', with Grafana's variable filled in.
func dashboardQueries(t *testing.T) (all []query) {
	t.Helper()
	for file, panels := range dashboards(t) {
		for _, p := range panels {
			for _, target := range p.Targets {
				expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
				all = append(all, query{fmt.Sprintf("%s: %s (%s)", file, p.Title, target.RefID), expr})
			}
		}
	}
	if len(all) < 20 {
		t.Fatalf("found %d queries in the dashboards: the tests would judge nothing", len(all))
	}
	return all
}

// rule is an alert.
type rule struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) (all []rule) {
	t.Helper()
	text, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 5 {
		t.Fatalf("found %d alerts: the tests would judge nothing", len(all))
	}
	return all
}

func queries(t *testing.T) []query {
	t.Helper()
	all := dashboardQueries(t)
	for _, r := range alerts(t) {
		all = append(all, query{"alert " + r.Alert, r.Expr})
	}
	return all
}

func TestPanelsSayWhatTheyShow(t *testing.T) {
	t.Parallel()
	for file, panels := range dashboards(t) {
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range panels {
			if ids[p.ID] {
				t.Errorf("%s: two panels have the id %d", file, p.ID)
			}
			ids[p.ID] = true
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
						t.Fatalf("%s: %q lies on %q, or past the edge", file, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != "prometheus" {
				t.Errorf("%s: panel %d (%q) lacks a title, a description, a query or the provisioned source", file, p.ID, p.Title)
			}
		}
	}
	source, err := os.ReadFile("grafana/provisioning/datasources/prometheus.yml")
	if err != nil || !strings.Contains(string(source), "uid: prometheus ") {
		t.Errorf("the provisioned source has another uid than the dashboards: %v", err)
	}
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	t.Parallel()
	runbook, err := os.ReadFile("prometheus/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var headings, names []string
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(runbook), -1) {
		headings = append(headings, m[1])
	}
	for _, r := range alerts(t) {
		names = append(names, r.Alert)
		if want := "deploy/prometheus/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s: runbook %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
		if r.Annotations["summary"] == "" || !slices.Contains([]string{"page", "ticket"}, r.Labels["severity"]) {
			t.Errorf("%s: summary %q, severity %q", r.Alert, r.Annotations["summary"], r.Labels["severity"])
		}
	}
	if !slices.Equal(headings, names) {
		t.Errorf("headings of the runbook:\ngot  %v\nwant %v", headings, names)
	}
}

var metricName = regexp.MustCompile(`\b(?:rolebridge|process|go)_[a-z0-9_]+\b`)

// known reports whether a metric of this name, or a histogram that has it as a series, is among names.
func known(names map[string]bool, name string) bool {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && names[base] {
			return true
		}
	}
	return false
}

func TestQueriesUseMetricsThatTheCodeHas(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() != ".." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if name, err := strconv.Unquote(text.Value); err == nil && metricName.FindString(name) == name {
					declared[name] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, q := range queries(t) {
		for _, name := range metricName.FindAllString(q.expr, -1) {
			used[name] = true
			if strings.HasPrefix(name, "rolebridge_") && !known(declared, name) {
				t.Errorf("%s uses %s, which no component has", q.at, name)
			}
		}
	}
	if len(used) < 20 {
		t.Errorf("only %d metrics are used: the expression that finds them is wrong", len(used))
	}
}

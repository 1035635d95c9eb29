package archtest_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

const (
	// A comment of fewer lines says what a package is, but not what it is not and how one value lives.
	fewestLines = 3
	// Past it, a file has a second idea. Nine of ten files that we admire have fewer than 500.
	mostLines = 600
)

func TestEveryPackageTellsWhatItIsFor(t *testing.T) {
	t.Parallel()
	longest := map[string]int{}
	for _, f := range repository(t) {
		if strings.HasSuffix(f.syntax.Name.Name, "_test") {
			continue
		}
		longest[f.dir()] = max(longest[f.dir()], docLines(f))
	}
	for dir, lines := range longest {
		if lines < fewestLines {
			t.Errorf("%s: its package comment has %d lines, want %d or more: what is it for, what is it not, how does one value live?",
				dir, lines, fewestLines)
		}
	}
}

func docLines(f file) int {
	if f.test() || f.syntax.Doc == nil {
		return 0
	}
	return strings.Count(strings.TrimSpace(f.syntax.Doc.Text()), "\n") + 1
}

// shapes are the rules that look at one file.
var shapes = map[string]func(file) []string{
	"a package is named after its idea":           vagueName,
	"nothing happens by importing a package":      initFunctions,
	"metrics go to a registry that is passed in":  globalMetrics,
	"a test waits for a condition, never a while": sleeps,
	"a test without its server fails":             skips,
	"a file is one idea":                          tooLong,
}

func TestEveryFileKeepsTheRules(t *testing.T) {
	t.Parallel()
	for _, f := range repository(t) {
		for rule, check := range shapes {
			for _, fault := range check(f) {
				t.Errorf("%s (%s)", fault, rule)
			}
		}
	}
}

func vagueName(f file) []string {
	name := strings.TrimSuffix(f.syntax.Name.Name, "_test")
	if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "types"}, name) {
		return []string{f.at(f.syntax.Name) + ": a package named " + name}
	}
	return nil
}

func initFunctions(f file) []string {
	var faults []string
	for _, declared := range f.syntax.Decls {
		if fn, ok := declared.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !f.generated() {
			faults = append(faults, f.at(fn)+": func init")
		}
	}
	return faults
}

func globalMetrics(f file) []string {
	for _, imported := range f.imports() {
		if strings.HasSuffix(imported, "prometheus/promauto") {
			return []string{f.path + ": imports promauto"}
		}
	}
	return nil
}

// sleeps are fine where the clock is the bubble's, which is to be seen from the code around them.
func sleeps(f file) []string {
	if !f.test() {
		return nil
	}
	return calls(f, "time", []string{"Sleep"}, func(around ast.Node) bool {
		call, ok := around.(*ast.CallExpr)
		return ok && selects(call, "synctest", []string{"Test", "Run"})
	}, "time.Sleep outside of synctest.Test")
}

func skips(f file) []string {
	if under(f.dir(), "internal/testenv") {
		return nil // its skip under -short is the one that others rely on
	}
	var faults []string
	for _, receiver := range []string{"t", "b", "f", "tb"} {
		faults = append(faults, calls(f, receiver, []string{"Skip", "Skipf", "SkipNow"}, func(around ast.Node) bool {
			branch, ok := around.(*ast.IfStmt)
			if !ok {
				return false
			}
			call, ok := branch.Cond.(*ast.CallExpr)
			return ok && selects(call, "testing", []string{"Short"})
		}, "a skip that is not behind testing.Short()")...)
	}
	return faults
}

func tooLong(f file) []string {
	if lines := strings.Count(f.source, "\n"); lines > mostLines && !f.generated() {
		return []string{f.path + ": more than 600 lines"}
	}
	return nil
}

// calls finds calls of receiver.name that stand in nothing of which excused is true.
func calls(f file, receiver string, names []string, excused func(ast.Node) bool, fault string) []string {
	var faults []string
	ast.Inspect(f.syntax, func(node ast.Node) bool {
		if node == nil || excused(node) {
			return false
		}
		if call, ok := node.(*ast.CallExpr); ok && selects(call, receiver, names) {
			faults = append(faults, f.at(call)+": "+fault)
		}
		return true
	})
	return faults
}

func selects(call *ast.CallExpr, receiver string, names []string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains(names, selector.Sel.Name) {
		return false
	}
	on, ok := selector.X.(*ast.Ident)
	return ok && on.Name == receiver
}

func TestEachPlantedFaultIsCaught(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule, path, source string
		faults             int
	}{
		{"a package is named after its idea", "x/common/a.go", "package common", 1},
		{"a package is named after its idea", "x/common/a_test.go", "package common_test", 1},
		{"a package is named after its idea", "creds/a.go", "package creds", 0},
		{"nothing happens by importing a package", "x/a.go", "package x\nfunc init() {}", 1},
		{"nothing happens by importing a package", "x/a.go", "package x\ntype y int\nfunc (y) init() {}", 0},
		{"metrics go to a registry that is passed in", "x/a.go", "package x\nimport _ \"github.com/prometheus/client_golang/prometheus/promauto\"", 1},
		{"a test waits for a condition, never a while", "x/a_test.go", "package x\nfunc f() { time.Sleep(1) }", 1},
		{"a test waits for a condition, never a while", "x/a.go", "package x\nfunc f() { time.Sleep(1) }", 0},
		{"a test waits for a condition, never a while", "x/a_test.go", "package x\nfunc f() { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }", 0},
		{"a test without its server fails", "x/a_test.go", "package x\nfunc f() { t.Skip(); b.SkipNow() }", 2},
		{"a test without its server fails", "x/a_test.go", "package x\nfunc f() { if noKafka() { t.Skipf(``) } }", 1},
		{"a test without its server fails", "x/a_test.go", "package x\nfunc f() { if testing.Short() { t.Skip() } }", 0},
		{"a file is one idea", "x/a.go", "package x\n" + strings.Repeat("\n", 600), 1},
		{"a file is one idea", "x/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage x\n" + strings.Repeat("\n", 600), 0},
	} {
		check, ok := shapes[c.rule]
		if !ok {
			t.Fatalf("no rule %q", c.rule)
		}
		if got := check(parse(t, c.path, c.source)); len(got) != c.faults {
			t.Errorf("%s: %s with %.80q: got %q, want %d faults", c.rule, c.path, c.source, got, c.faults)
		}
	}
}

func TestAShortPackageCommentIsCaught(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int{
		"package x":                   0,
		"// Package x is.\npackage x": 1,
		"// Package x is.\n//\n// It is not.\npackage x":  3,
		"// Not attached.\n// Not.\n// Not.\n\npackage x": 0,
	} {
		if got := docLines(parse(t, "x/a.go", source)); got != want {
			t.Errorf("%q: got %d lines, want %d", source, got, want)
		}
	}
}

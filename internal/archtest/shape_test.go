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
	"a package is named after its idea":          vagueName,
	"nothing happens by importing a package":     initFunctions,
	"metrics go to a registry that is passed in": globalMetrics,
	"what waits can be told to stop":             sleeps,
	"a test without its server fails":            skips,
	"a file is one idea":                         tooLong,
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

// sleeps keep a goroutine from ending when it should. Tests let a bubble's time pass, or wait for a condition; everything
// else waits for a timer beside its context.
func sleeps(f file) []string {
	if f.path == "internal/bubbletest/bubbletest.go" {
		return nil
	}
	return calls(f, "time", []string{"Sleep"}, "time.Sleep: use bubbletest.Pass, or a timer beside ctx.Done()")
}

// skips are for one place: what needs a server asks testenv for it, which leaves the test out when -short was asked for.
// Under -short alone: a test that cannot have its server fails.
func skips(f file) []string {
	if f.path == "internal/testenv/shared.go" {
		return nil
	}
	return calls(f, anybody, []string{"Skip", "Skipf", "SkipNow"}, "a skip: only testenv leaves tests out, those that ask it for a server")
}

func tooLong(f file) []string {
	if lines := strings.Count(f.source, "\n"); lines > mostLines && !f.generated() {
		return []string{f.path + ": more than 600 lines"}
	}
	return nil
}

// anybody is a receiver of any name.
const anybody = ""

// calls finds calls of receiver.name.
func calls(f file, receiver string, names []string, fault string) []string {
	var faults []string
	ast.Inspect(f.syntax, func(node ast.Node) bool {
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
	return receiver == anybody || ok && on.Name == receiver
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
		{"what waits can be told to stop", "x/a_test.go", "package x\nfunc f() { time.Sleep(1) }", 1},
		{"what waits can be told to stop", "x/a_test.go", "package x\nfunc f() { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }", 1},
		{"what waits can be told to stop", "x/a.go", "package x\nfunc f() { for { time.Sleep(1) } }", 1},
		{"what waits can be told to stop", "internal/bubbletest/bubbletest.go", "package bubbletest\nfunc f() { time.Sleep(1) }", 0},
		{"what waits can be told to stop", "x/a_test.go", "package x\nfunc f() { bubbletest.Pass(time.Second) }", 0},
		{"a test without its server fails", "x/a_test.go", "package x\nfunc f() { t.Skip(); w.b.SkipNow() }", 2},
		{"a test without its server fails", "x/a_test.go", "package x\nfunc f() { if noKafka() { t.Skipf(``) } }", 1},
		{"a test without its server fails", "x/a_test.go", "package x\nfunc f() { if testing.Short() { t.Skip() } }", 1},
		{"a test without its server fails", "internal/testenv/redis.go", "package testenv\nfunc f() { t.Skip() }", 1},
		{"a test without its server fails", "internal/testenv/shared.go", "package testenv\nfunc f() { t.Skip() }", 0},
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

package archtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// level is where a component stands: an arrow goes from a lower number to a higher one, never back and never sideways.
var level = map[string]int{
	"cmd": 0, "bench": 0, "deploy": 0, "docs": 0, "e2e": 0,
	"api": 1, "workers": 1, "creds": 1, "console": 1,
	"events": 2, "cloud": 2,
	"integration": 3,
}

// embedded are servers to be had as libraries: for a first look and for tests, never for a product that runs.
var embedded = []string{
	module + "/cloud/sandbox",
	"github.com/alicebob/miniredis",
	"github.com/twmb/franz-go/pkg/kfake",
	"github.com/rclone/gofakes3",
	"github.com/versity/versitygw",
}

// arrow says what is wrong with the import of imported by a file of the folder dir; nothing is wrong if it says nothing.
func arrow(dir string, test bool, imported string) string {
	if !ours(imported) {
		switch {
		case component(dir) == "integration" && !test && strings.Contains(first(imported), "."):
			return "the domain imports the standard library only"
		case anyUnder(imported, embedded) && !mayEmbed(dir, test):
			return "embedded servers are for cmd/devstack, bench and tests"
		}
		return ""
	}

	to := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
	switch {
	case under(dir, "docs/examples") && !test:
		return "an example is for those who have nothing of ours"
	case anyUnder(imported, embedded) && !mayEmbed(dir, test):
		return "the sandbox is for cmd/devstack, bench and tests"
	case under(to, "internal/testenv") && !test && !forTests(dir):
		return "testenv is for tests and bench"
	case strings.HasSuffix(first(reverse(to)), "test") && !test && !forTests(dir):
		return "a package that helps tests is imported by tests only"
	case first(to) == "internal":
		if component(dir) == "integration" {
			return "the domain imports the standard library only"
		}
		return ""
	}
	return between(dir, to)
}

// between judges an arrow from one of our folders to another that is not internal.
func between(dir, to string) string {
	toLevel, known := level[first(to)]
	if !known {
		return fmt.Sprintf("%s has no level: add it to the table of levels", first(to))
	}
	if first(dir) == "internal" {
		if toLevel < level["events"] && !under(dir, "internal/testenv") {
			return "internal packages know nothing of those who use them"
		}
		return ""
	}
	fromLevel, known := level[first(dir)]
	switch {
	case !known:
		return fmt.Sprintf("%s has no level: add it to the table of levels", first(dir))
	case component(dir) == component(to):
		return ""
	case first(dir) == "cmd" && component(to) == "cmd/internal":
		return "" // what all commands put together in the same way
	case fromLevel == toLevel:
		return "siblings meet on Kafka, not in an import"
	case fromLevel > toLevel:
		return "the arrow points back"
	}
	return ""
}

// component is what may import itself freely: each worker and each command is one of its own.
func component(dir string) string {
	parts := strings.Split(dir, "/")
	if (parts[0] == "workers" || parts[0] == "cmd") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func mayEmbed(dir string, test bool) bool {
	return test || forTests(dir) || under(dir, "cmd/devstack") || under(dir, "cloud/sandbox")
}

// forTests are folders whose ordinary files serve tests and measurements: helpers carry test at the end of their name.
func forTests(dir string) bool {
	return first(dir) == "bench" || first(dir) == "e2e" || under(dir, "internal/testenv") || strings.HasSuffix(dir, "test")
}

func ours(imported string) bool { return under(imported, module) }

func under(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

func anyUnder(name string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return under(name, folder) })
}

func first(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

func reverse(name string) string {
	parts := strings.Split(name, "/")
	slices.Reverse(parts)
	return strings.Join(parts, "/")
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, f := range repository(t) {
		if f.dir() == "." {
			t.Errorf("%s: the root holds no Go code", f.path)
			continue
		}
		for _, imported := range f.imports() {
			if fault := arrow(f.dir(), f.test(), imported); fault != "" {
				t.Errorf("%s imports %s: %s", f.path, imported, fault)
			}
		}
	}
}

func TestAWrongArrowIsCaught(t *testing.T) {
	t.Parallel()
	const fine, wrong = false, true
	for _, c := range []struct {
		dir      string
		test     bool
		imported string
		wrong    bool
	}{
		{"cmd/rolebridge", false, module + "/api", fine},
		{"cmd/rolebridge", false, module + "/workers/trust", fine},
		{"cmd/rolebridge", false, module + "/integration", fine},
		{"cmd/rolebridge", false, module + "/cmd/devstack/demo", wrong},
		{"cmd/rolebridge", false, module + "/cmd/internal/app", fine},
		{"cmd/internal/app", false, module + "/creds", fine},
		{"cmd/internal/app", false, module + "/cmd/devstack", wrong},
		{"cmd/internal/app", false, module + "/cloud/sandbox", wrong},
		{"api", false, module + "/events", fine},
		{"api", false, module + "/cmd/rolebridge", wrong},
		{"api", false, module + "/creds", wrong},
		{"api", true, module + "/workers/lifecycle", wrong},
		{"creds", false, module + "/creds/credstest", wrong},
		{"creds", true, module + "/creds/credstest", fine},
		{"creds", false, module + "/cloud/aws", fine},
		{"creds", false, module + "/console", wrong},
		{"workers/trust", false, module + "/workers/mapping", wrong},
		{"workers/trust", false, module + "/workers/trust/probe", fine},
		{"workers/trust", false, module + "/workers", wrong},
		{"events", false, module + "/integration", fine},
		{"events", false, module + "/cloud", wrong},
		{"events", false, module + "/api", wrong},
		{"cloud/aws", false, module + "/cloud", fine},
		{"cloud/aws", false, module + "/cloud/aws/policy", fine},
		{"cloud/aws", true, module + "/creds", wrong},
		{"integration", false, "time", fine},
		{"integration", false, "crypto/rand", fine},
		{"integration", false, module + "/integration/authorize", fine},
		{"integration", false, module + "/events", wrong},
		{"integration", false, module + "/internal/secret", wrong},
		{"integration", false, "github.com/google/uuid", wrong},
		{"integration", true, "pgregory.net/rapid", fine},
		{"internal/telemetry", false, module + "/integration", fine},
		{"internal/telemetry", false, module + "/internal/config", fine},
		{"internal/telemetry", false, module + "/creds", wrong},
		{"internal/telemetry", true, module + "/workers/trust", wrong},
		{"events", true, module + "/internal/testenv", fine},
		{"events", false, module + "/internal/testenv", wrong},
		{"cmd/devstack", false, module + "/internal/testenv/local", wrong},
		{"internal/testenv/cmd/testservers", false, module + "/internal/testenv", fine},
		{"bench", false, module + "/internal/testenv", fine},
		{"e2e", false, module + "/internal/testenv", fine},
		{"e2e", true, module + "/workers/lifecycle", fine},
		{"docs/generate", false, module + "/api", fine},
		{"docs/generate", false, module + "/bench", wrong},
		{"docs/examples", true, module + "/workers/lifecycle", fine},
		{"docs/examples/go", false, module + "/events", wrong},
		{"docs/examples/go", false, "github.com/twmb/franz-go/pkg/kgo", fine},
		{"api", true, module + "/e2e", wrong},
		{"cmd/devstack", false, module + "/cloud/sandbox", fine},
		{"cmd/rolebridge", false, module + "/cloud/sandbox", wrong},
		{"creds", true, module + "/cloud/sandbox", fine},
		{"cloud/aws", false, module + "/cloud/sandbox", wrong},
		{"cmd/devstack", false, "github.com/alicebob/miniredis/v2", fine},
		{"creds", false, "github.com/alicebob/miniredis/v2", wrong},
		{"creds/credstest", false, "github.com/alicebob/miniredis/v2", fine},
		{"events", false, "github.com/twmb/franz-go/pkg/kfake", wrong},
		{"events", true, "github.com/twmb/franz-go/pkg/kfake", fine},
		{"events", false, "github.com/twmb/franz-go/pkg/kgo", fine},
		{"cloud/sandbox", false, "github.com/rclone/gofakes3", fine},
		{"helm", false, module + "/events", wrong},
		{"events", false, module + "/helm", wrong},
	} {
		if got := arrow(c.dir, c.test, c.imported); (got != "") != c.wrong {
			t.Errorf("%s (test: %t) imports %s: got %q, want a fault: %t", c.dir, c.test, c.imported, got, c.wrong)
		}
	}
}

package policy_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif" // has the schema in its source
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// sarifSchema is OASIS' own schema of SARIF 2.1.0 (errata 01). The library keeps it to itself, and would check its own types
// instead of our text, so it is taken out of the library's source.
func sarifSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(strings.TrimSpace(string(dir)), "pkg", "report", "v210", "sarif", "schema.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING && strings.Contains(literal.Value, "SARIF") {
			text, _ = strconv.Unquote(literal.Value)
		}
		return text == ""
	})
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s holds no schema: %v", path, err)
	}
	const name = "sarif-schema-2.1.0.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSARIFIsWhatItsSchemaSays(t *testing.T) {
	schema := sarifSchema(t)
	check := func(text []byte) error {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return schema.Validate(doc)
	}
	var reports []policy.Report
	for _, path := range lintCases(t) {
		c := readLintCase(t, path)
		reports = append(reports, policy.Report{URI: path, Findings: policy.Parse(policy.Trust, []byte(c.policy)).Lint(c.expect)})
	}
	every, err := policy.EncodeSARIF("1.2.3", reports...)
	if err != nil {
		t.Fatal(err)
	}
	none, err := policy.EncodeSARIF("")
	if err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile("testdata/encode/findings.sarif")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"every lint case": every, "no file": none, "the golden file": one} {
		if err := check(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for what, wrong := range map[string][2]string{
		"a level that does not exist":  {`"level": "error"`, `"level": "fatal"`},
		"a line 0":                     {`"startLine": 1`, `"startLine": 0`},
		"another version":              {`"version": "2.1.0"`, `"version": "2.2.0"`},
		"a property that nobody knows": {`"columnKind"`, `"columnSort"`},
	} {
		text := bytes.Replace(every, []byte(wrong[0]), []byte(wrong[1]), 1)
		if bytes.Equal(text, every) {
			t.Fatalf("%s: nothing was replaced", what)
		}
		if check(text) == nil {
			t.Errorf("%s passes: the schema is not looked at", what)
		}
	}
	if n, want := bytes.Count(every, []byte(`"ruleId"`)), len(reports); n < want {
		t.Errorf("%d results of %d files", n, want)
	}
}

// A place in SARIF is a URI: a file's name may hold what a URI may not.
func TestAFilesNameInSARIFIsAURI(t *testing.T) {
	text, err := policy.EncodeSARIF("", policy.Report{URI: "my roles/a%b#c?d.json", Findings: policy.Parse(policy.Trust, []byte("{")).Findings()})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(`"uri": "my%20roles/a%25b%23c%3Fd.json"`)) {
		t.Errorf("the name is not escaped: %s", text)
	}
}

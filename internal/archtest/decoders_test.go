package archtest_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// decodes are calls that make something of bytes.
var decodes = []string{
	"json.Unmarshal", "json.NewDecoder", "yaml.Unmarshal", "yaml.NewDecoder", "yaml.Parser", "xml.Unmarshal", "xml.NewDecoder",
	"jsonschema.UnmarshalJSON", "pem.Decode", "x509.ParseCertificate", "jwt.ParseSigned", "cloudevents.NewEvent",
}

// notForeign are packages that read only what we, or who runs them, wrote.
var notForeign = map[string]string{
	"api/apitest":                "for tests",
	"bench":                      "its own measurements",
	"cloud/aws":                  "answers of AWS, through its SDK",
	"cmd/devstack":               "its own memory",
	"cmd/rolebridge":             "files of who types the command",
	"docs/examples/go":           "an example",
	"docs/generate":              "our own schemas",
	"internal/certtest":          "for tests",
	"internal/config":            "settings of the operator, fuzzed as a whole in cmd/internal/app",
	"internal/secret/secrettest": "for tests",
}

// TestWhoeverReadsForeignBytesHasAFuzzTarget asks for one in each package that decodes something, or for the reason why not.
func TestWhoeverReadsForeignBytesHasAFuzzTarget(t *testing.T) {
	t.Parallel()
	where, fuzzed := map[string]string{}, map[string]bool{}
	for _, f := range repository(t) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				fuzzed[f.dir()] = fuzzed[f.dir()] || f.test() && n.Recv == nil && strings.HasPrefix(n.Name.Name, "Fuzz")
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.SelectorExpr); ok && !f.test() {
					if of, ok := called.X.(*ast.Ident); ok && slices.Contains(decodes, of.Name+"."+called.Sel.Name) {
						where[f.dir()] = f.at(n)
					}
				}
			}
			return true
		})
	}
	for dir, at := range where {
		_, ours := notForeign[dir]
		if fuzzed[dir] == ours {
			t.Errorf("%s decodes: fuzz targets in %s: %t, exempted: %t; want one of the two", at, dir, fuzzed[dir], ours)
		}
	}
	for dir := range notForeign {
		if where[dir] == "" {
			t.Errorf("%s is exempted and decodes nothing", dir)
		}
	}
	if len(where) < 8 {
		t.Errorf("only %v decode: the rule looks at nothing", where)
	}
}

package integration_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

func TestEveryCodeHasAnAnswerAndAnExplanation(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[integration.Code]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if of, ok := spec.Type.(*ast.Ident); ok && of.Name == "Code" {
				text, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				declared[integration.Code(text)] = true
			}
		}
		return true
	})
	if len(declared) == 0 {
		t.Fatal("found no Code constants in code.go")
	}
	answered := map[integration.Code]bool{}
	for _, c := range integration.Codes() {
		answered[c] = true
		if a := c.Answer(); a.HTTP < 400 || a.Exit < 1 || !strings.HasSuffix(a.Means, ".") {
			t.Errorf("%s answers %+v, want a status, an exit code and a sentence that explains it", c, a)
		}
	}
	for c := range declared {
		if !answered[c] {
			t.Errorf("%s has no row in answers", c)
		}
	}
	if len(answered) != len(declared) {
		t.Errorf("%d rows for %d codes", len(answered), len(declared))
	}
}

package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/rolebridge/rolebridge"

// file is a Go file of the repository.
type file struct {
	path      string // from the root, with slashes
	source    string
	syntax    *ast.File
	positions *token.FileSet
}

func (f file) dir() string { return path.Dir(f.path) }

func (f file) test() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f file) generated() bool { return ast.IsGenerated(f.syntax) }

func (f file) imports() []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, imported)
		}
	}
	return paths
}

// at is where a fault is, as editors understand it.
func (f file) at(node ast.Node) string {
	position := f.positions.Position(node.Pos())
	return f.path + ":" + strconv.Itoa(position.Line)
}

// parse reads one file; planted faults come this way too.
func parse(t *testing.T, name, source string) file {
	t.Helper()
	positions := token.NewFileSet()
	syntax, err := parser.ParseFile(positions, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file{path: name, source: source, syntax: syntax, positions: positions}
}

var root = filepath.Join("..", "..")

var paths = sync.OnceValues(func() ([]string, error) {
	var all []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			if strings.HasSuffix(name, ".go") {
				all = append(all, name)
			}
			return nil
		}
		base := entry.Name()
		if base == "testdata" || base == "node_modules" || name != root && strings.HasPrefix(base, ".") {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != root {
			return fs.SkipDir // a module of its own
		}
		return nil
	})
	return all, err
})

// repository is every Go file of our module.
func repository(t *testing.T) []file {
	t.Helper()
	names, err := paths()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 10 {
		t.Fatalf("found %d Go files at %s: the tests would judge nothing", len(names), root)
	}
	files := make([]file, 0, len(names))
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, parse(t, filepath.ToSlash(relative), string(source)))
	}
	return files
}

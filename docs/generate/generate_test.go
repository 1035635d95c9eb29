package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

func TestWhatIsGeneratedIsCurrent(t *testing.T) {
	t.Parallel()
	made, err := documents(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range made {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current: make generate (%v)", name, err)
		}
	}
}

var (
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	linked  = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	blocks  = regexp.MustCompile("(?s)```.*?```")
)

// anchors are what the headings of a page are reached by.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(blocks.ReplaceAllString(string(text), ""), -1) {
		at := "#" + strings.ReplaceAll(anchor(h[1]), " ", "-")
		if all[at] {
			t.Errorf("%s: two headings are reached by %s", page, at)
		}
		all[at] = true
	}
	return all
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"REFERENCE.md", "COMMANDS.md"} {
		path := filepath.Join(root, "docs", page)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		headings := map[string]map[string]bool{}
		links := linked.FindAllStringSubmatch(blocks.ReplaceAllString(string(text), ""), -1)
		if len(links) < 5 {
			t.Errorf("%s: found %d links: the test judges nothing", page, len(links))
		}
		for _, l := range links {
			to := path
			if l[1] != "" {
				to = filepath.Join(root, "docs", l[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", page, l[1], err)
				continue
			}
			if l[2] != "" && headings[to] == nil {
				headings[to] = anchors(t, to)
			}
			if l[2] != "" && !headings[to][l[2]] {
				t.Errorf("%s links to %s%s, which is no heading", page, l[1], l[2])
			}
		}
	}
}

func TestAFieldWithoutADescriptionIsNotPublished(t *testing.T) {
	t.Parallel()
	s, err := readSchemas()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reference(s); err != nil {
		t.Fatal(err)
	}
	of := s.types["audit.dropped"]
	of.Properties = append(object{}, of.Properties...)
	of.Properties[0].value = []byte(`{"type":"integer"}`)
	s.types["audit.dropped"] = of
	if _, err := reference(s); err == nil || !strings.Contains(err.Error(), "audit.dropped: field count") {
		t.Errorf("got %v, want an error that names the field", err)
	}
}

func TestAnExampleIsShownAsItsFileIs(t *testing.T) {
	t.Parallel()
	page := []byte("before\n<!-- example: go/main.go -->\nold\n<!-- end of example -->\nbetween\n<!-- example: x.sh -->\n<!-- end of example -->\n")
	files := map[string]string{"go/main.go": "package main\n", "x.sh": "echo $1 ${2}\n"}
	got, err := fill(page, func(name string) ([]byte, error) { return []byte(files[name]), nil })
	want := "before\n<!-- example: go/main.go -->\n```go\npackage main\n```\n<!-- end of example -->\nbetween\n<!-- example: x.sh -->\n```bash\necho $1 ${2}\n```\n<!-- end of example -->\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if again, err := fill(got, func(name string) ([]byte, error) { return []byte(files[name]), nil }); err != nil || !bytes.Equal(again, got) {
		t.Errorf("a second time gives %q, %v", again, err)
	}
	for name, text := range map[string]string{"a.go": "```", "b.cobol": "x"} {
		if _, err := fill([]byte("<!-- example: "+name+" -->\n<!-- end of example -->\n"), func(string) ([]byte, error) { return []byte(text), nil }); err == nil {
			t.Errorf("%s with %q was shown", name, text)
		}
	}
	if _, err := fill(page, func(string) ([]byte, error) { return nil, fs.ErrNotExist }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

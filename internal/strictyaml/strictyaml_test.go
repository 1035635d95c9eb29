package strictyaml_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/internal/strictyaml"
)

func TestOneDocumentIsReadAndNothingIsLeftOut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"name: a":               "",
		"---\nname: a\n...\n":   "",
		"name: a\n# the end\n":  "",
		"name: a\n---\nname: b": "a second document",
		"name: a\n---\n":        "a second document",
		"name: a\n---\n\t: [":   "cannot start any token",
		"name: a\nother: b":     "other",
		"name: [":               "did not find",
	} {
		var v struct {
			Name string `yaml:"name"`
		}
		err := strictyaml.Decode([]byte(text), &v)
		if want == "" && (err != nil || v.Name != "a") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %q and %v, want %q", text, v.Name, err, want)
		}
		if more := strictyaml.Single([]byte(text)); errors.Is(more, strictyaml.ErrMore) != (want == "a second document") {
			t.Errorf("%q: got %v of the number of documents", text, more)
		}
	}
	if err := strictyaml.Decode(nil, &struct{}{}); !errors.Is(err, io.EOF) {
		t.Errorf("of nothing: got %v", err)
	}
}

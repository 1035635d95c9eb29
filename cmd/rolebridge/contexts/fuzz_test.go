package contexts_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/cmd/rolebridge/contexts"
)

// FuzzTheContextsFile: a file that is read is read the same after the command line has written it again, its names are ones that
// a flag can name; of one that is not, no error shows a value, which may be a secret.
func FuzzTheContextsFile(f *testing.F) {
	const hush = "hush-77" // so short that the decoder quotes it whole
	for _, seed := range []string{
		"", "{}", "null", "[]", "a: b", "contexts: {a: {url: http://x, key: K, secret: " + hush + ", environment: env-1}}\ncurrent: a\n",
		"contexts: {a: {secret: [" + hush + "]}}", "contexts: {a: {secrets: " + hush + "}}", "contexts: {a: " + hush + "}", "contexts: {\"\\e[2J\": {}}", "contexts: {a: {url: \"\\0\"}}\n---\nx: y\n",
		"contexts: &a {b: {url: *a}}", "contexts: {a: {secret: \"" + hush, "current: \"\\uD800\"", "contexts: {a: {secret: !!binary /w==}}", "contexts: {a: {url: \"\xff\"}}",
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		file := at(t, path)
		once, err := file.Read()
		if err != nil {
			if strings.Contains(err.Error(), hush) || len(err.Error()) > len(path)+1000 {
				t.Fatalf("the error shows the file: %v", err)
			}
			return
		}
		for _, c := range once.List() {
			if err := contexts.CheckName(c.Name); err != nil {
				t.Fatalf("%q has a context of no name: %v", text, err)
			}
		}
		if err := file.Change(t.Context(), func(*contexts.Book) error { return nil }); err != nil {
			t.Fatalf("%q was read and cannot be written: %v", text, err)
		}
		twice, err := file.Read()
		if err != nil || !reflect.DeepEqual(twice, once) {
			t.Fatalf("%q reads as %+v, and written again as %+v, %v", text, once, twice, err)
		}
	})
}

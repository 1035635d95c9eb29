package wholefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/rolebridge/rolebridge/internal/wholefile"
)

func TestAFileIsReplacedAndCreatedWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("a longer text than the next"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.Replace(path, []byte("next")); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.Create(path, []byte("again")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a file: got %v, want ErrExist", err)
	}
	if err := wholefile.Create(filepath.Join(dir, "g"), []byte("new")); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"f": "next", "g": "new"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		info, statErr := os.Stat(filepath.Join(dir, name))
		if err != nil || statErr != nil || string(got) != want || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %q, %v, %v; want %q for its owner only", name, got, info, err, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("got %v, %v; want no temporary file left", left, err)
	}
	if err := wholefile.Replace(filepath.Join(dir, "none", "f"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a folder that is not there: got %v", err)
	}
}

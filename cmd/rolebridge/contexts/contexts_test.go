package contexts_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rolebridge/rolebridge/cmd/rolebridge/contexts"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// at is a file whose warnings fail the test.
func at(t *testing.T, path string) contexts.File {
	t.Helper()
	return contexts.File{Path: path, Warn: func(text string) { t.Errorf("got the warning %q", text) }}
}

func put(t *testing.T, f contexts.File, c contexts.Context) {
	t.Helper()
	if err := f.Change(t.Context(), func(b *contexts.Book) error { b.Put(c); b.Current = c.Name; return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestAContextIsKeptForItsOwnerOnly(t *testing.T) {
	f := at(t, filepath.Join(t.TempDir(), "new", "folder", "config.yaml"))
	if b, err := f.Read(); err != nil || len(b.List()) != 0 {
		t.Fatalf("no file: got %v, %v; want an empty book", b, err)
	}
	want := contexts.Context{Name: "prod", URL: "https://x", Key: "K", Secret: secret.New("hush"), Environment: "env-1"}
	put(t, f, want)
	b, err := f.Read()
	if err != nil {
		t.Fatal(err)
	}
	got, ok := b.Find("prod")
	if !ok || b.Current != "prod" || got.URL != want.URL || got.Key != want.Key || got.Environment != want.Environment || got.Secret.Reveal() != "hush" {
		t.Errorf("got %+v, current %q; want %+v", got, b.Current, want)
	}
	for path, mode := range map[string]os.FileMode{f.Path: 0o600, filepath.Dir(f.Path): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: got %v, %v; want mode %o", path, info.Mode(), err, mode)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, *b); strings.Contains(text, "hush") {
		t.Errorf("the secret was printed: %s", text)
	}
}

func TestAFileThatOthersCanReadIsMendedAndSaidSo(t *testing.T) {
	f := at(t, filepath.Join(t.TempDir(), "config.yaml"))
	put(t, f, contexts.Context{Name: "a", URL: "http://x", Secret: secret.New("hush")})
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604} {
		if err := os.Chmod(f.Path, mode); err != nil {
			t.Fatal(err)
		}
		said := ""
		if _, err := (contexts.File{Path: f.Path, Warn: func(text string) { said += text }}).Read(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(f.Path)
		if err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(said, fmt.Sprintf("mode %04o", mode)) {
			t.Errorf("%o: got %v and %q; want 0600, and that it was not", mode, info.Mode(), said)
		}
	}
	if _, err := f.Read(); err != nil { // says nothing more
		t.Fatal(err)
	}
}

func TestABrokenFileIsAnErrorWithoutItsSecrets(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":          "contexts: [hush",
		"an unknown key":   "contexts:\n  a:\n    url: http://x\n    sekret: hush\n",
		"a wrong type":     "contexts:\n  a:\n    url: http://x\n    secret: {x: hush}\n",
		"a list":           "- hush\n",
		"a broken name":    "contexts:\n  'a b':\n    url: http://x\n",
		"an alias of none": "contexts: *hush\n",
	} {
		f := at(t, filepath.Join(t.TempDir(), "config.yaml"))
		if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(); err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), f.Path) {
			t.Errorf("%s: got %v; want an error with the path and without what is in the file", name, err)
		}
		// Nor is it overwritten.
		if err := f.Change(t.Context(), func(*contexts.Book) error { return nil }); err == nil {
			t.Errorf("%s: a broken file was changed", name)
		}
	}
}

func TestChangesAtTheSameTimeAreAllKept(t *testing.T) {
	f := at(t, filepath.Join(t.TempDir(), "config.yaml"))
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() { put(t, f, contexts.Context{Name: fmt.Sprintf("c%02d", n), URL: "http://x"}) })
	}
	all.Wait()
	b, err := f.Read()
	if err != nil || len(b.List()) != 20 {
		t.Errorf("got %d contexts, %v; want 20", len(b.List()), err)
	}
}

func TestALinkStaysALinkAndARefusedChangeChangesNothing(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "config.yaml")
	put(t, at(t, target), contexts.Context{Name: "a", URL: "http://x"})
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	put(t, at(t, link), contexts.Context{Name: "b", URL: "http://x"})
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("got %v, %v; want a link", info, err)
	}
	refused := errors.New("no")
	if err := at(t, target).Change(t.Context(), func(b *contexts.Book) error { b.Remove("a"); return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v, want what the change returned", err)
	}
	b, err := at(t, target).Read()
	if err != nil || len(b.List()) != 2 {
		t.Errorf("got %v, %v; want both contexts", b.List(), err)
	}
}

func TestWhatIsNoFileIsNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "config.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, t.TempDir()} {
		if _, err := at(t, path).Read(); err == nil || !strings.Contains(err.Error(), "not a file") {
			t.Errorf("%s: got %v", path, err)
		}
	}
	good := filepath.Join(t.TempDir(), "config.yaml")
	if err := syscall.Mkfifo(good+".lock", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := at(t, good).Change(t.Context(), func(*contexts.Book) error { return nil }); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a pipe for the lock: got %v", err)
	}
}

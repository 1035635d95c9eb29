package reload_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/reload"
)

// joined is a value of two files that must be of one kind.
func joined(contents [][]byte) (string, error) {
	if contents[0][0] != contents[1][0] {
		return "", errors.New("the files do not fit")
	}
	return string(bytes.Join(contents, []byte("+"))), nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAChangeIsTakenOnlyWhenItIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
		write(t, a, "1a")
		write(t, b, "1b")
		v, err := reload.Open(joined, a, b)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go v.Run(ctx, time.Second, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				told = append(told, "new")
			} else {
				told = append(told, err.Error())
			}
		})
		want := func(value, said string) {
			t.Helper()
			bubbletest.Pass(3 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if got := v.Get(); got != value || strings.Join(told, ",") != said {
				t.Errorf("got %q, told %q; want %q, told %q", got, told, value, said)
			}
		}
		want("1a+1b", "")
		write(t, a, "2a")
		want("1a+1b", "the files do not fit")
		write(t, b, "2b")
		want("2a+2b", "the files do not fit,new")
		if err := os.Remove(b); err != nil {
			t.Fatal(err)
		}
		want("2a+2b", "the files do not fit,new,open "+b+": no such file or directory")
		write(t, b, "2b") // as it was: whoever is told of the fault is told of its end
		want("2a+2b", "the files do not fit,new,open "+b+": no such file or directory,new")
	})
}

func TestWhatCannotBeUsedFailsAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	huge, empty, one := filepath.Join(dir, "huge"), filepath.Join(dir, "empty"), filepath.Join(dir, "one")
	write(t, huge, strings.Repeat("x", reload.MaxFile+1))
	write(t, empty, "")
	write(t, one, "1")
	for path, want := range map[string]string{
		huge: "larger than", empty: "empty", filepath.Join(dir, "none"): "no such file", "/dev/zero": "larger than",
	} {
		if _, err := reload.Open(joined, one, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

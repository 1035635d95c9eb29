package provision

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestSeveralWhoNeedAnInstallationMakeItOnce(t *testing.T) {
	t.Setenv("ROLEBRIDGE_CACHE", t.TempDir())
	var builds atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			path, err := once(t.Context(), "thing", func(_ context.Context, tmp string) error {
				builds.Add(1)
				return os.WriteFile(tmp, []byte("whole"), 0o600)
			})
			if err != nil {
				t.Errorf("install: %v", err)
				return
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != "whole" {
				t.Errorf("installed: got %q, %v, want whole", text, err)
			}
		})
	}
	all.Wait()
	if got := builds.Load(); got != 1 {
		t.Errorf("built %d times, want 1", got)
	}
}

func TestAnInterruptedInstallationIsNotTakenForAWholeOne(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("ROLEBRIDGE_CACHE", cache)
	half := filepath.Join(cache, "thing.part")
	if err := os.MkdirAll(filepath.Join(half, "rest of before"), 0o750); err != nil {
		t.Fatal(err)
	}

	errNetwork := errors.New("no network")
	if _, err := once(t.Context(), "thing", func(_ context.Context, tmp string) error {
		return errors.Join(os.Mkdir(tmp, 0o750), errNetwork)
	}); !errors.Is(err, errNetwork) {
		t.Fatalf("got %v, want the failure", err)
	}
	path, err := once(t.Context(), "thing", func(_ context.Context, tmp string) error { return os.Mkdir(tmp, 0o750) })
	if err != nil {
		t.Fatalf("the next try: %v", err)
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 0 {
		t.Errorf("got %v, %v, want nothing of the interrupted one", entries, err)
	}
}

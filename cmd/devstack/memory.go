package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// memory is what the walk must know again after a restart. It holds secrets of the stand-ins, so its file is for its
// owner only.
type memory struct {
	APIKey    string `json:"api_key"`
	APISecret string `json:"api_secret"`

	Integration string `json:"integration,omitempty"`
	Token       string `json:"token,omitempty"`
}

// folder is where a devstack keeps its files; it belongs to one process at a time.
type folder struct {
	path string
	lock *flock.Flock
	// temporary folders go with the process.
	temporary bool
}

// openFolder locks path, which is made if missing; an empty path is a temporary folder.
func openFolder(path string) (*folder, error) {
	f := &folder{path: path}
	if path == "" {
		var err error
		if f.path, err = os.MkdirTemp("", "rolebridge-devstack-"); err != nil {
			return nil, err
		}
		f.temporary = true
	}
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return nil, err
	}
	f.lock = flock.New(f.file("lock"))
	if mine, err := f.lock.TryLock(); err != nil || !mine {
		return nil, errors.Join(fmt.Errorf("--data %s: another devstack uses it", path), err)
	}
	return f, nil
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

func (f *folder) close() {
	_ = f.lock.Close() // the lock ends with the process at the latest
	if f.temporary {
		_ = os.RemoveAll(f.path)
	}
}

// recall reads the memory, which is empty the first time.
func (f *folder) recall() (m memory, err error) {
	raw, err := os.ReadFile(f.file("memory.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return memory{}, nil
	}
	if err != nil {
		return memory{}, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return memory{}, fmt.Errorf("%s: %w; remove the folder to start anew", f.file("memory.json"), err)
	}
	return m, nil
}

func (f *folder) remember(m memory) error {
	raw, err := json.MarshalIndent(m, "", "  ") //nolint:gosec // kept for the next run, for its owner only
	if err != nil {
		return err
	}
	next := f.file("memory.json.next")
	if err := os.WriteFile(next, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.file("memory.json"))
}

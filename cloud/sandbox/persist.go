package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// stateFile holds everything but the objects.
const stateFile = "state.json"

// remembered is how long a session is kept after its end, so that its holder is told "expired" and not "unknown".
const remembered = time.Hour

// disk keeps the state in one file, replaced as a whole. Without a folder it does nothing.
type disk struct {
	path string

	mu      sync.Mutex // one writer at a time
	written uint64     // the change that the file has; guarded by mu

	changed uint64 // guarded by Sandbox.mu
}

func openDisk(dir string) (*disk, *state, error) {
	st := newState()
	if dir == "" {
		return &disk{}, st, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	d := &disk{path: filepath.Join(dir, stateFile)}
	text, err := os.ReadFile(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, st, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(text, st); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.path, err)
	}
	return d, st, nil
}

// touch notes a change of the state. It needs the write lock of the sandbox.
func (d *disk) touch() { d.changed++ }

// save writes the state unless the file has it already. Callers that wait for each other share one write: who comes
// while the file is written finds its own change in the next one.
func (s *Sandbox) save() error {
	d := s.disk
	if d.path == "" {
		s.forget()
		return nil
	}
	s.mu.RLock()
	mine := d.changed
	s.mu.RUnlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.written >= mine {
		return nil
	}
	s.forget()
	s.mu.RLock()
	now := d.changed
	text, err := json.Marshal(s.state)
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	if err := replaceFile(d.path, text); err != nil {
		return err
	}
	d.written = now
	return nil
}

// forget drops sessions that ended an hour ago.
func (s *Sandbox) forget() {
	before := s.now().Add(-remembered)
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range s.state.Sessions {
		if v.Expires.Before(before) {
			delete(s.state.Sessions, k)
		}
	}
}

// replaceFile writes beside path and renames, so that a reader, or a start after a kill, finds the old text or the new.
// It does not wait for the disk: the sandbox promises to survive a killed process, not a lost machine.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

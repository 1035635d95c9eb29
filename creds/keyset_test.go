package creds_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/internal/polltest"
)

// watched is a sealer that follows a file, looked at when the test says so.
type watched struct {
	*creds.KeysetWatch
	sealer *creds.Sealer
	loads  *prometheus.Registry
}

func watch(t *testing.T, f creds.KeysetFile, log *lines) watched {
	t.Helper()
	reg := prometheus.NewRegistry()
	w, s, err := creds.NewKeysetWatch(f, slog.New(slog.NewJSONHandler(log, nil)), reg)
	must(t, err)
	w.Load(t.Context())
	return watched{w, s, reg}
}

// readBy returns the session that a new broker with this keyset hands out.
func (w *redisWorld) readBy(t *testing.T, by watched) (accessKeyID string) {
	t.Helper()
	w.sealer = by.sealer
	return mustSession(t, w.replica(t), w.token).AccessKeyID
}

func TestAKeysetIsRotatedWhileBrokersRun(t *testing.T) {
	w := newRedisWorld(t)
	file := creds.KeysetFile{Path: filepath.Join(t.TempDir(), "keyset")}
	must(t, file.Create(t.Context()))
	if err := file.Create(t.Context()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a keyset over another: got %v, want that it exists", err)
	}
	if info, err := os.Stat(file.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v; want 0600", info.Mode(), err)
	}
	keys, err := file.Keys(t.Context())
	must(t, err)
	old := keys[0].ID
	one, two := watch(t, file, w.log), watch(t, file, w.log)
	before := w.readBy(t, one)
	w.entries(t, 2)
	w.sealedWith(t, "before", old, old)

	added, err := file.Add(t.Context())
	must(t, err)
	one.Load(t.Context())
	two.Load(t.Context())
	if got := w.readBy(t, two); got != before {
		t.Error("after a key was added: what was there does not open")
	}
	must(t, file.Promote(t.Context(), added))
	one.Load(t.Context()) // two has the key, and does not know yet that it seals
	if got := w.readBy(t, one); got != before {
		t.Error("after a key was promoted: what the old one sealed does not open")
	}
	w.world.replica.Revoke(orders)
	after := w.readBy(t, one)
	w.entries(t, 4)
	w.sealedWith(t, "after the promotion", old, old, added, added)
	if got := w.readBy(t, two); got != after {
		t.Error("a replica that has the new key as a second one does not open what it sealed")
	}

	if err := file.Remove(t.Context(), added); err == nil {
		t.Error("the key that seals was removed")
	}
	must(t, file.Remove(t.Context(), old))
	two.Load(t.Context())
	if got := w.readBy(t, two); got != after {
		t.Error("after the old key was removed: what the new one sealed does not open")
	}
	if keys, err := file.Keys(t.Context()); err != nil || len(keys) != 1 || keys[0] != (creds.KeysetKey{ID: added, Primary: true}) {
		t.Errorf("the keys are %v, %v; want the new one", keys, err)
	}
}

// sealedWith checks which keys of the keyset sealed what is in Redis; Tink's prefix of a ciphertext says it.
func (w *redisWorld) sealedWith(t *testing.T, when string, want ...uint32) {
	t.Helper()
	have := map[uint32]int{}
	for _, k := range scan(t, w.raw, "rolebridge:session:") {
		sealed, err := w.raw.Get(t.Context(), k).Bytes()
		must(t, err)
		have[binary.BigEndian.Uint32(sealed[1:5])]++
	}
	for _, id := range want {
		have[id]--
	}
	for id, n := range have {
		if n != 0 {
			t.Errorf("%s: %d more entries than expected are sealed with key %d", when, n, id)
		}
	}
}

func TestABrokenOrLostKeysetIsRefusedAndTheOldOneGoesOn(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"broken": func(path string) error {
			return os.WriteFile(path, []byte(`{"primaryKeyId":1,"key":[{"value":"hunter2"`), 0o600)
		},
		"empty": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"lost":  os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &lines{}
			file := creds.KeysetFile{Path: filepath.Join(t.TempDir(), "keyset")}
			must(t, file.Create(t.Context()))
			good, err := os.ReadFile(file.Path)
			must(t, err)
			w := watch(t, file, log)
			must(t, harm(file.Path))
			for range 5 {
				w.Load(t.Context())
			}
			if n := log.with("keyset refused", "the keyset before it", "ERROR"); n != 1 {
				t.Errorf("told %d times, want once:\n%s", n, log)
			}
			if strings.Contains(log.String(), "hunter2") {
				t.Error("the log repeats what is in the file")
			}
			if n := count(t, w.loads, "refused"); n != 5 {
				t.Errorf("%v refusals counted, want every look: 5", n)
			}
			must(t, os.WriteFile(file.Path, good, 0o600))
			w.Load(t.Context())
			if n := count(t, w.loads, "ok"); n != 1 {
				t.Errorf("%v loads counted, want 1: it is what was loaded already", n)
			}
			w.Load(t.Context())
			if n := log.with("keyset is as it was", "INFO"); n != 1 {
				t.Errorf("the end of the trouble was told %d times, want once:\n%s", n, log)
			}
		})
	}
}

func count(t *testing.T, of prometheus.Gatherer, outcome string) float64 {
	t.Helper()
	families, err := of.Gather()
	must(t, err)
	for _, m := range families[0].GetMetric() {
		if m.GetLabel()[0].GetValue() == outcome {
			return m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no outcome %s", outcome)
	return 0
}

func TestALostKeysetIsAColdStart(t *testing.T) {
	w := newRedisWorld(t)
	file := creds.KeysetFile{Path: filepath.Join(t.TempDir(), "keyset")}
	must(t, file.Create(t.Context()))
	w.sealer = watch(t, file, w.log).sealer
	before := mustSession(t, w.replica(t), w.token)
	w.entries(t, 2)

	must(t, os.Remove(file.Path))
	lost := watch(t, file, w.log) // a process that starts without it
	w.sealer = lost.sealer
	s := mustSession(t, w.replica(t), w.token)
	if s.AccessKeyID == before.AccessKeyID {
		t.Error("what another keyset sealed was opened")
	}
	if n := w.log.with("keyset refused", "this process alone", "ERROR"); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	must(t, file.Create(t.Context())) // a new one, found while it runs
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- lost.Run(ctx) }()
	polltest.Until(t, "the new keyset is loaded", func() bool { return w.log.with("keyset loaded") == 2 })
	cancel()
	must(t, <-done)
	w.world.replica.Revoke(orders)
	s = mustSession(t, w.replica(t), w.token)
	w.entries(t, 4)
	w.sealer = watch(t, file, w.log).sealer
	if got := mustSession(t, w.replica(t), w.token); got.AccessKeyID != s.AccessKeyID {
		t.Error("two replicas with the new keyset share no session")
	}
}

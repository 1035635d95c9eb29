package credstest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Opener opens a store that holds nothing yet and delivers wake-ups; pass lets its time pass.
type Opener func(t *testing.T) (s creds.Store, pass func(time.Duration))

// soon bounds waits for what has to happen.
const soon = 5 * time.Second

// TestStore is the contract of [creds.Store]: memory and Redis run it.
func TestStore(t *testing.T, open Opener) {
	t.Run("leases", func(t *testing.T) { testLeases(t, open) })
	t.Run("sessions", func(t *testing.T) { testSessions(t, open) })
	t.Run("wake-ups", func(t *testing.T) { testWakeUps(t, open) })
}

func testLeases(t *testing.T, open Opener) {
	t.Run("one holder at a time", func(t *testing.T) {
		s, _ := open(t)
		k := NewKey(1)
		mustLease(t, s, k, time.Minute)
		if _, err := s.Lease(t.Context(), k, time.Minute); !errors.Is(err, creds.ErrHeld) {
			t.Errorf("second lease: got %v, want ErrHeld", err)
		}
		mustLease(t, s, NewKey(2), time.Minute)
	})
	t.Run("of many at once one gets it", func(t *testing.T) {
		s, _ := open(t)
		k, won := NewKey(1), make(chan creds.Lease, 50)
		var all sync.WaitGroup
		for range cap(won) {
			all.Go(func() {
				if l, err := s.Lease(t.Context(), k, time.Minute); err == nil {
					won <- l
				} else if !errors.Is(err, creds.ErrHeld) {
					t.Errorf("lease: got %v, want ErrHeld", err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Errorf("%d got the lease, want 1", len(won))
		}
	})
	t.Run("a released lease is free", func(t *testing.T) {
		s, _ := open(t)
		k := NewKey(1)
		if err := s.Release(t.Context(), mustLease(t, s, k, time.Minute)); err != nil {
			t.Fatalf("release: %v", err)
		}
		mustLease(t, s, k, time.Minute)
	})
	t.Run("a lease ends by itself", func(t *testing.T) {
		s, pass := open(t)
		k := NewKey(1)
		late := mustLease(t, s, k, time.Second)
		pass(2 * time.Second)
		mustLease(t, s, k, time.Minute)
		if err := s.Extend(t.Context(), late, time.Minute); !errors.Is(err, creds.ErrNotHeld) {
			t.Errorf("extend of an expired lease: got %v, want ErrNotHeld", err)
		}
	})
	t.Run("a late holder cannot release the next holder's lease", func(t *testing.T) {
		s, pass := open(t)
		k := NewKey(1)
		late := mustLease(t, s, k, time.Second)
		pass(2 * time.Second)
		mustLease(t, s, k, time.Minute)
		if err := s.Release(t.Context(), late); !errors.Is(err, creds.ErrNotHeld) {
			t.Errorf("release of an expired lease: got %v, want ErrNotHeld", err)
		}
		if _, err := s.Lease(t.Context(), k, time.Minute); !errors.Is(err, creds.ErrHeld) {
			t.Errorf("lease after it: got %v, want ErrHeld", err)
		}
	})
	t.Run("an extended lease lasts", func(t *testing.T) {
		s, pass := open(t)
		k := NewKey(1)
		l := mustLease(t, s, k, 2*time.Second)
		pass(time.Second)
		if err := s.Extend(t.Context(), l, time.Minute); err != nil {
			t.Fatalf("extend: %v", err)
		}
		pass(30 * time.Second)
		if _, err := s.Lease(t.Context(), k, time.Minute); !errors.Is(err, creds.ErrHeld) {
			t.Errorf("lease: got %v, want ErrHeld", err)
		}
	})
}

func testSessions(t *testing.T, open Opener) {
	t.Run("what was put is got", func(t *testing.T) {
		s, _ := open(t)
		k, want := NewKey(1), NewIssued(time.Hour)
		mustPut(t, s, mustLease(t, s, k, time.Minute), want)
		got, err := s.Get(t.Context(), k)
		if err != nil || !same(got, want) {
			t.Errorf("get: %+v, %v; want %+v", got, err, want)
		}
		if _, err := s.Get(t.Context(), NewKey(2)); !errors.Is(err, creds.ErrNotFound) {
			t.Errorf("get of another key: got %v, want ErrNotFound", err)
		}
		other := k
		other.Epoch++
		other.Sum[0]++
		if _, err := s.Get(t.Context(), other); !errors.Is(err, creds.ErrNotFound) {
			t.Errorf("get of another epoch: got %v, want ErrNotFound", err)
		}
	})
	t.Run("the holder replaces what is there", func(t *testing.T) {
		s, _ := open(t)
		k, want := NewKey(1), NewIssued(time.Hour)
		l := mustLease(t, s, k, time.Minute)
		mustPut(t, s, l, NewIssued(time.Hour))
		mustPut(t, s, l, want)
		if got, err := s.Get(t.Context(), k); err != nil || !same(got, want) {
			t.Errorf("get: %+v, %v; want the second, %+v", got, err, want)
		}
	})
	t.Run("a late holder replaces nothing", func(t *testing.T) {
		s, pass := open(t)
		k, want := NewKey(1), NewIssued(time.Hour)
		late := mustLease(t, s, k, time.Second)
		pass(2 * time.Second)
		mustPut(t, s, mustLease(t, s, k, time.Minute), want)
		if err := s.Put(t.Context(), late, NewIssued(time.Hour)); !errors.Is(err, creds.ErrNotHeld) {
			t.Errorf("put of a late holder: got %v, want ErrNotHeld", err)
		}
		if got, err := s.Get(t.Context(), k); err != nil || !same(got, want) {
			t.Errorf("get: %+v, %v; want %+v", got, err, want)
		}
	})
	t.Run("a released lease puts nothing", func(t *testing.T) {
		s, _ := open(t)
		k := NewKey(1)
		l := mustLease(t, s, k, time.Minute)
		if err := s.Release(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), l, NewIssued(time.Hour)); !errors.Is(err, creds.ErrNotHeld) {
			t.Errorf("put: got %v, want ErrNotHeld", err)
		}
	})
	t.Run("a session ends with its expiry", func(t *testing.T) {
		s, pass := open(t)
		k := NewKey(1)
		mustPut(t, s, mustLease(t, s, k, time.Minute), NewIssued(time.Hour))
		pass(59 * time.Minute)
		if _, err := s.Get(t.Context(), k); err != nil {
			t.Errorf("get before the expiry: %v", err)
		}
		pass(2 * time.Minute)
		if _, err := s.Get(t.Context(), k); !errors.Is(err, creds.ErrNotFound) {
			t.Errorf("get after the expiry: got %v, want ErrNotFound", err)
		}
	})
}

func testWakeUps(t *testing.T, open Opener) {
	t.Run("put and release wake", func(t *testing.T) {
		s, _ := open(t)
		k := NewKey(1)
		l := mustLease(t, s, k, time.Minute)
		wake, stop := s.Watch(k)
		defer stop()
		mustPut(t, s, l, NewIssued(time.Hour))
		woken(t, "put", wake)
		if err := s.Release(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		woken(t, "release", wake)
	})
	t.Run("all who watch are woken", func(t *testing.T) {
		s, _ := open(t)
		k := NewKey(1)
		l := mustLease(t, s, k, time.Minute)
		one, stopOne := s.Watch(k)
		defer stopOne()
		two, stopTwo := s.Watch(k)
		defer stopTwo()
		mustPut(t, s, l, NewIssued(time.Hour))
		woken(t, "the first", one)
		woken(t, "the second", two)
	})
}

func woken(t *testing.T, what string, wake <-chan struct{}) {
	t.Helper()
	select {
	case <-wake:
	case <-time.After(soon):
		t.Fatalf("%s: no wake-up within %s", what, soon)
	}
}

// NewKey is a key of a test; equal for equal n.
func NewKey(n byte) creds.Key {
	return creds.Recipe{SessionName: string(rune('a' + n)), Epoch: 7}.Key()
}

// NewIssued is a session that lives for life, different from all others.
func NewIssued(life time.Duration) creds.Issued {
	now := time.Now().Truncate(time.Second)
	id := NewToken().Reveal()
	return creds.Issued{At: now, Life: life, Session: cloud.Session{
		AccessKeyID: "ASIA" + id[:16], SecretAccessKey: secret.New("secret-" + id), Token: secret.New("token-" + id),
		Expires: now.Add(life), Identity: "arn:aws:sts::222222222222:assumed-role/r/s", Account: "222222222222",
	}}
}

func same(a, b creds.Issued) bool {
	return a.AccessKeyID == b.AccessKeyID && a.SecretAccessKey.Equal(b.SecretAccessKey) && a.Token.Equal(b.Token) &&
		a.Expires.Equal(b.Expires) && a.Life == b.Life && a.At.Sub(b.At).Abs() < soon && a.Identity == b.Identity && a.Account == b.Account
}

func mustLease(t *testing.T, s creds.Store, k creds.Key, ttl time.Duration) creds.Lease {
	t.Helper()
	l, err := s.Lease(t.Context(), k, ttl)
	if err != nil {
		t.Fatalf("lease: %v", err)
	}
	return l
}

func mustPut(t *testing.T, s creds.Store, l creds.Lease, of creds.Issued) {
	t.Helper()
	if err := s.Put(t.Context(), l, of); err != nil {
		t.Fatalf("put: %v", err)
	}
}

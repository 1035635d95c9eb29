package creds_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

// A replica whose clock is ahead sees every moment that others name as much earlier, and names its own as much later. So
// it gets a cloud and a store whose moments are moved: all clocks of a bubble are one.
type (
	movedCloud struct {
		creds.Cloud
		ahead time.Duration
	}
	movedStore struct {
		creds.Store
		ahead time.Duration
	}
)

func (c movedCloud) Assume(ctx context.Context, as *cloud.Session, r creds.Role) (cloud.Session, error) {
	s, err := c.Cloud.Assume(ctx, as, r)
	s.Expires = s.Expires.Add(-c.ahead)
	return s, err
}

func (s movedStore) Get(ctx context.Context, k creds.Key) (creds.Issued, error) {
	got, err := s.Store.Get(ctx, k)
	got.Expires = got.Expires.Add(-s.ahead)
	return got, err
}

func (s movedStore) Put(ctx context.Context, l creds.Lease, of creds.Issued) error {
	of.Expires = of.Expires.Add(s.ahead)
	return s.Store.Put(ctx, l, of)
}

// clockOff lets replicas whose clocks differ, from the cloud's and from one another's, share a store. What they hand out
// lives as long as they think or longer, by the cloud's clock; nobody renews more often than twice an hour.
func clockOff(ahead time.Duration) func(*testing.T, failure) {
	return func(t *testing.T, f failure) {
		for _, offsets := range [][]time.Duration{{ahead}, {ahead, 0, 0}, {0, ahead, ahead}, {ahead, -ahead, 0}} {
			t.Run(fmt.Sprint(offsets), func(t *testing.T) { liveWithClocks(t, f, offsets) })
		}
	}
}

func liveWithClocks(t *testing.T, f failure, ahead []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var fleet []*creds.Broker
		shared := w.store
		join := func(ahead time.Duration) {
			w.store = movedStore{shared, ahead}
			fleet = append(fleet, w.brokerOn(t, movedCloud{w.cloud, ahead}))
		}
		for _, a := range ahead {
			join(a)
		}
		read := func(least time.Duration) {
			t.Helper()
			for n, b := range fleet {
				s, err := b.Session(t.Context(), w.token)
				if err != nil {
					t.Fatalf("the replica that is %s ahead: %v", ahead[n], err)
				}
				// Moved back: the moment that a connector reads, and the cloud goes by.
				if left := time.Until(s.Expires.Add(ahead[n])); left < least {
					t.Fatalf("the replica that is %s ahead handed out a session with %s left, want %s", ahead[n], left, least)
				}
			}
		}
		const hours = 24
		for range hours * 60 {
			read(f.warm.left)
			bubbletest.Pass(time.Minute)
		}
		if n := w.cloud.Calls(customerRole); n > 2*hours+1 {
			t.Errorf("the customer's role was asked for %d times in %d hours, want at most two an hour", n, hours)
		}
		// Without the cloud what is there is used up, and not a minute more; by replicas that come late and adopt it, too.
		for aged := false; !aged; bubbletest.Pass(time.Minute) {
			read(f.warm.left)
			aged = time.Until(mustSession(t, fleet[0], w.token).Expires.Add(ahead[0])) < 45*time.Minute
		}
		outage := w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		for _, a := range ahead {
			join(a)
		}
		ahead = append(ahead, ahead...)
		read(f.warm.left)
		for range 90 {
			for n, b := range fleet {
				s, err := b.Session(t.Context(), w.token)
				if err == nil && time.Until(s.Expires.Add(ahead[n])) < creds.HardLimit {
					t.Fatalf("the replica that is %s ahead handed out a session with %s left", ahead[n], time.Until(s.Expires.Add(ahead[n])))
				}
			}
			bubbletest.Pass(time.Minute)
		}
		if outage.Fired() == 0 {
			t.Error("the fault never fired")
		}
		outage.Remove()
		bubbletest.Pass(10 * time.Second)
		read(f.cold.left)
	})
}

func TestASecondThatTheCloudCutsOffIsNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const behind = 5 * time.Minute
		w := newWorld(t)
		b := w.brokerOn(t, movedCloud{w.cloud, -behind})
		bubbletest.Pass(900 * time.Millisecond) // the cloud names ends in whole seconds
		end := mustSession(t, b, w.token).Expires.Add(-behind)
		outage := w.cloud.Inject(credstest.Fault{Fault: cloud.FaultUnavailable})
		bubbletest.Pass(time.Until(end) - creds.HardLimit - 5*time.Second)
		for asked(t, b, w.token).status == ok.status {
			if left := time.Until(end); left < creds.HardLimit {
				t.Fatalf("a session with %s left was handed out, want %s", left, creds.HardLimit)
			}
			bubbletest.Pass(50 * time.Millisecond)
		}
		if left := time.Until(end); left < creds.HardLimit-time.Second {
			t.Errorf("the last session was handed out up to %s before its end, want about %s", left, creds.HardLimit)
		}
		if outage.Fired() == 0 {
			t.Error("the fault never fired")
		}
	})
}

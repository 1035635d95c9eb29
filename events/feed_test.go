package events_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// happened is the n-th event of an integration.
func (l *stateLog) happened(c *events.Codec, o integration.OrganizationID, id integration.ID, n int64) *kgo.Record {
	l.t.Helper()
	return l.must(c.EventRecord(integration.Event{Organization: o, Integration: id, Version: n, Time: noon, Fact: integration.SessionsRevoked{Epoch: n}}))
}

func (l *stateLog) feed(c *events.Codec) *events.Feed {
	l.t.Helper()
	f, err := events.NewFeed(l.topics, c, []kgo.Opt{l.seeds}, slog.New(slog.DiscardHandler))
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("feed: %v", err)
		}
		f.Close()
	})
	for end := time.Now().Add(time.Minute); ; {
		_, err := f.End("org-1")
		if err == nil {
			return f
		}
		if !errors.Is(err, events.ErrNotFollowing) || time.Now().After(end) {
			l.t.Fatalf("the feed does not follow: %v", err)
		}
		wait, stop := context.WithTimeout(l.t.Context(), 20*time.Millisecond)
		_ = f.Wait(wait, "org-1", 1<<60)
		stop()
	}
}

func TestAFeedReadsWhatWasAndWhatComesWithoutAGapBetweenThem(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		c, err := events.NewCodec(l.topics)
		if err != nil {
			t.Fatal(err)
		}
		const mine, other = integration.ID("cspi-00001"), integration.ID("cspi-00002")
		for n := range int64(6) {
			l.write(kgo.TryCommit, l.happened(c, "org-1", mine, n+1), l.happened(c, "org-1", other, n+1), l.happened(c, "org-2", mine, n+1))
		}
		l.write(kgo.TryAbort, l.happened(c, "org-1", mine, 99))
		// One that is open while the feed begins, and committed later: it must not be lost.
		if err := l.cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := l.cl.ProduceSync(t.Context(), l.happened(c, "org-1", mine, 7)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		f := l.feed(c)
		end, err := f.End("org-1")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		l.write(kgo.TryCommit, l.happened(c, "org-1", mine, 8))

		ofMine := func(e integration.Event) bool { return e.Integration == mine }
		read := func(from int64, most, want int) (versions []int64) {
			t.Helper()
			for deadline := time.Now().Add(2 * time.Minute); len(versions) < want; {
				s, err := f.Read(t.Context(), "org-1", from, most, ofMine)
				if err != nil {
					t.Fatal(err)
				}
				if len(s.Entries) > most {
					t.Fatalf("got %d events, want at most %d", len(s.Entries), most)
				}
				for _, e := range s.Entries {
					if e.Offset < from || e.Event.Organization != "org-1" {
						t.Fatalf("got %+v from %d on", e, from)
					}
					versions = append(versions, e.Event.Version)
				}
				from = s.Next
				if time.Now().After(deadline) {
					t.Fatalf("got %v, want %d events", versions, want)
				}
				if s.End && len(versions) < want {
					wait, stop := context.WithTimeout(t.Context(), time.Minute)
					if err := f.Wait(wait, "org-1", from); err != nil {
						t.Fatal(err)
					}
					stop()
				}
			}
			return versions
		}
		if got := read(0, 2, 8); !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6, 7, 8}) {
			t.Errorf("from the start: got %v", got)
		}
		if got := read(end, 10, 2); !slices.Equal(got, []int64{7, 8}) {
			t.Errorf("from where the feed began: got %v, want what was committed since", got)
		}
		at, err := f.Since(t.Context(), "org-1", time.Now().Add(-time.Hour))
		if err != nil || at != 0 {
			t.Errorf("since an hour ago: got %d, %v; want 0", at, err)
		}
		// Kafka's end is behind the last transaction's marker, and nothing is missing there.
		now, err := f.Since(t.Context(), "org-1", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := f.Read(t.Context(), "org-1", now, 1, ofMine); err != nil || s.Gap || !s.End || s.Next != now {
			t.Errorf("from now, %d, on: got %+v, %v; want nothing and no gap", now, s, err)
		}
		l.write(kgo.TryCommit, l.happened(c, "org-1", "cspi-00001", 9))
		if got := read(now, 10, 1); !slices.Equal(got, []int64{9}) {
			t.Errorf("from then on: got %v, want what came later", got)
		}
		if s, err := f.Read(t.Context(), "org-1", 1<<40, 1, ofMine); err != nil || !s.Gap || !s.End {
			t.Errorf("from beyond the end: got %+v, %v; want a gap", s, err)
		}
	})
}

func TestAFeedSaysWhenOlderEventsAreGone(t *testing.T) {
	onBoth(t, func(t *testing.T, l *stateLog) {
		c, err := events.NewCodec(l.topics)
		if err != nil {
			t.Fatal(err)
		}
		for n := range int64(4) {
			l.write(kgo.TryCommit, l.happened(c, "org-1", "cspi-00001", n+1))
		}
		f := l.feed(c)
		home := l.topics.Home("org-1")
		gone := kadm.Offsets{}
		gone.Add(kadm.Offset{Topic: l.topics.Events(), Partition: home, At: 2}) // each transaction has a marker behind its record
		if _, err := kadm.NewClient(l.cl).DeleteRecords(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		s, err := f.Read(t.Context(), "org-1", 0, 100, func(integration.Event) bool { return true })
		if err != nil || !s.Gap || len(s.Entries) != 3 || s.Entries[0].Event.Version != 2 {
			t.Errorf("got %s, %v; want a gap and the three that are left", fmt.Sprintf("%+v", s), err)
		}
	})
}

// Package polltest waits, in tests, for what happens outside of a bubble: in another process, on a socket, on a real clock.
//
// It measures nothing. Its bound is for what hangs and far above what anything takes on a busy machine; how fast something
// is belongs into a bubble of testing/synctest (see [github.com/rolebridge/rolebridge/internal/bubbletest]) or into bench.
//
// The life of a wait: the test names a condition, [Until] looks at it again and again, and ends the test with the
// condition's name when it never holds.
package polltest

import (
	"testing"
	"time"
)

const (
	// Bound is how long a condition is waited for.
	Bound = 2 * time.Minute
	every = 10 * time.Millisecond
)

// Until waits until ok holds, at once and then every 10 ms, and ends the test when it does not within [Bound]. Call it and
// ok from the test's own goroutine.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	late, again := time.NewTimer(Bound), time.NewTicker(every)
	defer late.Stop()
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-late.C:
			t.Fatalf("after %s it is not so that %s", Bound, what)
		}
	}
}

// Package bubbletest lets simulated time pass in the bubbles of testing/synctest.
//
// It is the only place that sleeps, which internal/archtest watches over: in a bubble sleeping costs nothing and is exact,
// and anywhere else a test would wait for a while and hope. It is no clock: a bubble has one of its own, which starts on
// the first of January 2000.
//
// The life of a step: a test does something, calls [Pass], and looks at what came of it.
package bubbletest

import (
	"testing/synctest"
	"time"
)

// Pass lets d go by, and then all else that happens at that very moment, until every other goroutine of the bubble waits
// for something. So what is seen afterwards does not depend on who was woken first. Nothing passes if d is not positive.
//
// It panics outside of a bubble, before any time has passed, and if two goroutines call it at once (see [synctest.Wait]).
func Pass(d time.Duration) {
	synctest.Wait() // first too, since it is what panics outside of a bubble
	time.Sleep(d)
	synctest.Wait()
}

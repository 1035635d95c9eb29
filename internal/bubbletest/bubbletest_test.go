package bubbletest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

func TestTimePassesAndWhatIsDueThenHasHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, rounds := time.Now(), 0
		for range 1000 {
			happened := false
			time.AfterFunc(time.Hour, func() { happened = true })
			bubbletest.Pass(time.Hour)
			if happened {
				rounds++
			}
		}
		if got := time.Since(start); rounds != 1000 || got != 1000*time.Hour {
			t.Errorf("after %s, %d of 1000 timers had done what they are for at the very moment when they were due", got, rounds)
		}
		bubbletest.Pass(-time.Hour)
		if got := time.Since(start); got != 1000*time.Hour {
			t.Errorf("a negative time passed: %s", got-1000*time.Hour)
		}
	})
}

func TestOutsideOfABubbleNothingSleeps(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	bubbletest.Pass(1000 * time.Hour)
}

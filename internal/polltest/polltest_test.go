package polltest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/internal/polltest"
)

// fatal is a test that is ended without ending ours.
type fatal struct {
	testing.TB
	said string
}

func (*fatal) Helper() {}

func (f *fatal) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}

func TestAConditionIsWaitedForAndNoLongerThanTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		polltest.Until(t, "a minute is over", func() bool { return time.Since(start) >= time.Minute })
		if took := time.Since(start); took > time.Minute+time.Second {
			t.Errorf("returned after %s, want it right after the minute", took)
		}

		start = time.Now()
		f := &fatal{TB: t}
		func() {
			defer func() { _ = recover() }()
			polltest.Until(f, "pigs fly", func() bool { return false })
		}()
		if took := time.Since(start); took != polltest.Bound || !strings.Contains(f.said, "pigs fly") {
			t.Errorf("gave up after %s with %q, want %s and the condition's name", took, f.said, polltest.Bound)
		}
	})
}

package provision

import "testing"

func TestAnOldNodeIsToldFromOneThatWillDo(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"v18.20.4\n": false, "v20.0.0": true, "v22.23.3\n": true, "": false, "v": false, "hello": false} {
		if got := newEnough(version); got != want {
			t.Errorf("%q is new enough: %t, want %t", version, got, want)
		}
	}
}

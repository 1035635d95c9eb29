package plural_test

import (
	"testing"

	"github.com/rolebridge/rolebridge/cmd/internal/plural"
)

func TestOneThingIsNotThings(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 older ones", 1: "1 older one", 2: "2 older ones"} {
		if got := plural.Of(n, "older one"); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

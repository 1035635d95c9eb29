package testenv

import (
	"testing"

	"github.com/rolebridge/rolebridge/internal/testenv/provision"
)

// Kcat answers the path of kcat, a Kafka producer and consumer that is not ours: tests use it where it must not matter
// who produces.
func Kcat(t testing.TB) string {
	t.Helper()
	full(t)
	path, err := provision.InstallKcat(t.Context())
	if err != nil {
		t.Fatalf("kcat cannot be had: %v", err)
	}
	return path
}

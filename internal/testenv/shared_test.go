package testenv

import (
	"context"
	"errors"
	"testing"

	"github.com/rolebridge/rolebridge/internal/testenv/docker"
)

func TestAServerComesFromTheFirstRungThatHasOne(t *testing.T) {
	gives := func(address string) opener {
		return func(context.Context) (string, func() error, error) {
			return address, func() error { return nil }, nil
		}
	}
	fails := func(err error) opener {
		return func(context.Context) (string, func() error, error) { return "", nil, err }
	}
	errNoJava, errNoImage := errors.New("no Java"), errors.New("no image")

	for name, c := range map[string]struct {
		variable           string
		container, process opener
		want               string
		wantErr            error
	}{
		"the environment wins":                    {"given:1", gives("container:1"), gives("process:1"), "given:1", nil},
		"a container goes before a process":       {"", gives("container:1"), gives("process:1"), "container:1", nil},
		"no engine":                               {"", fails(docker.ErrNoEngine), gives("process:1"), "process:1", nil},
		"an engine without the image":             {"", fails(errNoImage), gives("process:1"), "process:1", nil},
		"with nothing left, the last word counts": {"", fails(errNoImage), fails(errNoJava), "", errNoJava},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ROLEBRIDGE_TEST_LADDER", c.variable)
			s := &service{name: "Ladder", variable: "ROLEBRIDGE_TEST_LADDER", container: c.container, process: c.process}
			address, _, err := s.open(t.Context())
			if address != c.want || !errors.Is(err, c.wantErr) {
				t.Errorf("got %q, %v, want %q, %v", address, err, c.want, c.wantErr)
			}
		})
	}
}

package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/rolebridge/rolebridge/internal/testenv/docker"
)

// opener starts a server and answers its address, which is host:port or a URL, and what ends it.
type opener func(ctx context.Context) (address string, stop func() error, err error)

// service is a server that tests share.
type service struct {
	name      string
	variable  string
	container opener
	process   opener

	once    sync.Once
	address string
	err     error
}

var (
	kafka     = &service{name: "Kafka", variable: "ROLEBRIDGE_TEST_KAFKA", container: docker.Kafka, process: localKafka}
	redis     = &service{name: "Redis", variable: "ROLEBRIDGE_TEST_REDIS", container: docker.Redis, process: localRedis}
	ministack = &service{name: "MiniStack", variable: "ROLEBRIDGE_TEST_MINISTACK", container: docker.MiniStack, process: localMiniStack}
	moto      = &service{name: "moto", variable: "ROLEBRIDGE_TEST_MOTO", container: docker.Moto, process: localMoto}
)

// get answers the address of the server that this test binary shares.
func (s *service) get(t testing.TB) string {
	t.Helper()
	full(t)
	s.once.Do(func() {
		// Nobody stops it: it ends with the test binary, whose last test nobody can foresee.
		s.address, _, s.err = s.open(context.WithoutCancel(t.Context()))
	})
	if s.err != nil {
		t.Fatal(s.missing(s.err))
	}
	return s.address
}

// open goes down the ladder. Who gave the address ends the server; stop then does nothing.
func (s *service) open(ctx context.Context) (address string, stop func() error, err error) {
	if address := os.Getenv(s.variable); address != "" {
		return address, func() error { return nil }, nil
	}
	address, stop, err = s.container(ctx)
	if err == nil {
		return address, stop, nil
	}
	if !errors.Is(err, docker.ErrNoEngine) {
		fmt.Fprintf(os.Stderr, "testenv: no container for %s, so a process is tried: %v\n", s.name, err)
	}
	return s.process(ctx)
}

func (s *service) missing(err error) string {
	return fmt.Sprintf(`no %[1]s to test with: %[2]v

Tests run against a real %[1]s. Any of these helps:
  - give the address of one in %[3]s
  - run a Docker engine
  - go run ./internal/testenv/cmd/provision   installs all servers and says what is in the way
  - go test -short ./...                      leaves these tests out`, s.name, err, s.variable)
}

// full skips a test that needs a real server when the quick way was asked for.
func full(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real server: run without -short")
	}
}

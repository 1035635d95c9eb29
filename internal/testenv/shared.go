package testenv

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// service is a server that tests share.
type service struct {
	name     string
	variable string
	// start has the server's address, which is host:port or a URL, and ends it.
	start func(ctx context.Context) (address string, stop func() error, err error)

	once    sync.Once
	address string
	err     error
}

var (
	kafka = &service{name: "Kafka", variable: "ROLEBRIDGE_TEST_KAFKA", start: startKafka}
	redis = &service{name: "Redis", variable: "ROLEBRIDGE_TEST_REDIS", start: startRedis}
	// An AWS that enforces trust, and one that does not.
	ministack = &service{name: "MiniStack", variable: "ROLEBRIDGE_TEST_MINISTACK", start: startMiniStack}
	moto      = &service{name: "moto", variable: "ROLEBRIDGE_TEST_MOTO", start: startMoto}
)

// get answers the address of the server that this test binary shares.
func (s *service) get(t testing.TB) string {
	t.Helper()
	real(t)
	s.once.Do(func() {
		if s.address = os.Getenv(s.variable); s.address != "" {
			return
		}
		// Nobody stops it: it ends with the test binary, whose last test nobody can foresee.
		s.address, _, s.err = s.start(context.WithoutCancel(t.Context()))
	})
	if s.err != nil {
		t.Fatal(s.missing(s.err))
	}
	return s.address
}

func (s *service) missing(err error) string {
	return fmt.Sprintf(`no %[1]s to test with: %[2]v

Tests run against a real %[1]s. Any of these helps:
  - give the address of one in %[3]s
  - run a Docker engine
  - go run ./internal/testenv/cmd/provision   installs all servers and says what is in the way
  - go test -short ./...                      leaves these tests out`, s.name, err, s.variable)
}

// real skips a test that needs a real server when the quick way was asked for.
func real(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real server: run without -short")
	}
}

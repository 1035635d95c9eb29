// Command provision installs what tests run against: the servers Apache Kafka, Redis, MiniStack, moto and Prometheus, and
// the AWS SDKs of other languages.
//
// What is there already is left alone, so a second run takes a moment. It fails with all reasons when something can be
// neither found nor installed.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rolebridge/rolebridge/internal/testenv/local"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "provision: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	if err := local.Install(ctx); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "provision: servers and SDKs of the tests are installed (%s)\n", time.Since(begin).Round(time.Millisecond))
	return nil
}

// Command rolebridge is the one program of the platform: the server roles and the command line of the API.
//
// It holds no rule of the domain. Verbs that ask the API (provider-integration, connector, events, access, quota) are a
// client like any other; those that work offline (policy, keyset, signing-key) call the package of what they are named after;
// those of an operator speak to Kafka (topics, organization, bootstrap, dlq, state); and credentials speaks to the broker.
//
// `serve` puts the roles together (package app). The life of a verb: cobra finds it (root.go); its flags, the environment
// or a context that was saved (package contexts) say where the API is and who asks (login.go), or where Kafka is (kafka.go);
// it asks, and prints what it got for people, or as JSON or YAML (output.go, table.go). What went wrong becomes one message
// on standard error and the exit code of its kind (exit.go).
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() {
	// A stop by signal is orderly; a second signal ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], streams{
		in: os.Stdin, out: terminal(os.Stdout), err: terminal(os.Stderr), env: os.Getenv, home: os.UserConfigDir,
	})
	stop()
	os.Exit(code)
}

// terminal is f, and how wide it is if it is a terminal.
func terminal(f *os.File) io.Writer {
	if wide, _, err := term.GetSize(int(f.Fd())); err == nil && wide > 0 {
		return screen{f, wide}
	}
	return f
}

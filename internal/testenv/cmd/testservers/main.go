// Command testservers runs a command with real servers beside it:
//
//	testservers -- go test ./...
//
// It starts the servers that tests share, names them in ROLEBRIDGE_TEST_… variables, removes AWS_* variables, runs the
// command, ends the servers and exits as the command did. Without a command it prints the variables for a shell and
// keeps the servers until it is interrupted. It installs nothing that the tests would not install themselves.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

func main() {
	command := os.Args[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	code, err := run(command)
	if err != nil {
		fmt.Fprintf(os.Stderr, "testservers: %v\n", err)
	}
	os.Exit(code)
}

func run(command []string) (code int, err error) {
	testenv.CleanAWSEnv()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	servers, err := testenv.StartServers(ctx, func(name, address string, took time.Duration) {
		fmt.Fprintf(os.Stderr, "testservers: %s at %s, ready after %s\n", name, address, took.Round(10*time.Millisecond))
	})
	if err != nil {
		return 1, err
	}
	defer func() {
		if stopped := servers.Stop(); stopped != nil {
			code, err = max(code, 1), errors.Join(err, stopped)
		}
	}()

	if len(command) == 0 {
		for _, pair := range servers.Env() {
			fmt.Printf("export %s\n", pair)
		}
		<-ctx.Done()
		return 0, nil
	}
	return execute(ctx, command, servers.Env())
}

// execute runs the command in a process group of its own: when we are told to end, so is everything that it started, and
// nothing of it is left when it has ended.
func execute(ctx context.Context, command, env []string) (code int, err error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// SIGINT, since it is what `go test` passes on to the tests' processes.
	cmd.SysProcAttr = process.Group(syscall.SIGINT)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 20 * time.Second

	err = cmd.Run()
	if cmd.Process != nil {
		// Most often there is nobody left to tell.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil // the command has said why
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

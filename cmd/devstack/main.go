package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// options are the command line's.
type options struct {
	port    int
	data    string
	env     string
	log     string
	noStay  bool
	verbose bool
}

func main() {
	// A stop by signal is orderly; a second signal ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	os.Exit(report(command().ExecuteContext(ctx), os.Stderr)) //nolint:gocritic // nothing is left to be stopped
}

// errUsage is a mistake in the command line.
var errUsage = errors.New("see devstack --help")

// errBusy means that another devstack has the files that this one would write.
var errBusy = errors.New("another devstack writes it")

// report prints err and returns the exit code for it: 2 for the command line, 1 for everything else.
func report(err error, to io.Writer) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(to, "devstack:", err)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, errBusy) {
		fmt.Fprintln(to, "Another devstack may be running; --port 0 picks free ports, and --env is for files of its own\n"+
			"(make run ARGS='--port 0 --env .devstack/second/env').")
	}
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "devstack",
		Short: "All of rolebridge in one process, with stand-ins for Kafka, Redis and AWS",
		Long: `devstack starts everything embedded in one process, walks one integration from its creation to an object in a
bucket, prints each step, and stays up until it is interrupted.

It writes a file to source in another terminal (default .devstack/env): the addresses of the API, the broker, Kafka and
the stand-in for AWS, an API key, the demo connector's own credentials endpoint, and beside it the settings with which
"rolebridge doctor" and the other verbs of operators find this stack.`,
		Example: `  devstack                          # ports 7070 to 7074, state in memory
  devstack --port 0                 # free ports
  devstack --data .devstack/data    # state survives a restart
  devstack --exit                   # walk and exit, for a quick check`,
		Args: func(cmd *cobra.Command, args []string) error { return usage(cobra.NoArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },

		SilenceUsage: true, SilenceErrors: true,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	f := cmd.Flags()
	f.IntVar(&o.port, "port", 7070, "first of five ports: api, broker, Kafka, AWS, metrics; 0 picks free ones")
	f.StringVar(&o.data, "data", "", "folder that keeps state over restarts; in memory by default")
	f.StringVar(&o.env, "env", filepath.Join(".devstack", "env"), "file to write for other terminals to source")
	f.StringVar(&o.log, "log", "", "file for the roles' logs, as JSON; default .log beside the env file; - is stderr")
	f.BoolVar(&o.noStay, "exit", false, "exit after the walk")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log at debug level")
	return cmd
}

func usage(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; %w", err, errUsage)
}

func (o options) run(ctx context.Context, out io.Writer) error {
	if o.port < 0 || o.port > 65530 {
		return usage(fmt.Errorf("--port %d: want 0 to 65530", o.port))
	}
	if err := os.MkdirAll(filepath.Dir(o.env), 0o700); err != nil {
		return err
	}
	// Before anything is written: a second stack must not take the files that terminals of the first one use.
	lock := flock.New(o.env + ".lock")
	if mine, err := lock.TryLock(); err != nil {
		return err
	} else if !mine {
		return fmt.Errorf("--env %s: %w", o.env, errBusy)
	}
	defer func() { _ = lock.Close() }() // it ends with the process at the latest
	logs, closeLogs, err := o.logger()
	if err != nil {
		return err
	}
	defer closeLogs()
	hermetic()
	s, err := start(ctx, o, logs)
	if err != nil {
		return err
	}
	defer s.close()
	stop, end := context.WithCancel(ctx)
	defer end()
	g, stop := errgroup.WithContext(stop)
	g.Go(func() error { return s.run(stop) })
	g.Go(func() error {
		defer end()
		return ignoreStop(s.demonstrate(stop, out))
	})
	return g.Wait()
}

func ignoreStop(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (o options) logger() (log *slog.Logger, closeLog func(), err error) {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	if o.log == "-" {
		return telemetry.NewLogger(os.Stderr, level), func() {}, nil
	}
	if o.log == "" {
		o.log = strings.TrimSuffix(o.env, filepath.Ext(o.env)) + ".log"
	}
	// Moved and not truncated: what the last stack said may be wanted.
	if err := os.Rename(o.log, o.log+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	f, err := os.OpenFile(o.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return telemetry.NewLogger(f, level), func() { _ = f.Close() }, nil
}

// hermetic drops what this machine says about AWS: the stack has an AWS of its own, and a profile or a certificate
// bundle of somebody else would only break it.
func hermetic() {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name) // cannot fail for a name that exists
		}
	}
}

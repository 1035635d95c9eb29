package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	// A stop by signal is orderly; a second signal ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := root().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rolebridge:", err)
		os.Exit(1)
	}
}

// root is the whole command line.
func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:          "rolebridge",
		Short:        "Provider integrations for data platforms: mapped, proved, and no long-lived keys",
		SilenceUsage: true, SilenceErrors: true,
	}
	cmd.AddCommand(serveCommand(), healthcheckCommand(), keysetCommand())
	return cmd
}

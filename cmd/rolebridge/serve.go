package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/config"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// serveCommand runs roles until it is told to stop.
func serveCommand() *cobra.Command {
	var path string
	var roles []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run some or all roles of rolebridge",
		Long: fmt.Sprintf(`Run some or all roles of rolebridge in this process: %s.

Settings come from defaults, then from a YAML file, then from the environment: kafka.brokers is
%sKAFKA__BROKERS. A setting that does not exist fails, and all faults are reported at once. The
least that is needed, and the shape of the file of API keys, stand in docs/OPERATIONS.md.

The process exits when a part fails for good; run it under something that starts it again. A stop (SIGTERM) first
answers /readyz with 503, then lets requests finish, then ends transactions.`, names(app.Roles()), config.EnvPrefix),
		Example: `  rolebridge serve --roles all --config rolebridge.yaml
  rolebridge serve --roles lifecycle,mapping`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			played, err := app.ParseRoles(roles)
			if err != nil {
				return usage(err)
			}
			settings := app.Defaults()
			if path == "" {
				path = os.Getenv(envConfig)
			}
			if err := config.Load(path, os.Environ(), &settings); err != nil {
				return usage(err)
			}
			if err := settings.Validate(played); err != nil {
				return usage(err)
			}
			log := telemetry.NewLogger(cmd.ErrOrStderr(), settings.Telemetry.Level).With("roles", names(played))
			if settings.Tracer, err = telemetry.NewTracer(cmd.Context(), os.Getenv, log); err != nil {
				return usage(err)
			}
			process, err := app.New(cmd.Context(), settings, played, log)
			if err != nil {
				return err
			}
			return process.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "YAML file with settings (default $"+envConfig+")")
	cmd.Flags().StringSliceVar(&roles, "roles", []string{"all"}, "roles to play, separated by commas: "+names(app.Roles())+", or all")
	return cmd
}

func names(roles []app.Role) string {
	text := make([]string, len(roles))
	for n, r := range roles {
		text[n] = string(r)
	}
	return strings.Join(text, ",")
}

// healthcheckCommand asks a process beside it whether it is ready, for containers that hold nothing but this program.
func healthcheckCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:     "healthcheck",
		Short:   "Exit with 0 when the process at an address is ready",
		Example: "  rolebridge healthcheck --address 127.0.0.1:9090",
		Args:    exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := http.Client{Timeout: 3 * time.Second}
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
			if err != nil {
				return err
			}
			resp, err := client.Do(req)
			if err != nil {
				return &exit{integration.CodeUnavailable.Answer().Exit, err}
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				return &exit{integration.CodeUnavailable.Answer().Exit, fmt.Errorf("not ready: %s", resp.Status)}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "address", app.Defaults().Telemetry.Listen, "telemetry.listen of the process")
	return cmd
}

package mapping

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/orders"
)

// ReasonNotEnabled is why an identity is not made in a cloud that this platform does not offer.
const ReasonNotEnabled = integration.ReasonCloudNotEnabled

// Config says how a [Worker] works. Start from [Defaults].
type Config struct {
	orders.Config `koanf:",squash"`
	// Retry is how long one order is tried while the cloud's answer is temporary, 0 to 1 min; 0 is once.
	Retry time.Duration `koanf:"retry"`
}

// Defaults returns a configuration that lacks Topics and Client.
func Defaults() Config {
	return Config{Config: orders.Defaults(), Retry: 30 * time.Second}
}

// Validate reports all faults at once, each as "path: value: what is allowed".
func (c Config) Validate() error {
	err := c.Config.Validate()
	if c.Retry < 0 || c.Retry > time.Minute {
		err = errors.Join(err, fmt.Errorf("mapping.retry: %s: want 0s to 1m", c.Retry))
	}
	return err
}

// roles is what the worker needs of AWS.
type roles interface {
	EnsureRole(ctx context.Context, spec aws.RoleSpec) (string, error)
	RemoveRole(ctx context.Context, spec aws.RoleSpec) error
}

// Worker makes and removes platform identities. One goroutine runs it: [Worker.Run].
type Worker struct {
	config   Config
	roles    roles
	log      *slog.Logger
	metrics  *metrics
	consumer *orders.Consumer[integration.MappingAsked]
}

// New returns a worker that makes roles with platform; it does nothing before [Worker.Run].
func New(c Config, codec *events.Codec, platform roles, log *slog.Logger, reg prometheus.Registerer) (*Worker, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	w := &Worker{config: c, roles: platform, log: log, metrics: newMetrics(reg)}
	var err error
	w.consumer, err = orders.New(c.Config, "mapping", events.SourceMapping, codec, w.Handle, log, reg)
	return w, err
}

// Run handles orders until ctx ends (nil) or something fails for good; then the process should exit and be restarted.
func (w *Worker) Run(ctx context.Context) error { return w.consumer.Run(ctx) }

// Ready reports whether the worker has joined its group.
func (w *Worker) Ready() bool { return w.consumer.Ready() }

// Handle does what one order asks. An error means that ctx ended first.
func (w *Worker) Handle(ctx context.Context, o orders.Order[integration.MappingAsked]) (integration.Finding, error) {
	finding, err := w.handle(ctx, o)
	if err != nil {
		return nil, err
	}
	w.metrics.count(o.Ask.Operation, finding)
	if refused, ok := finding.(integration.MappingWasRefused); ok {
		w.log.WarnContext(ctx, "platform identity refused", "integration", o.Integration, "operation", o.Ask.Operation,
			"reason", refused.Reason, "detail", refused.Detail, "permanent", refused.Permanent)
	} else {
		w.log.InfoContext(ctx, "platform identity changed", "integration", o.Integration, "operation", o.Ask.Operation)
	}
	return finding, nil
}

func (w *Worker) handle(ctx context.Context, o orders.Order[integration.MappingAsked]) (integration.Finding, error) {
	remove := o.Ask.Operation == integration.RemoveMapping
	if kind := o.Ask.Config.Kind; kind != integration.KindAWS {
		if remove {
			return integration.MappingWasRemoved{}, nil // none was ever made
		}
		return integration.MappingWasRefused{
			Reason: ReasonNotEnabled, Detail: fmt.Sprintf("this platform has %s not enabled", cloudName(kind)), Permanent: true,
		}, nil
	}
	spec := aws.RoleSpec{
		Name: string(o.Integration), Organization: string(o.Organization), Environment: string(o.Ask.Environment),
		Customer: o.Ask.Config.Customer, Known: o.Ask.Platform,
	}
	arn, err := w.tryOn(ctx, func() (string, error) {
		if remove {
			return "", w.roles.RemoveRole(ctx, spec)
		}
		return w.roles.EnsureRole(ctx, spec)
	})
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err() // a stop, which says nothing about the cloud
	case err != nil:
		return refusal(err), nil
	case remove:
		return integration.MappingWasRemoved{}, nil
	}
	return integration.MappingWasMade{Platform: arn}, nil
}

// tryOn repeats do while its error is temporary, with growing pauses, for as long as configured.
func (w *Worker) tryOn(ctx context.Context, do func() (string, error)) (string, error) {
	patience := cloud.Patience{First: 500 * time.Millisecond, Longest: 5 * time.Second, For: w.config.Retry, Again: func(err error) bool {
		passes := cloud.Passes(err)
		if passes {
			w.metrics.retries.Inc()
		}
		return passes
	}}
	if w.config.Retry == 0 {
		patience.Tries = 1
	}
	return cloud.TryOn(ctx, patience, do)
}

func refusal(err error) integration.MappingWasRefused {
	var e *cloud.Error
	if !errors.As(err, &e) {
		return integration.MappingWasRefused{Reason: aws.CodeTimeout}
	}
	return integration.MappingWasRefused{Reason: e.Code, Detail: detail(e), Permanent: !e.Temporary()}
}

func detail(e *cloud.Error) string {
	if e.Message == "" {
		return e.Op
	}
	return e.Op + ": " + e.Message
}

func cloudName(k integration.Kind) string {
	switch k {
	case integration.KindGCP:
		return "Google Cloud"
	case integration.KindAzure:
		return "Azure"
	default:
		return fmt.Sprintf("the cloud of %q", k)
	}
}

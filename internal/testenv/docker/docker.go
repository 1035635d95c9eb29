// Package docker runs the tests' servers as containers, through testcontainers-go.
//
// It serves only what tests share: a server that a test kills or pauses is a process (package local), which takes a
// SIGKILL more literally than a container does. It never builds an image, and it is one rung of a ladder: where no engine
// answers, the answer is ErrNoEngine within 3 s, and the next rung is tried.
//
// The life of a container: the image is pulled if it is missing, the server waited for, and its address handed out; stop
// removes it, and testcontainers' own reaper does when the tests die.
package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/rolebridge/rolebridge/internal/testenv/local"
	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

// ErrNoEngine says that there is no Docker here, which is nothing to report.
var ErrNoEngine = errors.New("no Docker engine answers")

const (
	asking = 3 * time.Second
	// pulling includes the start: a Kafka image has 400 MB.
	pulling = 5 * time.Minute
)

// Kafka runs a broker with the settings of package local.
func Kafka(ctx context.Context) (string, func() error, error) {
	host, err := engine(ctx)
	if err != nil {
		return "", nil, err
	}
	// A broker tells clients its address, so the host's port must be known before the start.
	port, err := process.ReservePort(ctx)
	if err != nil {
		return "", nil, err
	}
	number := strconv.Itoa(port.Number)
	settings := local.KafkaSettings()
	delete(settings, "controller.quorum.bootstrap.servers")
	maps.Copy(settings, map[string]string{
		// The image formats without --standalone, so its voters are fixed.
		"controller.quorum.voters": "1@localhost:9094",
		"listeners":                "PLAINTEXT://0.0.0.0:" + number + ",CONTROLLER://localhost:9094",
		"advertised.listeners":     "PLAINTEXT://" + host + ":" + number,
	})
	env := map[string]string{}
	for name, value := range settings {
		env["KAFKA_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))] = value
	}
	exposed := network.MustParsePort(number + "/tcp")
	address, stop, err := run(ctx, "apache/kafka:4.4.0", exposed.String(),
		testcontainers.WithExposedPorts(exposed.String()),
		testcontainers.WithHostConfigModifier(func(config *container.HostConfig) {
			config.PortBindings = network.PortMap{exposed: {{HostPort: number}}}
		}),
		testcontainers.WithEnv(env),
		testcontainers.WithWaitStrategy(wait.ForLog("Kafka Server started"), wait.ForListeningPort(exposed.String())),
	)
	if err != nil {
		port.Release()
		return "", nil, err
	}
	return address, func() error { defer port.Release(); return stop() }, nil
}

// Redis runs a server that keeps nothing on disk.
func Redis(ctx context.Context) (string, func() error, error) {
	return serve(ctx, "redis:7.4", "6379/tcp", "Ready to accept connections",
		testcontainers.WithCmd("redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no"))
}

// MiniStack runs an AWS that enforces trust policies.
func MiniStack(ctx context.Context) (string, func() error, error) {
	address, stop, err := serve(ctx, "ministackorg/ministack:1.5.33", "4566/tcp", "Running on http://",
		testcontainers.WithEnv(map[string]string{
			"AUTH": "true", "IOT_MTLS_ENABLED": "false", "SERVICES": "iam,sts,s3,dynamodb", "GATEWAY_PORT": "4566",
		}))
	return "http://" + address, stop, err
}

// Moto runs an AWS that checks no trust across accounts.
func Moto(ctx context.Context) (string, func() error, error) {
	address, stop, err := serve(ctx, "motoserver/moto:5.2.5", "5000/tcp", "Running on http://")
	return "http://" + address, stop, err
}

func serve(ctx context.Context, image, port, ready string, options ...testcontainers.ContainerCustomizer) (string, func() error, error) {
	if _, err := engine(ctx); err != nil {
		return "", nil, err
	}
	options = append(options,
		testcontainers.WithExposedPorts(port),
		testcontainers.WithWaitStrategy(wait.ForLog(ready), wait.ForListeningPort(port)))
	return run(ctx, image, port, options...)
}

func run(ctx context.Context, image, port string, options ...testcontainers.ContainerCustomizer) (string, func() error, error) {
	ctx, cancel := context.WithTimeout(ctx, pulling)
	defer cancel()
	server, err := testcontainers.Run(ctx, image, options...)
	stop := func() error { return testcontainers.TerminateContainer(server) }
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("run %s: %w", image, err), stop())
	}
	address, err := server.PortEndpoint(ctx, port, "")
	if err != nil {
		return "", nil, errors.Join(err, stop())
	}
	return address, stop, nil
}

// engine answers the host at which containers' ports appear.
func engine(ctx context.Context) (host string, err error) {
	// Looking for the engine's socket panics in some setups without one.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrNoEngine, r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	// Its own words about a missing engine are of no use to somebody who has none.
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(silent{}))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	defer provider.Close()
	if err := provider.Health(ctx); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	return provider.DaemonHost(ctx)
}

type silent struct{}

// Printf says nothing.
func (silent) Printf(string, ...any) {}

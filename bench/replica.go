package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

// compressed is how many times faster sessions end in a program that is built with the tag of this name: one minute of
// the benchmark is an hour of a fleet (creds/lives_compressed.go).
const compressed = 60

// buildCompressed builds the real program, but for the sessions' lives.
func buildCompressed(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "rolebridge")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "compressed", "-o", path, "github.com/rolebridge/rolebridge/cmd/rolebridge") //nolint:gosec // ours
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, text)
	}
	return path, nil
}

// replica is one broker process, which may be started again at the same addresses.
type replica struct {
	backend
	spec  process.Spec
	ports []*process.Port
	runs  *process.Process
}

// site, STS and Redis are common to all replicas.
func newReplica(ctx context.Context, n int, program, dir string, s *site, sts, redis string) (*replica, error) {
	r := &replica{}
	for range 2 {
		p, err := process.ReservePort(ctx)
		if err != nil {
			return r, err
		}
		r.ports = append(r.ports, p)
	}
	keyset := filepath.Join(dir, "keyset.json")
	if _, err := os.Stat(keyset); err != nil {
		if err := creds.WriteKeyset(ctx, keyset); err != nil {
			return r, err
		}
	}
	config := filepath.Join(dir, fmt.Sprintf("replica-%d.yaml", n))
	text := fmt.Sprintf(`kafka: {brokers: [%q]}
topics: {prefix: %q, partitions: %d}
redis: {address: %q, prefix: %q}
aws: {region: us-east-1, endpoint: "http://%s"}
broker: {listen: %q, keyset_file: %q, region: us-east-1}
telemetry: {listen: %q}
stop_within: 10s
`, strings.Join(s.brokers, `","`), s.topics.Prefix, s.topics.Partitions, redis, s.topics.Prefix, sts, r.ports[0].Address(), keyset, r.ports[1].Address())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return r, err
	}
	r.address, r.ready = r.ports[0].Address(), "http://"+r.ports[1].Address()+"/readyz"
	r.spec = process.Spec{
		Path: program, Args: []string{"serve", "--roles", "broker", "--config", config}, Dir: dir,
		Log: filepath.Join(dir, fmt.Sprintf("replica-%d.log", n)),
		Env: []string{"AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench", "AWS_EC2_METADATA_DISABLED=true", "HOME=" + dir, "PATH=" + os.Getenv("PATH")},
	}
	return r, nil
}

// start returns when the replica is ready.
func (r *replica) start(ctx context.Context) (err error) {
	if r.runs, err = process.Start(ctx, r.spec); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return r.runs.Ready(ctx, func() bool { return r.probe(ctx) })
}

// restart is an orderly stop and a start.
func (r *replica) restart(ctx context.Context) error {
	if err := r.runs.Stop(30 * time.Second); err != nil { //nolint:contextcheck // has a bound of its own
		return err
	}
	return r.start(ctx)
}

func (r *replica) close() (err error) {
	if r.runs != nil && r.runs.Alive() {
		err = r.runs.Kill()
	}
	for _, p := range r.ports {
		p.Release()
	}
	return err
}

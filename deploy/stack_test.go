package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

func TestMain(m *testing.M) {
	testenv.CleanAWSEnv()
	os.Exit(m.Run())
}

// soon bounds waits for what has to happen.
const soon = 90 * time.Second

// stack is what docker-compose.yml describes, as processes: its commands, environment and settings, with the addresses of
// the tests' servers in the place of the containers' names.
type stack struct {
	t         *testing.T
	compose   compose
	dir       string
	programs  map[string]string // by the build's target
	addresses *strings.Replacer
	telemetry map[string]string // by role
	api       string
	broker    string
	dryRun    string // where the trust worker answers the api
}

func startStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, compose: readCompose(t), dir: t.TempDir(), programs: map[string]string{}, telemetry: map[string]string{}}
	kafka, redis, aws := testenv.OwnKafka(t), testenv.OwnRedis(t), testenv.MiniStack(t)
	for target, folder := range map[string]string{"rolebridge": "../cmd/rolebridge", "setup": "./cmd/setup"} {
		s.programs[target] = filepath.Join(s.dir, target)
		s.must(exec.CommandContext(t.Context(), "go", "build", "-o", s.programs[target], folder))
	}
	s.api, s.broker, s.dryRun = s.port(), s.port(), s.port()
	s.addresses = strings.NewReplacer(
		"kafka:9092", kafka.Address(), "redis:6379", redis.Address(), "http://aws:4566", aws, "100000000001", testenv.Account(t),
		"/var/lib/rolebridge", s.dir, "/etc/rolebridge.yaml", filepath.Join(s.dir, "rolebridge.yaml"),
		"0.0.0.0:8080", s.api, "0.0.0.0:8081", s.broker, "127.0.0.1:8081", s.broker,
		"0.0.0.0:8082", s.dryRun, "trust:8082", s.dryRun,
		"${ROLEBRIDGE_SECRET:-only-for-this-demonstration}", "only-for-this-demonstration",
	)
	settings, err := os.ReadFile("docker/rolebridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "rolebridge.yaml"), []byte(s.addresses.Replace(string(settings))), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must(s.command("setup"))
	s.must(s.command("topics"))
	s.must(s.command("topics"), "apply twice")
	for _, role := range roles {
		s.telemetry[role] = s.port()
		s.serve(role)
	}
	for _, role := range roles {
		s.await(role+" to be healthy", func() error { return s.healthy(role) })
	}
	return s
}

// port is one that nobody else takes while the test runs.
func (s *stack) port() string {
	s.t.Helper()
	p, err := process.ReservePort(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Release)
	return p.Address()
}

// command is a service's program with its arguments and environment.
func (s *stack) command(name string, more ...string) *exec.Cmd {
	of := s.compose.Services[name]
	args := append(slices.Clone(of.Command), more...)
	for n, a := range args {
		args[n] = s.addresses.Replace(a)
	}
	cmd := exec.CommandContext(s.t.Context(), s.programs[of.Build.Target], args...)
	cmd.Env = []string{"HOME=" + s.dir, "PATH=/nowhere"}
	for k, v := range of.Environment {
		cmd.Env = append(cmd.Env, k+"="+s.addresses.Replace(v))
	}
	if at, ok := s.telemetry[name]; ok { // containers have an address each; processes share one
		cmd.Env = append(cmd.Env, "ROLEBRIDGE_TELEMETRY__LISTEN="+at)
	}
	return cmd
}

func (s *stack) must(cmd *exec.Cmd, why ...string) {
	s.t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s %v: %v\n%s", why, cmd.Args, err, out)
	}
}

// serve runs a role until the test ends, and then expects an orderly stop.
func (s *stack) serve(role string) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, role+".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := s.command(role)
	cmd.Stdout, cmd.Stderr = log, log
	// The test's context ends before its cleanups: that is the one signal, since a second would end the process at once.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		err := cmd.Wait()
		_ = log.Close()
		if (err != nil && !errors.Is(err, context.Canceled)) || s.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			s.t.Logf("%s ended with %v; its log:\n%s", role, err, text)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			s.t.Errorf("%s did not stop in order: %v", role, err)
		}
	})
}

// healthy runs the container's own health check.
func (s *stack) healthy(role string) error {
	check := slices.Clone(s.compose.Services[role].Healthcheck.Test[2:])
	for n, a := range check {
		check[n] = strings.ReplaceAll(a, "127.0.0.1:9090", s.telemetry[role])
	}
	out, err := exec.CommandContext(s.t.Context(), s.programs["rolebridge"], check...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// await waits until ok returns nil.
func (s *stack) await(what string, ok func() error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// use makes some of everything that is counted: an organization, an integration whose proof fails, and a read with a
// token that nobody has.
func (s *stack) use() {
	s.t.Helper()
	organization := s.command("topics")
	organization.Args = append(organization.Args[:1:1], "organization", "create", "org-demo", "--admin", "u-admin",
		"--config", filepath.Join(s.dir, "rolebridge.yaml"))
	s.must(organization)
	create := exec.CommandContext(s.t.Context(), s.programs["rolebridge"], "provider-integration", "create", "orders", "--cloud", "aws",
		"--environment", "env-demo", "--customer-role-arn", "arn:aws:iam::200000000002:role/orders")
	create.Env = []string{"ROLEBRIDGE_URL=http://" + s.api, "ROLEBRIDGE_KEY=DEMO", "ROLEBRIDGE_SECRET=only-for-this-demonstration", "HOME=" + s.dir}
	s.must(create)
	s.dryRunsGoToTheTrustWorker(create.Env)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.broker+"/v1/credentials", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "nobody-has-this-token")
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		s.t.Errorf("a wrong token was answered with %s", resp.Status)
	}
}

// dryRunsGoToTheTrustWorker tries a role that does not exist for a draft: the api's own process could not say so.
func (s *stack) dryRunsGoToTheTrustWorker(env []string) {
	s.t.Helper()
	verb := func(args ...string) (string, int) {
		cmd := exec.CommandContext(s.t.Context(), s.programs["rolebridge"], append([]string{"provider-integration"}, append(args, "--environment", "env-demo", "-o", "json")...)...)
		cmd.Env = env
		out, err := cmd.Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return string(out) + string(exit.Stderr), exit.ExitCode()
		}
		return string(out), 0
	}
	made, _ := verb("create", "drafted")
	var draft struct{ ID string }
	if err := json.Unmarshal([]byte(made), &draft); err != nil {
		s.t.Fatalf("%v: %s", err, made)
	}
	out, code := verb("validate", draft.ID, "--dry-run", "--customer-role-arn", "arn:aws:iam::200000000002:role/not-there")
	if code != 5 || !strings.Contains(out, `"verdict": "refused"`) || !strings.Contains(out, "Set the trust policy of the role not-there") {
		s.t.Errorf("the dry run ended with %d:\n%s", code, out)
	}
	if after, _ := verb("describe", draft.ID); after != made {
		s.t.Errorf("the dry run changed the draft from %s to %s", made, after)
	}
}

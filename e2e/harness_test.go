package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

const (
	platformAccount = "100000000001"
	customerAccount = "200000000002"
	organization    = integration.OrganizationID("org-1")
	environment     = "env-1"
	administrator   = integration.Principal("u-admin")
	apiKey          = "E2EKEY"
	apiSecret       = "e2e-secret-e2e-secret-e2e"
)

// testBound is far above what a test takes: 60 to 110 s on two cores.
const testBound = 6 * time.Minute

// binary is built once for all tests.
var binary struct {
	sync.Once
	path string
	err  error
}

func program(t *testing.T) string {
	t.Helper()
	binary.Do(func() {
		dir, err := os.MkdirTemp("", "rolebridge-e2e-") //nolint:usetesting // it outlives the first test
		if err != nil {
			binary.err = err
			return
		}
		binary.path = filepath.Join(dir, "rolebridge")
		out, err := exec.Command("go", "build", "-o", binary.path, "../cmd/rolebridge").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

func TestMain(m *testing.M) {
	testenv.CleanAWSEnv()
	code := m.Run()
	if binary.path != "" {
		_ = os.RemoveAll(filepath.Dir(binary.path))
	}
	os.Exit(code)
}

// world is everything around the program's processes.
type world struct {
	t      *testing.T
	ctx    context.Context // of everything that is waited for: a test that hangs says where
	kafka  *testenv.KafkaServer
	redis  *testenv.RedisServer
	aws    *sandbox.Sandbox
	user   sandbox.User    // the platform's own identity
	owner  sandbox.Account // the customer's
	topics events.Topics
	codec  *events.Codec
	dir    string
	cl     *kgo.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testBound)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, kafka: testenv.OwnKafka(t), redis: testenv.OwnRedis(t), dir: t.TempDir()}
	w.topics = events.Topics{Prefix: "e2e.", Partitions: 4}
	w.must(os.WriteFile(filepath.Join(w.dir, "keys.yaml"), fmt.Appendf(nil,
		"keys:\n  - {key: %s, secret: %s, organization: %s, principal: %s}\n", apiKey, apiSecret, organization, administrator), 0o600))
	w.must(creds.WriteKeyset(w.ctx, filepath.Join(w.dir, "keyset.json")))
	var err error
	w.codec, err = events.NewCodec(w.topics)
	w.must(err)
	w.cl, err = kgo.NewClient(kgo.SeedBrokers(w.kafka.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.must(err)
	t.Cleanup(w.cl.Close)
	t.Cleanup(w.diagnose)
	_, err = events.Apply(w.ctx, kadm.NewClient(w.cl), w.topics, 1)
	w.must(err)
	w.openAWS()
	w.must(os.WriteFile(filepath.Join(w.dir, "rolebridge.yaml"), fmt.Appendf(nil, `
kafka: {brokers: [%q]}
topics: {prefix: %q, partitions: %d}
redis: {address: %q}
aws:
  endpoint: %s
  accounts: [{id: "%s"}]
  identities: [%q]
api: {keys_file: %s/keys.yaml}
broker: {keyset_file: %s/keyset.json}
`, w.kafka.Address(), w.topics.Prefix, w.topics.Partitions, w.redis.Address(), w.aws.Endpoint(), platformAccount, w.user.ARN, w.dir, w.dir), 0o600))
	return w
}

// diagnose says after a failure which partitions readers of committed records cannot read to the end: somebody's transaction
// is open there.
func (w *world) diagnose() {
	if !w.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), 10*time.Second)
	defer cancel()
	admin := kadm.NewClient(w.cl)
	ends, err := admin.ListEndOffsets(ctx)
	stable, err2 := admin.ListCommittedOffsets(ctx)
	if err := errors.Join(err, err2); err != nil {
		w.t.Logf("Kafka cannot be asked for open transactions: %v", err)
		return
	}
	ends.Each(func(end kadm.ListedOffset) {
		if at, ok := stable.Lookup(end.Topic, end.Partition); ok && at.Offset < end.Offset {
			w.t.Logf("%s/%d is open from %d to %d", end.Topic, end.Partition, at.Offset, end.Offset)
		}
	})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) openAWS() {
	w.t.Helper()
	var err error
	w.aws, err = sandbox.New(sandbox.Defaults())
	w.must(err)
	w.must(w.aws.Listen(w.t.Context(), "127.0.0.1:0"))
	_, err = w.aws.AddAccount(platformAccount)
	w.must(err)
	w.user, err = w.aws.AddUser(platformAccount, "rolebridge", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*","sts:*"],"Resource":"*"}]}`)
	w.must(err)
	w.owner, err = w.aws.AddAccount(customerAccount)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.aws.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("sandbox: %v", err)
		}
	})
}

// process is one supervised process of the program: whenever it ends, it is started again, as an orchestrator does.
type process struct {
	w     *world
	name  string
	env   []string
	args  []string
	log   *os.File
	ports map[string]string

	mu     sync.Mutex
	cmd    *exec.Cmd
	starts int
	ended  bool
	done   chan struct{}
}

// start runs roles under a name that is stable over restarts. settings are further variables of the environment.
func (w *world) start(name, roles string, settings ...string) *process {
	w.t.Helper()
	p := &process{w: w, name: name, done: make(chan struct{}), ports: map[string]string{}}
	for _, listener := range []string{"api", "broker", "telemetry"} {
		p.ports[listener] = w.freePort()
		p.env = append(p.env, fmt.Sprintf("ROLEBRIDGE_%s__LISTEN=127.0.0.1:%s", strings.ToUpper(listener), p.ports[listener]))
	}
	p.env = append(append(p.env,
		"AWS_ACCESS_KEY_ID="+w.user.Key.ID, "AWS_SECRET_ACCESS_KEY="+w.user.Key.Secret.Reveal(), "AWS_EC2_METADATA_DISABLED=true",
		"ROLEBRIDGE_LIFECYCLE__INSTANCE="+name, "ROLEBRIDGE_MAPPING__INSTANCE="+name, "ROLEBRIDGE_TRUST__INSTANCE="+name,
		"PATH="+os.Getenv("PATH"), "HOME="+w.dir,
	), settings...)
	p.args = []string{"serve", "--roles", roles, "--config", filepath.Join(w.dir, "rolebridge.yaml")}
	var err error
	p.log, err = os.Create(filepath.Join(w.dir, name+".log"))
	w.must(err)
	program(w.t)
	go p.supervise()
	w.t.Cleanup(p.end)
	return p
}

func (w *world) freePort() string {
	l, err := new(net.ListenConfig).Listen(w.ctx, "tcp", "127.0.0.1:0")
	w.must(err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	w.must(err)
	return port
}

func (p *process) supervise() {
	defer close(p.done)
	for {
		p.mu.Lock()
		if p.ended {
			p.mu.Unlock()
			return
		}
		cmd := exec.Command(binary.path, p.args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = p.env, p.log, p.log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		err := cmd.Start()
		p.cmd = cmd
		p.starts++
		p.mu.Unlock()
		if err == nil {
			err = cmd.Wait()
		}
		_, _ = fmt.Fprintf(p.log, "--- %s ended: %v\n", p.name, err)
		<-time.After(100 * time.Millisecond)
	}
}

// kill ends the process with SIGKILL; the supervisor starts it again.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill() // it may just have ended by itself
	}
}

// end stops the process for good, in order.
func (p *process) end() {
	p.mu.Lock()
	if !p.ended {
		p.ended = true
		if p.cmd != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	p.mu.Unlock()
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.w.t.Errorf("%s does not stop", p.name)
		p.kill()
	}
	if p.w.t.Failed() {
		text, _ := os.ReadFile(p.log.Name())
		p.w.t.Logf("the last words of %s (started %d times):\n%s", p.name, p.count(), text[max(0, len(text)-4000):])
	}
}

// count is how often the process was started.
func (p *process) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// url is the address of one of the process's listeners.
func (p *process) url(listener string) string { return "http://127.0.0.1:" + p.ports[listener] }

// ready waits until the process says that it is.
func (p *process) ready() {
	p.w.t.Helper()
	p.w.eventually(time.Minute, p.name+" is ready", func() error {
		code, body, err := get(p.w.ctx, p.url("telemetry")+"/readyz")
		if err == nil && code != http.StatusOK {
			err = errors.New(body)
		}
		return err
	})
}

// pause lets time pass, as long as the test lasts.
func (w *world) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.ctx.Done():
	}
}

// eventually calls f until it returns nil, and fails with its last error after the bound.
func (w *world) eventually(within time.Duration, what string, f func() error) {
	w.t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || w.ctx.Err() != nil {
			w.t.Fatalf("after %v it is not so that %s: %v", within, what, err)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func get(ctx context.Context, url string) (code int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

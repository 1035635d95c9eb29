package connect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

func TestMain(m *testing.M) {
	testenv.CleanAWSEnv()
	code := m.Run()
	if provider.dir != "" {
		_ = os.RemoveAll(provider.dir)
	}
	os.Exit(code)
}

// soon bounds waits for what has to happen.
const soon = 3 * time.Minute

const externalID = "6f8f57715090da2632453988d9a1501b"

// site is an AWS, a broker and what the broker knows: integrations with one connector each.
type site struct {
	t       *testing.T
	trail   *trail
	aws     string // where clients of AWS go: past the trail
	account string // the platform's
	user    awstest.User
	roles   *aws.Platform
	replica *credstest.Replica
	dir     string

	port *process.Port
	stop func() // ends the broker
	mu   sync.Mutex
	life map[string]time.Duration // of sessions as told, by token
	down int                      // requests that the broker could not answer
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		t: t, account: testenv.Account(t), replica: credstest.NewReplica(), dir: t.TempDir(), life: map[string]time.Duration{},
	}
	endpoint := testenv.MiniStack(t)
	s.trail = newTrail(t, endpoint)
	s.aws = s.trail.url
	s.user = awstest.MiniStackUser(t, endpoint, s.account, "broker")
	var err error
	s.roles, err = aws.NewPlatform(t.Context(), aws.PlatformConfig{
		Config:   aws.Config{Region: awstest.Region, Endpoint: endpoint, Credentials: awstest.Static(s.account, "test")},
		Accounts: []aws.Account{{ID: s.account}}, Identities: []string{s.user.ARN},
	})
	s.must(err)
	t.Cleanup(s.roles.Close)
	s.port, err = process.ReservePort(t.Context())
	s.must(err)
	t.Cleanup(s.port.Release)
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// connector is one that is bound, with all that its configuration needs.
type connector struct {
	account   string // the customer's, and the key of its root
	session   string // as AWS sees it
	tokenFile string
}

// bind makes an integration with a customer's account and role of its own, which may do what actions and resources say,
// and binds a connector, whose sessions are told to live so long.
func (s *site) bind(id integration.ID, name integration.ConnectorID, life time.Duration, permissions string) connector {
	s.t.Helper()
	c := connector{account: testenv.Account(s.t), tokenFile: filepath.Join(s.dir, string(name)+".token")}
	customer := "arn:aws:iam::" + c.account + ":role/" + string(name)
	c.session = "arn:aws:sts::" + c.account + ":assumed-role/" + string(name) + "/" + string(name) + "@" + string(id)
	platform, err := s.roles.EnsureRole(s.t.Context(), aws.RoleSpec{Name: string(id), Organization: "acme", Environment: "env", Customer: customer})
	s.must(err)
	trust, err := policy.FinalTrust(platform, externalID)
	s.must(err)
	owner := awstest.IAM(s.t, s.aws, awstest.Static(c.account, "test"))
	_, err = owner.CreateRole(s.t.Context(), &iam.CreateRoleInput{
		RoleName: sdk.String(string(name)), AssumeRolePolicyDocument: sdk.String(string(trust.JSON())),
	})
	s.must(err)
	_, err = owner.PutRolePolicy(s.t.Context(), &iam.PutRolePolicyInput{
		RoleName: sdk.String(string(name)), PolicyName: sdk.String("sink"), PolicyDocument: &permissions,
	})
	s.must(err)

	token := credstest.NewToken()
	s.replica.Trusted("acme", id, platform, customer, externalID, true)
	s.replica.Bind(id, name, token)
	s.mu.Lock()
	s.life[token.Reveal()] = life
	s.mu.Unlock()
	s.must(os.WriteFile(c.tokenFile, []byte(token.Reveal()), 0o600))
	return c
}

// url is the broker's endpoint, also while there is no broker.
func (s *site) url() string { return "http://" + s.port.Address() + creds.Path }

// startBroker begins a broker that remembers nothing.
func (s *site) startBroker() {
	s.t.Helper()
	client, err := aws.New(s.t.Context(), aws.Config{Region: awstest.Region, Endpoint: s.aws, Credentials: s.user.Key})
	s.must(err)
	config := creds.Defaults()
	config.Region = awstest.Region
	broker, err := creds.New(config, s.replica, creds.NewMemory(nil), creds.FromAWS(client), creds.WithLog(slog.New(slog.DiscardHandler)))
	s.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan error, 1)
	go func() { done <- broker.Run(ctx) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.port.Address())
	s.must(err)
	server := &http.Server{Handler: s.shortLived(broker.Handler()), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			_ = server.Close()
			cancel()
			if err := <-done; err != nil {
				s.t.Errorf("the broker stopped with %v", err)
			}
			client.Close()
		})
	}
	s.t.Cleanup(s.stop)
}

// shortLived tells shorter lives of the broker's sessions, so that SDKs ask for others within a test. All else is the
// broker's answer.
func (s *site) shortLived(broker http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := httptest.NewRecorder()
		broker.ServeHTTP(got, r)
		body := got.Body.Bytes()
		s.mu.Lock()
		life := s.life[r.Header.Get("Authorization")]
		if got.Code >= http.StatusInternalServerError {
			s.down++
		}
		s.mu.Unlock()
		var session map[string]any
		if got.Code == http.StatusOK && json.Unmarshal(body, &session) == nil {
			session["Expiration"] = time.Now().Add(life).UTC().Format(time.RFC3339)
			body, _ = json.Marshal(session)
			got.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		maps.Copy(w.Header(), got.Header())
		w.WriteHeader(got.Code)
		_, _ = w.Write(body)
	})
}

// unanswered is how often the broker was asked and had no session.
func (s *site) unanswered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// rolebridge builds the program.
func (s *site) rolebridge() string {
	s.t.Helper()
	path := filepath.Join(s.dir, "rolebridge")
	if out, err := exec.CommandContext(s.t.Context(), "go", "build", "-o", path, "../../cmd/rolebridge").CombinedOutput(); err != nil {
		s.t.Fatalf("build rolebridge: %v\n%s", err, out)
	}
	return path
}

// worker is a Kafka Connect worker with plugins.
type worker struct {
	site    *site
	process *process.Process
	url     string
	topics  string // the prefix of its topics
	kafka   []string
}

// startWorker runs one whose environment has no credentials, but a file of profiles.
func (s *site) startWorker(profiles string) *worker {
	s.t.Helper()
	installed := testenv.Connect(s.t)
	w := &worker{site: s, kafka: testenv.Kafka(s.t), topics: testenv.Prefix(s.t)}
	port, err := process.ReservePort(s.t.Context())
	s.must(err)
	s.t.Cleanup(port.Release)
	w.url = "http://" + port.Address()
	plugins := s.plugins(installed.Camel, installed.Iceberg)
	properties := filepath.Join(s.dir, "worker.properties")
	s.must(os.WriteFile(properties, fmt.Appendf(nil, `bootstrap.servers=%s
group.id=%[2]sworker
config.storage.topic=%[2]sconfig
offset.storage.topic=%[2]soffset
status.storage.topic=%[2]sstatus
config.storage.replication.factor=1
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.replication.factor=1
status.storage.partitions=1
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
config.providers=file
config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider
listeners=%s
plugin.path=%s
plugin.discovery=hybrid_warn
offset.flush.interval.ms=1000
consumer.auto.offset.reset=earliest
`, strings.Join(w.kafka, ","), w.topics, w.url, plugins), 0o600))
	logging := filepath.Join(s.dir, "log4j2.xml")
	s.must(os.WriteFile(logging, []byte(`<Configuration><Appenders><Console name="c"><PatternLayout pattern="%d{HH:mm:ss,SSS} %-5p %c{1}: %m%n"/></Console></Appenders>`+
		`<Loggers><Root level="WARN"><AppenderRef ref="c"/></Root></Loggers></Configuration>`), 0o600))
	config := filepath.Join(s.dir, "aws-config")
	s.must(os.WriteFile(config, []byte(profiles), 0o600))
	w.process, err = process.Start(s.t.Context(), process.Spec{
		Path: installed.Java, Dir: s.dir, Log: filepath.Join(s.dir, "worker.log"),
		Args: []string{
			"-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.configurationFile=" + logging,
			"-cp", filepath.Join(installed.Worker, "*"), "org.apache.kafka.connect.cli.ConnectDistributed", properties,
		},
		Env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=" + awstest.Region, "AWS_CONFIG_FILE=" + config,
		},
	})
	s.must(err)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			said := w.process.Output()
			s.t.Logf("the worker's last words:\n%s", said[max(0, len(said)-8000):])
		}
		if err := w.process.Kill(); err != nil {
			s.t.Errorf("end the worker: %v", err)
		}
	})
	s.eventually("the worker answers", func() bool {
		var plugins []struct{}
		return w.ask(http.MethodGet, "/connector-plugins", nil, &plugins) == nil
	})
	return w
}

// plugins makes a folder of plugins: Camel's as it is, and Iceberg's with our provider among its jars.
func (s *site) plugins(camel, iceberg string) string {
	s.t.Helper()
	folder := filepath.Join(s.dir, "plugins")
	s.must(os.MkdirAll(filepath.Join(folder, "iceberg"), 0o700))
	s.must(os.Symlink(camel, filepath.Join(folder, "camel")))
	jars, err := filepath.Glob(filepath.Join(iceberg, "*.jar"))
	s.must(err)
	for _, jar := range append(jars, buildProvider(s.t)) {
		s.must(os.Symlink(jar, filepath.Join(folder, "iceberg", filepath.Base(jar))))
	}
	return folder
}

// ask makes a request of the worker's REST interface.
func (w *worker) ask(method, path string, in, out any) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(w.site.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.url+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d: %s", method, path, resp.StatusCode, body)
	}
	return json.Unmarshal(body, out)
}

// put makes a connector.
func (w *worker) put(name string, config map[string]string) {
	w.site.t.Helper()
	var made struct{ Name string }
	w.site.eventually("connector "+name+" is made", func() bool { // a worker that rebalances refuses
		err := w.ask(http.MethodPut, "/connectors/"+name+"/config", config, &made)
		if err != nil && !strings.Contains(err.Error(), ": 409:") {
			w.site.t.Fatal(err)
		}
		return err == nil
	})
}

// task is the state of a connector's only task, with its trace when it failed.
func (w *worker) task(name string) (state, trace string) {
	var status struct {
		Tasks []struct{ State, Trace string }
	}
	if err := w.ask(http.MethodGet, "/connectors/"+name+"/status", nil, &status); err != nil || len(status.Tasks) != 1 {
		return fmt.Sprintf("unknown (%v)", err), ""
	}
	return status.Tasks[0].State, status.Tasks[0].Trace
}

// wantNoToken looks into a connector's configuration as everybody can who reaches the worker.
func (w *worker) wantNoToken(name string, c connector) {
	w.site.t.Helper()
	var config json.RawMessage
	w.site.eventually("the worker shows a configuration", func() bool { // not while its group is rebalanced
		return w.ask(http.MethodGet, "/connectors/"+name+"/config", nil, &config) == nil
	})
	token, err := os.ReadFile(c.tokenFile)
	w.site.must(err)
	if bytes.Contains(config, token) {
		w.site.t.Errorf("the configuration of %s shows its token", name)
	}
}

// wantAlive ends the test when a connector's task has failed, which nobody mends but a call over REST.
func (w *worker) wantAlive(names ...string) {
	w.site.t.Helper()
	for _, name := range names {
		if state, trace := w.task(name); state == "FAILED" {
			w.site.t.Fatalf("the task of %s failed:\n%s", name, trace)
		}
	}
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			s.t.Fatalf("not within %s: %s", soon, what)
		case <-tick.C:
		}
	}
}

// buildProvider makes the jar of our class, as a release does, and runs the class's own tests.
func buildProvider(t *testing.T) string {
	t.Helper()
	provider.Do(func() {
		dir, err := os.MkdirTemp("", "rolebridge-provider-") //nolint:usetesting // it outlives the first test
		if err != nil {
			t.Fatal(err)
		}
		provider.dir = dir
		if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
			t.Fatal(err)
		}
		testenv.Maven(t, dir, "-q", "-pl", "provider", "clean", "verify")
	})
	jars, err := filepath.Glob(filepath.Join(provider.dir, "provider", "target", "rolebridge-credentials-provider-*.jar"))
	if err != nil || len(jars) != 1 {
		t.Fatalf("got jars %v, %v, want one", jars, err)
	}
	return jars[0]
}

var provider struct {
	sync.Once
	dir string
}

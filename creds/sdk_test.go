package creds_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

// client is a running connector of some SDK. write makes an object and tells who AWS saw.
type client interface {
	write(t *testing.T, key string) seen
}

// seen is what a connector got: AWS's view of it and its session's access key, or the error that the SDK shows.
type seen struct {
	ARN    string `json:"arn"`
	Signer string `json:"signed_by"` // the id, which is no secret
	Error  string `json:"error"`
}

// sdks are the SDKs under test, each in its ordinary default chain.
var sdks = map[string]struct {
	// open starts a connector with nothing but this environment.
	open func(t *testing.T, env map[string]string) client
	// life is the remaining life of a session at which the SDK asks for another one, as measured: with more it lives on
	// what it has.
	life time.Duration
	// wrong is what the SDK shows of a wrong token. Java's and JavaScript's default chains keep the broker's words
	// to themselves.
	wrong string
}{
	"Go v2":         {openGo, 4 * time.Minute, "the token is not known"},
	"boto3":         {openPython, 10 * time.Minute, "the token is not known"},
	"AWS CLI 1":     {openCLI, 10 * time.Minute, "the token is not known"},
	"Java v2":       {openJava, 90 * time.Second, "ContainerCredentialsProvider(): Failed to load credentials from metadata service"},
	"JavaScript v3": {openJavaScript, 4 * time.Minute, "Could not load credentials from any providers"},
}

func TestEverySDKLivesOnTheBroker(t *testing.T) {
	t.Parallel()
	for name, kind := range sdks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, source := range []string{"a token in a file", "a token in the environment"} {
				t.Run(source, func(t *testing.T) {
					t.Parallel()
					w := openAWSWorld(t)
					front := w.front(t, kind.life)
					if source == "a token in the environment" {
						delete(w.env, creds.EnvTokenFile)
						w.env[creds.EnvToken] = w.world.token.Reveal()
					}
					livesOnTheBroker(t, w, front, kind.open(t, w.env))
				})
			}
			t.Run("a workload's token in a file", func(t *testing.T) {
				t.Parallel()
				livesAsAWorkload(t, kind.life, kind.open)
			})
			t.Run("a wrong token is refused", func(t *testing.T) {
				t.Parallel()
				w := openAWSWorld(t)
				w.bucket(t)
				w.writeToken(t, credstest.NewToken())
				c := kind.open(t, w.env)
				got := c.write(t, "one")
				if !strings.Contains(got.Error, kind.wrong) {
					t.Errorf("the SDK shows %+v, want an error with %q", got, kind.wrong)
				}
			})
		})
	}
}

// livesOnTheBroker follows a connector over the end of its session. That session is revoked, which makes the broker's next
// one another, and the file of the token gets another token, which is the only valid one; nothing fails meanwhile.
func livesOnTheBroker(t *testing.T, w *awsWorld, front *front, c client) {
	t.Helper()
	bucket := w.bucket(t)
	first := c.write(t, "first")
	if want := "arn:aws:sts::" + w.Customer.ID + ":assumed-role/orders/orders-sink@cspi-orders"; first.ARN != want || first.Error != "" {
		t.Fatalf("AWS sees %+v, want %s", first, want)
	}

	if _, ok := w.env[creds.EnvTokenFile]; ok {
		next := credstest.NewToken()
		w.world.replica.Bind(orders, sink, next)
		w.writeToken(t, next)
	}
	w.world.replica.Revoke(orders)
	before := front.reads.Load()
	key := ""
	for n := 0; key == ""; n++ {
		key = fmt.Sprintf("later/%d", n)
		got := c.write(t, key)
		if got.Error != "" || got.ARN != first.ARN {
			t.Fatalf("write %d: got %+v, want none to fail over a refresh", n, got)
		}
		if n > 100 {
			t.Fatalf("100 writes later the session is still %s", got.Signer)
		}
		if got.Signer == first.Signer {
			key = ""
		}
	}
	if front.reads.Load() == before {
		t.Error("there is another session, and the broker was not asked")
	}
	wantObjects(t, bucket, "first", key)
}

// livesAsAWorkload has no token of the broker's: the file holds what an issuer signs, as Kubernetes keeps it there, and the
// URL names the binding.
func livesAsAWorkload(t *testing.T, life time.Duration, open func(*testing.T, map[string]string) client) {
	t.Helper()
	issuer := identitytest.NewIssuer()
	t.Cleanup(issuer.Close)
	w := openAWSWorld(t, creds.WithTokens(newWorld(t).verifier(t, issuer)))
	w.world.replica.ChangeBinding(orders, sink, func(_ integration.OrganizationID, b *integration.Binding) {
		b.Tokens = nil
		b.Workloads = []integration.Workload{{OIDC: integration.OIDC{Issuer: issuer.URL, Audience: audience, Subject: subject}}}
	})
	bucket, front := w.bucket(t), w.front(t, life)
	w.env[creds.EnvURL] += "?" + url.Values{"integration": {string(orders)}, "connector": {string(sink)}}.Encode()
	w.writeToken(t, secret.New(issuer.Token(issuer.Claims(audience, subject))))
	c := open(t, w.env)
	first := c.write(t, "first")
	if want := "arn:aws:sts::" + w.Customer.ID + ":assumed-role/orders/orders-sink@cspi-orders"; first.ARN != want || first.Error != "" {
		t.Fatalf("AWS sees %+v, want %s", first, want)
	}
	w.writeToken(t, secret.New(issuer.Token(issuer.Claims(audience, subject)))) // the next one, as every hour
	w.world.replica.Revoke(orders)
	before := front.reads.Load()
	for n := 0; ; n++ {
		key := fmt.Sprint("later/", n)
		got := c.write(t, key)
		if got.Error != "" || got.ARN != first.ARN || n > 100 {
			t.Fatalf("write %d: got %+v, want another session and none to fail", n, got)
		}
		if got.Signer != first.Signer {
			wantObjects(t, bucket, "first", key)
			break
		}
	}
	if front.reads.Load() == before {
		t.Error("there is another session, and the broker was not asked")
	}
}

func wantObjects(t *testing.T, bucket *s3.Client, keys ...string) {
	t.Helper()
	for _, key := range keys {
		object, err := bucket.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String("orders"), Key: &key})
		must(t, err)
		if body, err := io.ReadAll(object.Body); err != nil || string(body) != "an order" {
			t.Errorf("%s holds %q, %v; want an order", key, body, err)
		}
	}
}

// front stands before the broker and shortens the life that it tells. An SDK asks for another session when little is left,
// which takes the broker half an hour to reach and a test a moment. All else is the broker's answer.
type front struct{ reads atomic.Int32 }

// front makes the world's environment point to a new one.
func (w *awsWorld) front(t *testing.T, life time.Duration) *front {
	t.Helper()
	f := &front{}
	broker := w.broker.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		f.reads.Add(1)
		got := httptest.NewRecorder()
		broker.ServeHTTP(got, r)
		if got.Code == http.StatusOK {
			if err := shorten(got, life); err != nil {
				t.Errorf("shorten the broker's answer: %v", err)
			}
		}
		maps.Copy(rw.Header(), got.Header())
		rw.WriteHeader(got.Code)
		_, _ = rw.Write(got.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	w.url = server.URL + creds.Path
	w.env[creds.EnvURL] = w.url
	return f
}

func shorten(answer *httptest.ResponseRecorder, life time.Duration) error {
	var session map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &session); err != nil {
		return err
	}
	session["Expiration"] = time.Now().Add(life).UTC().Format(time.RFC3339)
	body, err := json.Marshal(session)
	answer.Body.Reset()
	answer.Body.Write(body)
	answer.Header().Set("Content-Length", fmt.Sprint(len(body)))
	return err
}

// writeToken replaces the token's file as whoever rotates it should: in one step.
func (w *awsWorld) writeToken(t *testing.T, token secret.Text) {
	t.Helper()
	must(t, os.WriteFile(w.file+".next", []byte(token.Reveal()), 0o600))
	must(t, os.Rename(w.file+".next", w.file))
}

// openGo is this test's own binary, which plays a connector when it is told to.
func openGo(t *testing.T, env map[string]string) client {
	t.Helper()
	env = maps.Clone(env)
	env[playConnector] = "1"
	return openProgram(t, env, os.Args[0])
}

const playConnector = "ROLEBRIDGE_TEST_CONNECTOR"

// connector is what a connector in Go does: load the default configuration, nothing more. For each line, an object's key,
// it says who AWS sees and writes the object.
func connector(ctx context.Context, in io.Reader, out io.Writer) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	who, bucket := sts.NewFromConfig(cfg), s3.NewFromConfig(cfg)
	write := func(key string) (seen, error) {
		caller, err := who.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return seen{}, err
		}
		if _, err := bucket.PutObject(ctx, &s3.PutObjectInput{
			Bucket: sdk.String("orders"), Key: &key, Body: strings.NewReader("an order"),
		}); err != nil {
			return seen{}, err
		}
		session, err := cfg.Credentials.Retrieve(ctx)
		return seen{ARN: *caller.Arn, Signer: session.AccessKeyID}, err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		answer, err := write(lines.Text())
		if err != nil {
			answer = seen{Error: err.Error()}
		}
		if err := json.NewEncoder(out).Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func openPython(t *testing.T, env map[string]string) client {
	t.Helper()
	return openProgram(t, env, testenv.PythonSDK(t), filepath.Join("testdata", "sdk", "sdk.py"))
}

func openJavaScript(t *testing.T, env map[string]string) client {
	t.Helper()
	installed := testenv.JavaScriptSDK(t)
	dir := t.TempDir()
	source, err := os.ReadFile(filepath.Join("testdata", "sdk", "sdk.mjs"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "sdk.mjs"), source, 0o600))
	must(t, os.Symlink(installed.Modules, filepath.Join(dir, "node_modules")))
	return openProgram(t, env, installed.Node, filepath.Join(dir, "sdk.mjs"))
}

func openJava(t *testing.T, env map[string]string) client {
	t.Helper()
	installed := testenv.Connect(t)
	return openProgram(t, env, installed.Java, "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(installed.Camel, "*"),
		filepath.Join("testdata", "sdk", "Connector.java"))
}

// program is a connector in a process of its own, which answers each line with one.
type program struct {
	in      io.Writer
	answers chan string
}

func openProgram(t *testing.T, env map[string]string, path string, args ...string) client {
	t.Helper()
	cmd := command(t, env, path, args...)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	var errors strings.Builder
	cmd.Stderr = &errors
	must(t, cmd.Start())
	p := &program{in: in, answers: make(chan string)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.answers)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			select {
			case p.answers <- lines.Text():
			case <-t.Context().Done(): // nobody reads any more
			}
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the connector said:\n%s", errors.String())
		}
	})
	return p
}

func (p *program) write(t *testing.T, key string) (got seen) {
	t.Helper()
	_, err := fmt.Fprintln(p.in, key)
	must(t, err)
	select {
	case line, ok := <-p.answers:
		if !ok {
			t.Fatal("the connector has ended")
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("the connector answers %q: %v", line, err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("no answer of the connector for two minutes")
	}
	return got
}

// command is a program that sees this environment, and of ours only how to find programs.
func command(t *testing.T, env map[string]string, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_DEFAULT_REGION=" + env["AWS_REGION"]}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = process.Group(syscall.SIGKILL)
	return cmd
}

// cli is a script of AWS CLI commands: each is a process that asks for a session of its own.
type cli struct {
	env    map[string]string
	python string
	dir    string
}

func openCLI(t *testing.T, env map[string]string) client {
	t.Helper()
	return &cli{env: env, python: testenv.PythonSDK(t), dir: t.TempDir()}
}

func (c *cli) write(t *testing.T, key string) seen {
	t.Helper()
	file := filepath.Join(c.dir, "object")
	must(t, os.WriteFile(file, []byte("an order"), 0o600))
	out, log, err := c.run(t, "sts", "get-caller-identity", "--query", "Arn", "--output", "text", "--debug")
	if err == nil {
		_, log2, err2 := c.run(t, "s3", "cp", file, "s3://orders/"+key)
		if err = err2; err != nil {
			log = log2
		}
	}
	if err != nil {
		return seen{Error: log}
	}
	signed := signedBy.FindStringSubmatch(log)
	if signed == nil {
		t.Fatalf("the CLI does not say how it signed:\n%s", log)
	}
	return seen{ARN: strings.TrimSpace(out), Signer: signed[1]}
}

// signedBy finds the access key in the CLI's account of a request's signature.
var signedBy = regexp.MustCompile(`AWS4-HMAC-SHA256 Credential=(\w+)/`)

func (c *cli) run(t *testing.T, args ...string) (out, log string, err error) {
	t.Helper()
	cmd := command(t, c.env, c.python, append([]string{"-m", "awscli"}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

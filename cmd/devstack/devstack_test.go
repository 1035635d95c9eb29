package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/cmd/internal/doctor"
	"github.com/rolebridge/rolebridge/internal/config"
	"github.com/rolebridge/rolebridge/internal/secret/secrettest"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// running is a devstack whose walk is over.
type running struct {
	*stack
	out, logs *bytes.Buffer
}

// startStack starts a devstack on a data folder and keeps it up until the test ends.
func startStack(t *testing.T, data string) (r *running, stop func()) {
	t.Helper()
	for _, name := range []string{ // what the sink's runtime sets is put back after the test
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_EC2_METADATA_DISABLED",
	} {
		t.Setenv(name, "")
	}
	hermetic()
	r = &running{out: &bytes.Buffer{}, logs: &bytes.Buffer{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // stopped by the clean-up, in order
	s, err := start(ctx, options{data: data, env: filepath.Join(t.TempDir(), "env")}, telemetry.NewLogger(r.logs, -8))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	r.stack = s
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("devstack: %v", err)
		}
		s.close()
	}
	t.Cleanup(stop)
	return r, stop
}

// walk walks the first steps, or with a negative number all, and ends what the walk has started.
func (r *running) walk(t *testing.T, steps int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := r.newWalk(r.out)
	if err != nil {
		t.Fatal(err)
	}
	if steps < 0 {
		err = w.run(ctx)
	} else {
		for n, step := range w.steps()[:steps] {
			if err = step(ctx); err != nil {
				err = fmt.Errorf("step %d: %w", n+1, err)
				break
			}
		}
	}
	cancel()
	if err := errors.Join(err, w.connectors.Wait()); err != nil {
		t.Fatalf("walk: %v\n%s", err, r.out)
	}
}

// runStack starts a devstack on a data folder, walks, and keeps it up until the test ends.
func runStack(t *testing.T, data string) (r *running, stop func()) {
	t.Helper()
	r, stop = startStack(t, data)
	r.walk(t, -1)
	return r, stop
}

func TestTheWalkEndsWithAnObjectAndSurvivesARestart(t *testing.T) {
	data := t.TempDir()
	first, stop := runStack(t, data)
	said := strings.Join(strings.Fields(first.out.String()), " ") // columns are as wide as what stands in them
	for _, want := range []string{"PASS platform-role", "FAIL assume-with-external-id", "PASS refuse-wrong-external-id", "PASS tag-session", "Written: s3://"} {
		if !strings.Contains(said, want) {
			t.Errorf("the walk does not say %q:\n%s", want, first.out)
		}
	}
	id := first.memory.Integration
	if _, err := start(t.Context(), options{data: data}, telemetry.NewLogger(io.Discard, 0)); err == nil || !strings.Contains(err.Error(), "another devstack") {
		t.Errorf("a second devstack on the same folder: got %v, want a refusal", err)
	}
	stop()
	again, _ := runStack(t, data)
	if !strings.Contains(again.out.String(), id+" is ACTIVE, its trust valid") || !strings.Contains(again.out.String(), "Written: s3://") {
		t.Errorf("after a restart the walk says:\n%s", again.out)
	}
}

func TestAnInterruptedWalkIsWalkedAgain(t *testing.T) {
	data := t.TempDir()
	const binds = 7 // the step after which the walk has all that it remembers
	for n := 1; n <= binds; n++ {
		for _, lost := range []bool{true, false} { // in the step, before its outcome was written down, and after it
			r, stop := startStack(t, data)
			before := r.memory
			r.walk(t, n)
			if n == binds && !strings.Contains(r.out.String(), "interrupted") {
				t.Errorf("after interruptions the walk says:\n%s", r.out)
			}
			if lost {
				if err := r.folder.remember(before); err != nil {
					t.Fatal(err)
				}
			}
			stop()
		}
	}
	for range 2 { // the first of them is the one that comes to the object
		r, stop := startStack(t, data)
		if r.memory.Token == "" {
			t.Fatal("the walk does not remember that all but the sink was done")
		}
		r.walk(t, -1)
		if !strings.Contains(r.out.String(), "Written: s3://") {
			t.Errorf("after interruptions the walk says:\n%s", r.out)
		}
		stop()
	}
}

func TestAStopDuringTheWalkIsInOrder(t *testing.T) {
	hermetic()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := options{env: filepath.Join(t.TempDir(), "env")}
	out := writer(func(text []byte) {
		if bytes.Contains(text, []byte("It still denies everybody")) {
			cancel()
		}
	})
	if err := o.run(ctx, out); err != nil {
		t.Errorf("stopped during the walk: got %v, want no error", err)
	}
	if ctx.Err() == nil {
		t.Error("the walk did not come to its first proof")
	}
}

// writer calls itself with what is written.
type writer func([]byte)

func (w writer) Write(text []byte) (int, error) {
	w(text)
	return len(text), nil
}

// What the roles write is looked at in cmd/internal/app.
func TestTheWalkShowsNoSecret(t *testing.T) {
	r, stop := runStack(t, "")
	var secrets secrettest.Secrets
	secrets.Add(t, "the connector's token", r.memory.Token)
	secrets.Add(t, "the API key's secret", r.memory.APISecret)
	secrets.Add(t, "the platform's key", r.platform.Key.Secret.Reveal())
	secrets.Add(t, "the customer's key", r.customer.Root.Secret.Reveal())
	session := map[string]string{}
	if err := json.Unmarshal(r.get(t, r.credentialsURL(), r.memory.Token), &session); err != nil {
		t.Fatal(err)
	}
	secrets.Add(t, "the session's key", session["SecretAccessKey"])
	secrets.Add(t, "the session's token", session["Token"])
	stop()
	log := telemetry.NewLogger(r.logs, 0)
	secrets.Check(t,
		secrettest.Place{
			Name: "the output", Witness: "Written: s3://", Read: func(testing.TB) []byte { return r.out.Bytes() },
			Plant: func(_ testing.TB, text string) { fmt.Fprintln(r.out, text) },
		},
		secrettest.Place{
			Name: "the log", Witness: "broker started", Read: func(testing.TB) []byte { return r.logs.Bytes() },
			Plant: func(_ testing.TB, text string) { log.Error("planted", "text", text) },
		})
}

func (r *running) get(t *testing.T, url, authorization string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", authorization)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestASecondDevstackTakesNoFilesOfTheFirst(t *testing.T) {
	hermetic()
	env := filepath.Join(t.TempDir(), "env")
	log := filepath.Join(filepath.Dir(env), "env.log")
	o := options{env: env}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var second error
	out := writer(func(text []byte) {
		if second == nil && bytes.Contains(text, []byte("trusts nobody yet")) {
			second = o.run(ctx, io.Discard)
			cancel()
		}
	})
	if err := o.run(ctx, out); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(second, errBusy) {
		t.Errorf("got %v, want a refusal", second)
	}
	if _, err := os.Stat(log + ".1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log of the first was moved: %v", err)
	}
}

func TestAMistakeInTheCommandLineIsExitCode2(t *testing.T) {
	for _, args := range [][]string{{"--prot"}, {"--port", "x"}, {"--port", "-1"}, {"extra"}} {
		c := command()
		c.SetArgs(args)
		var said bytes.Buffer
		if code := report(c.ExecuteContext(t.Context()), &said); code != 2 || !strings.Contains(said.String(), "--help") {
			t.Errorf("%v: got exit code %d and %q, want 2 and where to look", args, code, &said)
		}
	}
	if code := report(errors.New("x"), io.Discard); code != 1 {
		t.Errorf("another error: got exit code %d, want 1", code)
	}
}

func TestWhoeverSourcesTheEnvFileLooksAtThisStackAsThePlatform(t *testing.T) {
	r, _ := runStack(t, "")
	text, err := os.ReadFile(r.options.env)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			t.Setenv(name, strings.Trim(value, "'"))
		}
	}
	c := app.Defaults()
	if err := config.Load(os.Getenv("ROLEBRIDGE_CONFIG"), nil, &c); err != nil {
		t.Fatal(err)
	}
	known := false
	p := doctor.Patient{Config: c, Roles: app.Roles(), API: func(context.Context) error { return nil }}
	if err := p.Examine(t.Context(), func(f doctor.Finding) {
		if f.Verdict != doctor.OK && f.Part != "signatures" { // a devstack signs nothing
			t.Errorf("got %+v", f)
		}
		known = known || f.Found == "STS knows us as "+r.platform.ARN
	}); err != nil {
		t.Fatal(err)
	}
	if !known {
		t.Error("the doctor is not the platform")
	}
}

func TestTheEnvFileIsForItsOwnerAndComplete(t *testing.T) {
	r, _ := runStack(t, "")
	info, err := os.Stat(r.options.env)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the env file has mode %v, %v; want 0600", info.Mode(), err)
	}
	text, err := os.ReadFile(r.options.env)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"ROLEBRIDGE_CONFIG", "ROLEBRIDGE_URL", "ROLEBRIDGE_KEY", "ROLEBRIDGE_SECRET", "ROLEBRIDGE_ENVIRONMENT", "KAFKA_BROKERS", "AWS_ENDPOINT_URL",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "DEVSTACK_BUCKET",
	} {
		if !strings.Contains(string(text), "export "+name+"='") || strings.Contains(string(text), "export "+name+"=''") {
			t.Errorf("the env file lacks %s", name)
		}
	}
}

package creds_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestAProfileLivesOnACredentialProcess(t *testing.T) {
	t.Parallel()
	testenv.PythonSDK(t)
	rolebridge := filepath.Join(t.TempDir(), "rolebridge")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", rolebridge, "../cmd/rolebridge").CombinedOutput(); err != nil {
		t.Fatalf("build rolebridge: %v\n%s", err, out)
	}
	for name, process := range map[string]struct {
		command func(w *awsWorld) string
		wrong   string // what the SDK shows of a wrong token
	}{
		"rolebridge credentials": {
			func(w *awsWorld) string {
				return fmt.Sprintf("%s credentials --url %s --token-file %s", rolebridge, w.url, w.file)
			},
			"the token is not known",
		},
		// The token goes through a pipe: a command line is to be seen by all users of a machine.
		"curl": {
			func(w *awsWorld) string {
				return fmt.Sprintf(`%s -c 'printf "Authorization: %%s" "$(cat %s)" | %s -sS --fail-with-body -H @- "%s?format=process"'`,
					"/bin/sh", w.file, testenv.Curl(t), w.url)
			},
			"The requested URL returned error: 401",
		},
	} {
		for _, sdk := range []string{"boto3", "AWS CLI 1"} {
			t.Run(name+" with "+sdk, func(t *testing.T) {
				t.Parallel()
				w := openAWSWorld(t)
				front := w.front(t, sdks[sdk].life)
				w.profile(t, process.command(w))
				c := sdks[sdk].open(t, w.env)
				livesOnTheBroker(t, w, front, c)

				w.writeToken(t, credstest.NewToken())
				if got := sdks[sdk].open(t, w.env).write(t, "wrong"); !strings.Contains(got.Error, process.wrong) {
					t.Errorf("with a wrong token the SDK shows %+v, want an error with %q", got, process.wrong)
				}
			})
		}
	}
}

// profile leaves nothing in the environment but the name of a profile that has a credential_process.
func (w *awsWorld) profile(t *testing.T, command string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	must(t, os.WriteFile(file, []byte("[profile orders-sink]\ncredential_process = "+command+"\n"), 0o600))
	delete(w.env, creds.EnvURL)
	delete(w.env, creds.EnvTokenFile)
	w.env["AWS_CONFIG_FILE"], w.env["AWS_PROFILE"] = file, "orders-sink"
}

// A command of the CLI ends before its session does, but for one that copies much.
func TestALongCommandOfTheCLIAsksForSessionsAgain(t *testing.T) {
	t.Parallel()
	w := openAWSWorld(t)
	front := w.front(t, 10*time.Minute)
	bucket := w.bucket(t)
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("an order"), 0o600))
	}
	c := &cli{env: w.env, python: testenv.PythonSDK(t)}
	if _, log, err := c.run(t, "s3", "cp", "--recursive", dir, "s3://orders/"); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got := front.reads.Load(); got < 2 {
		t.Errorf("one command read %d sessions, want it to ask again", got)
	}
	wantObjects(t, bucket, "a", "b", "c")
}

package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/internal/config"
)

// withBook is a command line with a file of contexts of its own, and nothing in its environment.
func withBook(t *testing.T) *cli {
	t.Helper()
	return &cli{env: map[string]string{envContexts: filepath.Join(t.TempDir(), "rolebridge", "config.yaml")}}
}

func TestAContextStandsInForFlagsAndVariables(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := withBook(t)
	create(t, at(s, apitest.Admin), "--customer-role-arn", roleARN)
	if got := c.want(t, 2, "pi", "list"); !strings.Contains(got.err, "rolebridge context create") {
		t.Errorf("got %q, want what to do", got.err)
	}
	c.stdin = apitest.Secret + "\n"
	made := c.want(t, 0, "context", "create", "a", "--url", s.URL+"/", "--api-key", apitest.Admin, "--environment", "env-abcdef")
	if !strings.Contains(made.out, "| Current     | yes") {
		t.Errorf("the first context is not current: %s", made.out)
	}
	c.want(t, 0, "context", "create", "b", "--url", s.URL, "--key-file", file(t, "key", apitest.Other+":"+apitest.Secret), "--environment", "env-other")
	inA, inB := "s3-provider-integration", "None found."
	for _, one := range []struct {
		what, want string
		env        map[string]string
		args       []string
	}{
		{"the current context", inA, nil, nil},
		{"a flag names another", inB, nil, []string{"--context", "b"}},
		{"a variable names another", inB, map[string]string{envContext: "b"}, nil},
		{"a flag goes before that variable", inA, map[string]string{envContext: "b"}, []string{"--context", "a"}},
		{"a variable goes before the context", inB, map[string]string{envEnvironment: "env-other"}, nil},
		{"a flag goes before the variable", inA, map[string]string{envEnvironment: "env-other"}, []string{"--environment", "env-abcdef"}},
		{"a context that a flag names goes before the variables", inA, map[string]string{
			envURL: "http://127.0.0.1:1", envKey: "x", envSecret: "y", envEnvironment: "env-other",
		}, []string{"--context", "a"}},
		{"a key of variables goes before the context's", inB, map[string]string{envKey: apitest.Other, envSecret: apitest.Secret}, nil},
		{"variables alone", inA, map[string]string{
			envURL: s.URL, envKey: apitest.Admin, envSecret: apitest.Secret, envEnvironment: "env-abcdef", envContexts: filepath.Join(t.TempDir(), "none"),
		}, nil},
	} {
		with := &cli{env: map[string]string{envContexts: c.env[envContexts]}}
		maps.Copy(with.env, one.env)
		if got := with.want(t, 0, append([]string{"pi", "list"}, one.args...)...); !strings.Contains(got.out, one.want) {
			t.Errorf("%s: got %s, want %s", one.what, got.out, one.want)
		}
	}
	for _, verb := range [][]string{{"connector", "list", "cspi-unknown1"}, {"access", "user", "list"}, {"pi", "describe", "cspi-unknown1"}} {
		if got := c.want(t, 4, append(verb, "--context", "c")...); !strings.Contains(got.err, `context "c" does not exist`) {
			t.Errorf("%v: got %q", verb, got.err)
		}
	}
}

func TestAContextsKeyIsSentToItsOwnAddressOnly(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := withBook(t)
	c.want(t, 0, "context", "create", "a", "--url", "https://rolebridge.example.com", "--key-file", file(t, "key", apitest.Admin+":"+apitest.Secret), "--environment", "env-abcdef")
	for _, other := range []func() result{
		func() result { return c.want(t, 2, "pi", "list", "--url", s.URL) },
		func() result {
			return (&cli{env: map[string]string{envContexts: c.env[envContexts], envURL: s.URL}}).want(t, 2, "pi", "list")
		},
	} {
		if got := other(); !strings.Contains(got.err, "is sent nowhere else") || strings.Contains(got.err, apitest.Secret) {
			t.Errorf("got %q", got.err)
		}
	}
	// The environment is no secret, and a key that goes with the address is enough.
	c.want(t, 0, "pi", "list", "--url", s.URL, "--key-file", file(t, "key", apitest.Admin+":"+apitest.Secret))
}

func TestContextsAreListedUsedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	c := withBook(t)
	if got := c.want(t, 0, "context", "list"); got.out != "None found.\n" {
		t.Errorf("got %q", got.out)
	}
	c.env[envURL], c.env[envKey], c.env[envSecret], c.env[envEnvironment] = "https://one.example.com", "KEY1", "hush-hush", "env-1"
	all := []result{c.want(t, 0, "context", "create", "one")}
	second := c.want(t, 0, "context", "create", "two", "--url", "https://two.example.com")
	if all[0].err != "" || !strings.Contains(second.err, `"one" stays the current one`) || !strings.Contains(second.err, "rolebridge context use two") {
		t.Errorf("got %q and %q, want what to do for the second to be used", all[0].err, second.err)
	}
	all = append(all, second)
	listed := c.want(t, 0, "context", "list")
	golden(t, "contexts", listed.out)
	golden(t, "contexts-yaml", c.want(t, 0, "context", "list", "-o", "yaml").out)
	all = append(all, listed, c.want(t, 5, "context", "create", "one"))
	c.want(t, 0, "context", "use", "two")
	if got := read[saved](t, c.want(t, 0, "context", "describe", "-o", "json")); got.Name != "two" || !got.Current || got.URL != "https://two.example.com" || got.Key != "KEY1" {
		t.Errorf("got %+v", got)
	}
	all = append(all, c.want(t, 0, "context", "update", "--name", "second", "--environment", "env-2"))
	if got := read[saved](t, c.want(t, 0, "context", "describe", "second", "-o", "json")); !got.Current || got.Environment != "env-2" || got.URL != "https://two.example.com" {
		t.Errorf("got %+v", got)
	}
	all = append(all, c.want(t, 4, "context", "describe", "two"), c.want(t, 4, "context", "use", "two"), c.want(t, 5, "context", "update", "second", "--name", "one"))
	c.want(t, 2, "context", "update")
	c.want(t, 2, "context", "update", "--name", "a b")
	c.want(t, 2, "context", "create", "../x")
	c.want(t, 2, "context", "create", "x", "--url", "one.example.com")
	c.want(t, 2, "context", "create", "x", "--api-key", "K", "--key-file", "f")
	c.stdin = ""
	c.want(t, 2, "context", "create", "x", "--api-key", "K")
	c.want(t, 4, "context", "delete", "one", "two") // and asks nothing
	c.stdin = "n\n"
	if got := c.want(t, 2, "context", "delete", "second"); !strings.HasSuffix(got.err, "Error: nothing was deleted; use --force to delete without being asked\n") {
		t.Errorf("got %q", got.err)
	}
	c.stdin = "y\n"
	gone := c.want(t, 0, "context", "delete", "second")
	if !strings.Contains(gone.out, `Deleted context "second".`) || !strings.Contains(gone.err, "No context is current") {
		t.Errorf("got %q and %q", gone.out, gone.err)
	}
	url := c.env[envURL]
	delete(c.env, envURL)
	if got := c.want(t, 2, "pi", "list"); !strings.Contains(got.err, "rolebridge context use <name>") {
		t.Errorf("got %q, want that there is one to choose", got.err)
	}
	c.env[envURL] = url
	c.want(t, 2, "context", "describe")
	c.want(t, 0, "context", "describe", "one")
	c.want(t, 0, "context", "delete", "one", "--force")
	for _, one := range append(all, gone) {
		if strings.Contains(one.out+one.err, "hush-hush") {
			t.Errorf("the secret was printed: %q %q", one.out, one.err)
		}
	}
}

func TestALooseFileOfContextsIsMendedWithAWarning(t *testing.T) {
	t.Parallel()
	c := withBook(t)
	c.env[envURL], c.env[envKey], c.env[envSecret] = "https://one.example.com", "KEY1", "hush-hush"
	c.want(t, 0, "context", "create", "one")
	path := c.env[envContexts]
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, %v; want mode 0600", info, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := c.want(t, 0, "context", "list"); !strings.Contains(got.err, "Warning: ") || !strings.Contains(got.err, "mode 0644") {
		t.Errorf("got %q, want a warning", got.err)
	}
	if got := c.want(t, 0, "context", "list"); got.err != "" {
		t.Errorf("got %q, want no second warning", got.err)
	}
}

func TestTheCommandLinesVariablesAreNoSettingsOfTheServer(t *testing.T) {
	t.Parallel()
	var none struct{}
	for _, name := range []string{envURL, envKey, envSecret, envEnvironment, envContext, envContexts, envOperations} {
		if err := config.Load("", []string{name + "=x"}, &none); err != nil {
			t.Errorf("%s keeps the server from starting: %v", name, err)
		}
	}
}

func TestWhileASecretIsAskedForOthersChangeTheFile(t *testing.T) {
	t.Parallel()
	c := withBook(t)
	in, typed := io.Pipe()
	asked := make(chan struct{})
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"context", "create", "a", "--url", "https://a.example.com", "--api-key", "K"}, streams{
			in: in, out: io.Discard, err: &prompted{asked: asked}, env: func(name string) string { return c.env[name] }, home: c.homeless,
		})
	}()
	<-asked
	c.want(t, 0, "context", "create", "b", "--url", "https://b.example.com", "--key-file", file(t, "key", "K:hush"))
	if _, err := io.WriteString(typed, "hush\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != 0 {
		t.Errorf("got exit code %d", code)
	}
	if got := c.want(t, 0, "context", "list"); !strings.Contains(got.out, "a.example.com") || !strings.Contains(got.out, "b.example.com") {
		t.Errorf("got %s, want both", got.out)
	}
	// What cannot be done asks nothing.
	for _, args := range [][]string{{"create", "a"}, {"update", "none"}} {
		got := (&cli{env: c.env, stdin: "hush\n"}).run(t, append([]string{"context", args[0], args[1]}, "--api-key", "K")...)
		if got.code == 0 || strings.Contains(got.err, "Secret of") {
			t.Errorf("%v: got %d, %q", args, got.code, got.err)
		}
	}
}

// prompted is a standard error that tells of the first thing that is written to it.
type prompted struct{ asked chan struct{} }

func (p *prompted) Write(text []byte) (int, error) {
	if p.asked != nil {
		close(p.asked)
		p.asked = nil
	}
	return len(text), nil
}

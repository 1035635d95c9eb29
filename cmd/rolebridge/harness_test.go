package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api/apitest"
)

var update = flag.Bool("update", false, "write golden files anew")

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// cli runs command lines.
type cli struct {
	env   map[string]string
	stdin string
}

// at is a command line that asks site s with a key.
func at(s *apitest.Site, key string) *cli {
	return &cli{env: map[string]string{
		envURL: s.URL, envKey: key, envSecret: apitest.Secret, envEnvironment: string(apitest.Environment),
	}}
}

// homeless keeps the contexts of whoever runs the tests out of them: one who wants contexts sets envContexts.
func (c *cli) homeless() (string, error) { return "", errors.New("no home in tests") }

func (c *cli) run(t *testing.T, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // so that nothing hangs
	defer cancel()
	code := run(ctx, args, streams{
		in: strings.NewReader(c.stdin), out: &out, err: &err, env: func(name string) string { return c.env[name] }, home: c.homeless,
	})
	return result{code, out.String(), err.String()}
}

// runSaying runs a command line, and closes said once it has printed a line of progress on standard error.
func (c *cli) runSaying(t *testing.T, said chan struct{}, args ...string) result {
	t.Helper()
	var out bytes.Buffer
	err := saying{said: said}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // so that nothing hangs
	defer cancel()
	code := run(ctx, args, streams{
		in: strings.NewReader(c.stdin), out: &out, err: &err, env: func(name string) string { return c.env[name] }, home: c.homeless,
	})
	return result{code, out.String(), err.String()}
}

// saying is a standard error of which somebody is told that trust was spoken of.
type saying struct {
	bytes.Buffer
	said chan struct{}
}

func (s *saying) Write(text []byte) (int, error) {
	if s.said != nil && bytes.Contains(text, []byte("; trust ")) {
		close(s.said)
		s.said = nil
	}
	return s.Buffer.Write(text)
}

// want runs a command line and compares the exit code.
func (c *cli) want(t *testing.T, code int, args ...string) result {
	t.Helper()
	got := c.run(t, args...)
	if got.code != code {
		t.Errorf("%s: got exit code %d, want %d\n%s%s", strings.Join(args, " "), got.code, code, got.out, got.err)
	}
	return got
}

// golden compares text with a file of testdata, or writes the file with -update.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, text, want)
	}
}

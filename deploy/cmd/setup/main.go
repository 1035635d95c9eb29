// Command setup prepares what the installation of docker-compose.yml needs and what no image may hold: a keyset, an API
// key, a token between two roles, and an identity of rolebridge's own in the stand-in for AWS.
//
// It is for that installation only: a real one has its secrets from a vault and its identity from its platform. It starts
// nothing, and a second run changes nothing that still works.
//
// The life of a run: settings come from SETUP_… variables; each part is looked at, and made if it is missing; files are
// put in place whole and readable by their owner only.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/creds"
)

// settings are all needed.
type settings struct {
	Folder       string // of the files
	AWSEndpoint  string
	AWSAccount   string // its id is the root's access key in the stand-in
	Key          string // the API key and whose it is
	Secret       string
	Organization string
	Principal    string
}

// within bounds the wait for the stand-in, which starts beside us.
const within = 2 * time.Minute

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(log); err != nil {
		log.Error("setup failed", "error", err)
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	s, err := read(os.Getenv)
	if err != nil {
		return err
	}
	return s.apply(ctx, log)
}

func read(env func(string) string) (s settings, err error) {
	for name, into := range map[string]*string{
		"FOLDER": &s.Folder, "AWS_ENDPOINT": &s.AWSEndpoint, "AWS_ACCOUNT": &s.AWSAccount, "KEY": &s.Key, "SECRET": &s.Secret,
		"ORGANIZATION": &s.Organization, "PRINCIPAL": &s.Principal,
	} {
		if *into = env("SETUP_" + name); *into == "" {
			err = errors.Join(err, fmt.Errorf("SETUP_%s is missing", name))
		}
	}
	return s, err
}

func (s settings) apply(ctx context.Context, log *slog.Logger) error {
	if err := creds.WriteKeyset(ctx, s.file("keyset.json")); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.writeKey(); err != nil {
		return err
	}
	if err := s.writeToken(); err != nil {
		return err
	}
	made, err := s.identity(ctx)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "prepared", "folder", s.Folder, "key", s.Key, "identity_made", made)
	return nil
}

func (s settings) file(name string) string { return filepath.Join(s.Folder, name) }

// writeKey writes the file of API keys as the settings have it now: a changed secret counts from the api's next start.
func (s settings) writeKey() error {
	type key struct{ Key, Secret, Organization, Principal string }
	text, err := yaml.Marshal(map[string][]key{"keys": {{s.Key, s.Secret, s.Organization, s.Principal}}}) //nolint:gosec // for its owner only
	if err != nil {
		return err
	}
	return place(s.file("keys.yaml"), text)
}

// writeToken writes the text that the api and the trust worker both know, once.
func (s settings) writeToken() error {
	path := s.file("dry-run-token")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return place(path, []byte(rand.Text()+rand.Text()))
}

// place puts a file in place at once, so that nobody reads half of it.
func place(path string, text []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}

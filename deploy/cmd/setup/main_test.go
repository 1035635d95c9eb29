package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestASecondRunKeepsWhatWorks(t *testing.T) {
	s := settings{
		Folder: t.TempDir(), AWSEndpoint: testenv.MiniStack(t), AWSAccount: testenv.Account(t),
		Key: "DEMO", Secret: "only-for-this-demonstration", Organization: "org-demo", Principal: "u-admin",
	}
	read := func() map[string]string {
		t.Helper()
		files := map[string]string{}
		for _, name := range []string{"keyset.json", "keys.yaml", "dry-run-token", "aws-credentials"} {
			text, err := os.ReadFile(s.file(name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(text)
			if info, err := os.Stat(s.file(name)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
			}
		}
		return files
	}
	run := func() map[string]string {
		t.Helper()
		if err := s.apply(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		return read()
	}
	first, second := run(), run()
	for name := range first {
		if first[name] != second[name] {
			t.Errorf("%s was made anew", name)
		}
	}
	if ring, err := api.ReadKeys(s.file("keys.yaml")); err != nil {
		t.Error(err)
	} else if k, ok := ring.Key("DEMO"); !ok || k.Principal != "u-admin" {
		t.Errorf("the key is %+v, %t", k, ok)
	}
	if _, err := creds.OpenSealer(s.file("keyset.json")); err != nil {
		t.Error(err)
	}

	// As after a restart of the stand-in.
	forgotten := "[default]\naws_access_key_id = AKIAFORGOTTEN0000000\naws_secret_access_key = x\n"
	if err := os.WriteFile(filepath.Join(s.Folder, "aws-credentials"), []byte(forgotten), 0o600); err != nil {
		t.Fatal(err)
	}
	if third := run(); third["aws-credentials"] == forgotten {
		t.Error("a key that the stand-in does not know was kept")
	}
}

func TestEveryMissingSettingIsNamed(t *testing.T) {
	t.Parallel()
	if _, err := read(func(string) string { return "" }); err == nil || len(err.Error()) < 7*len("SETUP_") {
		t.Errorf("got %v, want all seven settings", err)
	}
}

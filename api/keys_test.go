package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

func keyFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeysAreReadWithTheirSecretsOrTheHashes(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(apitest.Secret))
	path := keyFile(t, "keys:\n  - {key: A, secret: "+apitest.Secret+", organization: o, principal: u-a}\n"+
		"  - {key: B, secret_sha256: "+hex.EncodeToString(sum[:])+", organization: o, principal: u-b}\n", 0o600)
	ring, err := api.ReadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	for id, principal := range map[string]string{"A": "u-a", "B": "u-b"} {
		key, ok := ring.Key(id)
		if !ok || string(key.Principal) != principal || key.Hash != api.HashSecret(secret.New(apitest.Secret)) {
			t.Errorf("%s: got %+v, %v", id, key, ok)
		}
	}
}

func TestWrongKeysAreNamedAndTheirSecretsAreNot(t *testing.T) {
	t.Parallel()
	const text = `keys:
  - {key: "a:b", secret: short-and-secret, organization: o, principal: u}
  - {key: B, secret: also-secret-and-long-enough, secret_sha256: "00", organization: "", principal: ""}
  - {key: C, secret_sha256: zz, organization: o, principal: u}
  - {key: C, secret: another-secret-that-is-long, organization: o, principal: u}
`
	_, err := api.ReadKeys(keyFile(t, text, 0o644))
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"mode 0600", "keys[0].key", "keys[0].secret", "keys[1].secret", "keys[1].organization", "keys[1].principal", "keys[2].secret_sha256", "C is there twice",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "-secret-") {
		t.Errorf("a secret is in: %v", err)
	}
	if _, err := api.ReadKeys(keyFile(t, "keys:\n  - {kee: leaked-secret-leaked}\n", 0o600)); err == nil || strings.Contains(err.Error(), "leaked") {
		t.Errorf("an unknown field: got %v, want an error without the file's text", err)
	}
	if _, err := api.ReadKeys(keyFile(t, "keys: []\n---\nkeys: []\n", 0o600)); err == nil || !strings.Contains(err.Error(), "a second document") {
		t.Errorf("two documents: got %v", err)
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestAKeysetUnderAKMSKeyIsRotatedInThreeSteps(t *testing.T) {
	moto := testenv.Moto(t)
	road, key, other := awstest.RoadTo(t, moto), awstest.KMSKey(t, moto), awstest.KMSKey(t, moto)
	t.Setenv("AWS_ACCESS_KEY_ID", "any")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "any")
	dir := t.TempDir()
	settings, file := filepath.Join(dir, "rolebridge.yaml"), filepath.Join(dir, "keyset.json")
	if err := os.WriteFile(settings, []byte("aws: {endpoint: '"+road.URL+"'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cli{}
	under := func(key string, code int, verb ...string) result {
		t.Helper()
		return c.want(t, code, append(append([]string{"keyset"}, verb...), "--kms", key, "-c", settings)...)
	}
	if got := under(key, 0, "create", file); !strings.Contains(got.out, "broker.keyset_kms:\n  "+key) {
		t.Errorf("create does not say what to set: %s", got.out)
	}
	under(key, 5, "create", file)
	old, _, _ := strings.Cut(under(key, 0, "list", file).out, " ")
	add := under(key, 0, "add", file).out
	added, _, _ := strings.Cut(add, " ")
	if next := "keyset promote " + file + " " + added + " --kms " + key; !strings.Contains(add, next) {
		t.Errorf("add does not say that %s is next: %s", next, add)
	}
	under(key, 0, "promote", file, added)
	under(key, 0, "remove", file, old)
	if got := under(key, 0, "list", file).out; got != added+" seals and opens\n" {
		t.Errorf("in the end: %q", got)
	}

	if got := c.want(t, 2, "keyset", "list", file); !strings.Contains(got.err, "--kms") {
		t.Errorf("without --kms: %s", got.err)
	}
	under(other, 3, "list", file)
	if got := under("alias/rolebridge", 2, "list", file); !strings.Contains(got.err, "--kms") {
		t.Errorf("with an alias: %s", got.err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	road.Cut.Store(true)
	under(key, 7, "list", file)
	under(key, 7, "add", file)
	under(key, 7, "create", file+"2")
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file changed without KMS: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("without KMS a file was left: %v, %v", left, err)
	}
}

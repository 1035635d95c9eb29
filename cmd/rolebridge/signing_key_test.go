package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

func TestAKeyIsMadeRegisteredAndSignsWhatIsRequiredToBeSigned(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.apply(t)
	file := filepath.Join(t.TempDir(), "plane.pem")
	made := p.want(t, 0, "signing-key", "create", file, "--name", "plane", "--actor", "platform:cli")
	signers, err := signature.ParseSigners([]byte(made.out))
	if err != nil {
		t.Fatalf("what is printed is no file of signers: %v\n%s", err, made.out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v; want mode 0600", info, err)
	}
	if got := p.want(t, 5, "signing-key", "create", file, "--name", "plane", "--actor", "platform:cli"); !strings.Contains(got.err, "never overwritten") {
		t.Errorf("a second time: %s", got.err)
	}
	p.decide(t, func(c *lifecycle.Config) {
		c.Proof = signature.Policy{Required: true, Signers: func() *signature.Signers { return signers }}
	})
	if got := p.want(t, 8, "organization", "create", "org-1", "--admin", "u-admin"); !strings.Contains(got.err, "has no signature") {
		t.Errorf("unsigned: %s", got.err)
	}
	if got := p.want(t, 0, "organization", "create", "org-1", "--admin", "u-admin", "--signing-key", file); got.out != "org-1: organization.created, version 1\n" {
		t.Errorf("signed: %s%s", got.out, got.err)
	}
	if got := p.want(t, 0, "signing-key", "show", file, "-o", "json"); !strings.Contains(made.out, jsonField(t, got.out, "public_key")) {
		t.Errorf("show: %s is not what was registered:\n%s", got.out, made.out)
	}
	for _, wrong := range []string{
		"create x.pem --actor u-1", "create x.pem --name a", "show " + file + "x", "sign " + file, "create",
	} {
		if got := p.want(t, 2, append([]string{"signing-key"}, strings.Fields(wrong)...)...); got.out != "" {
			t.Errorf("%s: printed %s", wrong, got.out)
		}
	}
	p.stdin = `{"specversion": "1.0", "id": "c-1", "data": {"b": 1, "a": 2}}`
	signed := p.want(t, 0, "signing-key", "sign", file)
	if !strings.Contains(signed.out, `"data":{"a":2,"b":1}`) || len(jsonField(t, signed.out, "signature")) != 86 {
		t.Errorf("sign: %s", signed.out)
	}
}

func jsonField(t *testing.T, text, name string) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	value, _ := all[name].(string)
	return value
}

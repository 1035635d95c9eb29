package app_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/internal/config"
)

// FuzzTheSettings: no file of settings makes us panic, neither when it is read nor when it is judged.
func FuzzTheSettings(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "kafka: {brokers: [a:1]}", "api: {listen: \"127.0.0.1:0\", rate: -1, trusted_proxies: [\"10.0.0.0/8\"]}", "topics: {partitions: 99999999999}",
		"broker: {spiffe: [{trust_domain: x, file: y}], keyset_kms: \"arn:\"}", "aws: {accounts: [{id: 1}], identities: [\"\", \"arn:a:b:c:d:e\"]}",
		"a: &a [*a]", "stop_within: 1h1h", "telemetry: {log_level: loud}", "redis: {address: [1, 2]}", "? {a: b} : c",
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "rolebridge.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c := app.Defaults()
		if config.Load(path, nil, &c) == nil {
			_ = c.Validate(app.Roles()) // faults are fine
		}
	})
}

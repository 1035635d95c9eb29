package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/internal/config"
)

type settings struct {
	Kafka struct {
		Brokers []string      `koanf:"brokers"`
		Wait    time.Duration `koanf:"max_wait"`
	} `koanf:"kafka"`
	Name string `koanf:"name"`
}

func load(t *testing.T, yaml string, environ ...string) (settings, error) {
	t.Helper()
	path := ""
	if yaml != "" {
		path = filepath.Join(t.TempDir(), "settings.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var s settings
	s.Name, s.Kafka.Wait = "default", time.Second
	err := config.Load(path, environ, &s)
	return s, err
}

func TestTheEnvironmentOverridesTheFileAndTheFileTheDefaults(t *testing.T) {
	s, err := load(t, "kafka:\n  brokers: [a:1]\n  max_wait: 5s\n", "ROLEBRIDGE_KAFKA__BROKERS=b:1,c:2", "ROLEBRIDGE_KEY=k", "OTHER=x")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Kafka.Brokers, []string{"b:1", "c:2"}) || s.Kafka.Wait != 5*time.Second || s.Name != "default" {
		t.Errorf("got %+v", s)
	}
}

func TestAMisspeltSettingFails(t *testing.T) {
	if _, err := load(t, "kafka:\n  brokesr: [a:1]\nnmae: x\n"); err == nil || !strings.Contains(err.Error(), "brokesr") || !strings.Contains(err.Error(), "nmae") {
		t.Errorf("got %v, want both keys named", err)
	}
	if _, err := load(t, "", "ROLEBRIDGE_KAFKA_BROKERS=b:1"); err == nil || !strings.Contains(err.Error(), "kafka_brokers") {
		t.Errorf("got %v, want the variable with one underscore too few named", err)
	}
	if s, err := load(t, "", "ROLEBRIDGE_NAME=n", "ROLEBRIDGE_SECRET=x", "ROLEBRIDGE_ACTOR=u", "ROLEBRIDGE_PREFIX=p.", "ROLEBRIDGE_TEST_CONTRACT_SEED=1"); err != nil || s.Name != "n" {
		t.Errorf("got %+v, %v; want the setting at the top", s, err)
	}
	if _, err := load(t, "", "ROLEBRIDGE_KAFKA__NO_SUCH=1"); err == nil || !strings.Contains(err.Error(), "no_such") {
		t.Errorf("got %v, want the variable named", err)
	}
	if _, err := load(t, "name: a\n---\nname: b\n"); err == nil || !strings.Contains(err.Error(), "a second document") {
		t.Errorf("got %v, want no document that counts for nothing", err)
	}
	if _, err := load(t, "kafka:\n  max_wait: soon\n"); err == nil {
		t.Error("a duration that is none was accepted")
	}
}

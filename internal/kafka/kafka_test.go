package kafka_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/internal/kafka"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestFaultsAreNamedWithTheirPath(t *testing.T) {
	c := kafka.Config{TLS: kafka.TLS{CertFile: "x"}, SASL: kafka.SASL{Mechanism: "SCRAM-MD5"}}
	err := c.Validate()
	for _, want := range []string{"kafka.brokers", "kafka.tls", "kafka.sasl.mechanism: SCRAM-MD5"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if err := kafka.Defaults().Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	c = kafka.Config{Brokers: []string{"b:1"}, SASL: kafka.SASL{Mechanism: "PLAIN", User: "u", PasswordFile: "/no/such/file"}}
	if _, err := c.Options(); err == nil || !strings.Contains(err.Error(), "kafka.sasl") {
		t.Errorf("a password file that is missing: got %v", err)
	}
	c = kafka.Config{Brokers: []string{"b:1"}, TLS: kafka.TLS{CAFile: "kafka_test.go"}}
	if _, err := c.Options(); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("a CA file without a certificate: got %v", err)
	}
}

func TestAWrongPasswordIsToldAtOnce(t *testing.T) {
	broker, _ := testenv.GuardedKafka(t, nil,
		testenv.KafkaFormat("--add-scram", "SCRAM-SHA-512=[name=rolebridge,password=right-password]"),
		testenv.KafkaProperty("sasl.enabled.mechanisms", "SCRAM-SHA-512,PLAIN"),
		testenv.KafkaProperty("listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config",
			`org.apache.kafka.common.security.scram.ScramLoginModule required;`),
	)
	ping := func(password string) error {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		options, err := kafka.Config{Brokers: broker.Brokers(), SASL: kafka.SASL{Mechanism: "SCRAM-SHA-512", User: "rolebridge", PasswordFile: file}}.Options()
		if err != nil {
			t.Fatal(err)
		}
		cl, err := kgo.NewClient(options...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		return cl.Ping(t.Context())
	}
	if err := ping("right-password"); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	if err := ping("wrong-password"); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("with a wrong password: got %v, want SASL_AUTHENTICATION_FAILED", err)
	} else if strings.Contains(err.Error(), "wrong-password") {
		t.Error("the error shows the password")
	}
}

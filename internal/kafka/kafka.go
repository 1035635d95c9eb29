// Package kafka says how to reach a Kafka cluster: addresses, TLS and SASL, as settings of every process.
//
// It holds no client and no topics: whoever needs a client makes one of [Config.Options] and owns it.
package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/rolebridge/rolebridge/internal/secret"
)

// Config says how to reach Kafka.
type Config struct {
	// Brokers are addresses to start from, host:port.
	Brokers []string `koanf:"brokers"`
	TLS     TLS      `koanf:"tls"`
	SASL    SASL     `koanf:"sasl"`
}

// TLS is used when Enabled, or when any file is named.
type TLS struct {
	Enabled bool `koanf:"enabled"`
	// CAFile holds the authorities that may sign the brokers' certificates; the system's by default.
	CAFile string `koanf:"ca_file"`
	// CertFile and KeyFile are our own certificate, for mutual TLS.
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
}

// SASL authenticates us; not used while Mechanism is empty.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism    string `koanf:"mechanism"`
	User         string `koanf:"user"`
	PasswordFile string `koanf:"password_file"`
}

// Defaults is a broker on this machine.
func Defaults() Config { return Config{Brokers: []string{"127.0.0.1:9092"}} }

// Validate reports all faults at once, each as "path: value: what is allowed".
func (c Config) Validate() error {
	var faults []error
	if len(c.Brokers) == 0 {
		faults = append(faults, errors.New("kafka.brokers: empty: want at least one host:port"))
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		faults = append(faults, errors.New("kafka.tls: want both cert_file and key_file, or neither"))
	}
	switch c.SASL.Mechanism {
	case "":
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if c.SASL.User == "" || c.SASL.PasswordFile == "" {
			faults = append(faults, errors.New("kafka.sasl: want user and password_file with a mechanism"))
		}
	default:
		faults = append(faults, fmt.Errorf("kafka.sasl.mechanism: %s: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", c.SASL.Mechanism))
	}
	return errors.Join(faults...)
}

// Options reads the files that c names and returns the options of a client.
func (c Config) Options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID("rolebridge"),
		// A cluster that restarts must not stop us, and must be found again soon after.
		kgo.RetryBackoffFn(func(try int) time.Duration { return min(time.Duration(try)*100*time.Millisecond, 2*time.Second) }),
		kgo.MetadataMinAge(500 * time.Millisecond),
	}
	if c.TLS != (TLS{}) {
		config, err := c.TLS.config()
		if err != nil {
			return nil, fmt.Errorf("kafka.tls: %w", err)
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	if c.SASL.Mechanism != "" {
		mechanism, err := c.SASL.mechanism()
		if err != nil {
			return nil, fmt.Errorf("kafka.sasl: %w", err)
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	password, err := secret.Read(s.PasswordFile)
	if err != nil {
		return nil, err
	}
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: password.Reveal()}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: password.Reveal()}.AsSha256Mechanism(), nil
	default:
		return scram.Auth{User: s.User, Pass: password.Reveal()}.AsSha512Mechanism(), nil
	}
}

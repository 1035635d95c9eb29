package listen_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/internal/listen"
)

func TestPlainHTTPIsForAddressesThatStayHere(t *testing.T) {
	t.Parallel()
	for address, allowed := range map[string]bool{
		"127.0.0.1:8081": true, "127.8.9.1:0": true, "[::1]:8081": true, "localhost:8081": true, "[::ffff:127.0.0.1]:1": true,
		"169.254.170.2:80": true, "169.254.170.23:80": true, "[fd00:ec2::23]:80": true,
		"0.0.0.0:8081": false, ":8081": false, "[::]:8081": false, "10.0.0.1:8081": false, "169.254.169.254:80": false,
		"169.254.170.1:80": false, "broker.internal:8081": false, "localhost.example.com:80": false, "127.1:80": false,
	} {
		s := listen.Defaults()
		s.Listen = address
		err := s.Validate("broker")
		if (err == nil) != allowed {
			t.Errorf("%s without TLS: %v, want it allowed: %t", address, err, allowed)
		}
		if !allowed && !strings.Contains(err.Error(), "broker.insecure_listen: true") {
			t.Errorf("%s: the error does not name the way out: %v", address, err)
		}
		s.InsecureListen = true
		if err := s.Validate("broker"); err != nil {
			t.Errorf("%s when told so: %v", address, err)
		}
		s.InsecureListen, s.TLS.CertFile, s.TLS.KeyFile = false, "cert", "key"
		if err := s.Validate("broker"); err != nil {
			t.Errorf("%s with TLS: %v", address, err)
		}
	}
}

func TestAllFaultsOfAListenerAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	s := listen.Defaults()
	s.Listen, s.TLS.CertFile, s.TLS.ReloadEvery = "8081", "cert", time.Nanosecond
	s.Limits = listen.Limits{Connections: 0, HeaderBytes: 1 << 30, ReadHeader: time.Hour, Write: -1, Idle: time.Hour}
	err := s.Validate("api")
	for _, want := range []string{
		`api.listen: "8081": want host:port`, "api.tls: ", "api.tls.reload_every: ", "api.limits.connections: 0: want 1 to 1000000",
		"api.limits.connections_per_source: ", "api.limits.header_bytes: ", "api.limits.read_header: 1h0m0s: want 10ms to 1m0s",
		"api.limits.read: ", "api.limits.write: ", "api.limits.idle: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

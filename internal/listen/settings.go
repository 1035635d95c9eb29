package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Settings of one listener. Start from [Defaults].
type Settings struct {
	// Listen is host:port; port 0 picks a free one.
	Listen string `koanf:"listen"`
	// InsecureListen allows plain HTTP on any address, for when something else keeps the wire private.
	InsecureListen bool   `koanf:"insecure_listen"`
	TLS            TLS    `koanf:"tls"`
	Limits         Limits `koanf:"limits"`
	// TrustedProxies may say in X-Forwarded-For where a request comes from, as networks, e.g. 10.1.0.0/16.
	TrustedProxies []netip.Prefix `koanf:"trusted_proxies"`
}

// TLS names the certificate of a listener. Without files there is no TLS.
type TLS struct {
	// CertFile holds the certificate and its intermediates, KeyFile its key, as PEM.
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	// ReloadEvery is how often the files are looked at for a change.
	ReloadEvery time.Duration `koanf:"reload_every"`
}

func (t TLS) enabled() bool { return t.CertFile != "" || t.KeyFile != "" }

// Limits keep peers from taking a listener away from others.
type Limits struct {
	// Connections at once; more wait until one ends.
	Connections int `koanf:"connections"`
	// ConnectionsPerSource is how many of them may come from one IPv4 address or IPv6 /64; more are closed at once. Trusted
	// proxies are not counted.
	ConnectionsPerSource int `koanf:"connections_per_source"`
	// HeaderBytes of a request, its first line included. net/http adds 4 KiB of grace.
	HeaderBytes int `koanf:"header_bytes"`
	// ReadHeader bounds the time for a request's header (and for the TLS handshake), Read for the whole request, Write from
	// the end of the header to the end of the answer, Idle between two requests.
	ReadHeader time.Duration `koanf:"read_header"`
	Read       time.Duration `koanf:"read"`
	Write      time.Duration `koanf:"write"`
	Idle       time.Duration `koanf:"idle"`
}

// Defaults suit small requests of thousands of clients. Half of the connections for one source: many clients may stand
// behind one address, and none may have all.
func Defaults() Settings {
	return Settings{
		TLS: TLS{ReloadEvery: 10 * time.Second},
		Limits: Limits{
			Connections: 8192, ConnectionsPerSource: 4096, HeaderBytes: 32 << 10,
			ReadHeader: 5 * time.Second, Read: 30 * time.Second, Write: 2 * time.Minute, Idle: 2 * time.Minute,
		},
	}
}

// plain are the addresses besides loopback at which SDKs accept credentials over plain HTTP: those of the agents of ECS
// and EKS, link-local, so that nothing on them leaves the machine.
var plain = []netip.Addr{
	netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23"), netip.MustParseAddr("fd00:ec2::23"),
}

// StaysHere reports whether what is said to this address does not leave the machine, so that SDKs accept plain HTTP there.
func StaysHere(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsLoopback() || slices.Contains(plain, a)
}

// Validate names all faults, each as `path: value: what is allowed`; part opens the paths, e.g. "broker".
func (s Settings) Validate(part string) error {
	var faults []error
	fault := func(path string, value any, want string) {
		faults = append(faults, fmt.Errorf("%s.%s: %v: want %s", part, path, value, want))
	}
	between := func(path string, value, low, high time.Duration) {
		if value < low || value > high {
			fault(path, value, fmt.Sprintf("%s to %s", low, high))
		}
	}
	host, port, err := net.SplitHostPort(s.Listen)
	switch addr, unknown := netip.ParseAddr(host); {
	case err != nil || port == "":
		fault("listen", fmt.Sprintf("%q", s.Listen), "host:port")
	case s.TLS.enabled() || s.InsecureListen || host == "localhost" || unknown == nil && StaysHere(addr):
	default:
		faults = append(faults, s.exposed(part, s.Listen))
	}
	if (s.TLS.CertFile == "") != (s.TLS.KeyFile == "") {
		fault("tls", fmt.Sprintf("cert_file %q, key_file %q", s.TLS.CertFile, s.TLS.KeyFile), "both or none")
	}
	between("tls.reload_every", s.TLS.ReloadEvery, 10*time.Millisecond, time.Hour)
	l := s.Limits
	if l.Connections < 1 || l.Connections > 1_000_000 {
		fault("limits.connections", l.Connections, "1 to 1000000")
	}
	if l.ConnectionsPerSource < 1 || l.ConnectionsPerSource > l.Connections {
		fault("limits.connections_per_source", l.ConnectionsPerSource, "1 to limits.connections")
	}
	// Workload tokens have thousands of bytes; more than 1 MiB would be memory for whoever asks.
	if l.HeaderBytes < 4<<10 || l.HeaderBytes > 1<<20 {
		fault("limits.header_bytes", l.HeaderBytes, "4096 to 1048576")
	}
	between("limits.read_header", l.ReadHeader, 10*time.Millisecond, time.Minute)
	between("limits.read", l.Read, l.ReadHeader, 10*time.Minute)
	between("limits.write", l.Write, 10*time.Millisecond, 10*time.Minute)
	between("limits.idle", l.Idle, 10*time.Millisecond, 10*time.Minute)
	return errors.Join(faults...)
}

// exposed says what to do about a listener that would show secrets on a wire.
func (s Settings) exposed(part, address string) error {
	return fmt.Errorf("%s.listen: %s: plain HTTP here would show secrets to the network: want loopback, 169.254.170.2, "+
		"169.254.170.23 or fd00:ec2::23, or %s.tls.cert_file and key_file, or %s.insecure_listen: true if something else keeps the wire private",
		part, address, part, part)
}

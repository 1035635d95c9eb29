package listen_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/internal/listen"
)

// FuzzASource: who is no trusted proxy is taken for what it is, whatever it says; who is one is taken for nobody but itself or
// an address that it named.
func FuzzASource(f *testing.F) {
	s := listen.Defaults()
	s.Listen, s.TrustedProxies = "127.0.0.1:0", []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}
	l, err := listen.Open(f.Context(), "broker", s)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Close() })
	for _, peer := range []string{"192.0.2.9:1", "10.1.2.3:1", "[2001:db8::1%eth0]:1", "[::ffff:10.1.2.3]:1", "@", "", "10.1.2.3:99999"} {
		for _, said := range []string{"", "198.51.100.1", "203.0.113.7, 198.51.100.1, 10.1.9.9", "x", "::ffff:198.51.100.1", "2001:db8:1:2::5, fe80::1%e", ",,,", strings.Repeat("10.1.0.1,", 40), "\x00"} {
			f.Add(peer, said)
		}
	}
	f.Fuzz(func(t *testing.T, peer, said string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = peer, []string{said}
		got := l.Sources().Of(r)
		if len(got.String()) > 64 {
			t.Fatalf("a source of %d bytes", len(got.String()))
		}
		at, err := netip.ParseAddrPort(peer)
		if err != nil {
			if got != (listen.Source{}) {
				t.Fatalf("%q is taken for %s", peer, got)
			}
			return
		}
		if got == listen.SourceOf(at.Addr()) {
			return
		}
		plain := at.Addr().Unmap().WithZone("")
		if !s.TrustedProxies[0].Contains(plain) && !s.TrustedProxies[1].Contains(plain) {
			t.Fatalf("%q, which is no proxy, says %q and is taken for %s", peer, said, got)
		}
		for hop := range strings.SplitSeq(said, ",") {
			if a, err := netip.ParseAddr(strings.TrimSpace(hop)); err == nil && listen.SourceOf(a) == got {
				return
			}
		}
		t.Fatalf("%q says %q and is taken for %s", peer, said, got)
	})
}

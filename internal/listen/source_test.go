package listen_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/internal/listen"
)

func TestASourceIsAnAddressOrTheNetworkThatOnePartyHas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		a, b := listen.SourceOf(netip.MustParseAddr(c.a)), listen.SourceOf(netip.MustParseAddr(c.b))
		if (a == b) != c.same {
			t.Errorf("%s and %s: got %s and %s, want the same: %t", c.a, c.b, a, b, c.same)
		}
	}
}

func TestXForwardedForIsBelievedOfTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	s := listen.Defaults()
	s.Listen, s.TrustedProxies = "127.0.0.1:0", []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	l, err := listen.Open(t.Context(), "broker", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, c := range []struct {
		what, peer string
		forwarded  []string
		want       string
	}{
		{"a stranger's header", "192.0.2.9:1", []string{"198.51.100.1"}, "192.0.2.9"},
		{"a proxy's header", "10.1.2.3:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the asker had put there before", "10.1.2.3:1", []string{"203.0.113.7, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.1.2.3:1", []string{"203.0.113.7, 198.51.100.1, 10.1.9.9"}, "198.51.100.1"},
		{"two headers", "10.1.2.3:1", []string{"203.0.113.7", "198.51.100.1,10.1.9.9"}, "198.51.100.1"},
		{"proxies only", "10.1.2.3:1", []string{"10.1.4.4"}, "10.1.4.4"},
		{"garbage beside a good one", "10.1.2.3:1", []string{"198.51.100.1, x"}, "10.1.2.3"},
		{"nothing", "10.1.2.3:1", nil, "10.1.2.3"},
		{"a very long one", "10.1.2.3:1", []string{strings.Repeat("10.1.0.1,", 100_000)}, "10.1.2.3"},
		{"IPv6", "10.1.2.3:1", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{"no peer", "@", []string{"198.51.100.1"}, "unknown"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = c.peer, c.forwarded
		if got := l.Sources().Of(r).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
	var none listen.Sources
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.RemoteAddr = "10.1.2.3:1"
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if got := none.Of(r).String(); got != "10.1.2.3" {
		t.Errorf("without a setting: got %s, want the peer", got)
	}
}

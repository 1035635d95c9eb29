package listen

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Source is where a peer comes from: an IPv4 address, or the /64 of an IPv6 address, since whoever has one address there
// has all of them. The zero Source is unknown.
type Source struct{ network netip.Prefix }

// SourceOf is the source that an address belongs to.
func SourceOf(a netip.Addr) Source {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return Source{}
	}
	return Source{network}
}

// String is the network, for logs.
func (s Source) String() string {
	if !s.network.IsValid() {
		return "unknown"
	}
	if s.network.IsSingleIP() {
		return s.network.Addr().String()
	}
	return s.network.String()
}

// Sources finds out where requests come from. The zero value trusts no proxy.
type Sources struct{ proxies []netip.Prefix }

// maxForwarded bounds how many hops of an X-Forwarded-For are looked at, from the nearest on.
const maxForwarded = 16

// Of is the peer's source. If the peer is a trusted proxy it is the nearest address in X-Forwarded-For that is not one:
// what stands further left was said by whoever asks.
func (s Sources) Of(r *http.Request) Source {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return Source{}
	}
	at := peer.Addr()
	if !s.trusts(at) {
		return SourceOf(at)
	}
	said := r.Header.Values("X-Forwarded-For")
	for n := range slices.Backward(said) {
		rest := said[n]
		for hops := 0; rest != "" && hops < maxForwarded; hops++ {
			var last string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				rest, last = "", rest
			}
			hop, err := netip.ParseAddr(strings.TrimSpace(last))
			if err != nil {
				return SourceOf(at)
			}
			if at = hop; !s.trusts(at) {
				return SourceOf(at)
			}
		}
	}
	return SourceOf(at)
}

func (s Sources) trusts(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

package listen

import (
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/netutil"
)

// bounded lets so many connections through at once; more wait in the kernel's queue. Of one source there may be fewer: one
// more is closed at once, so that a source that holds on to connections leaves some to the others.
func bounded(l net.Listener, limits Limits, exempt Sources, m counts) net.Listener {
	return netutil.LimitListener(&bySource{
		Listener: l, most: limits.ConnectionsPerSource, exempt: exempt, counts: m, open: map[Source]int{},
	}, limits.Connections)
}

type bySource struct {
	net.Listener
	most   int
	exempt Sources
	counts counts

	mu   sync.Mutex
	open map[Source]int // as many as there are connections
}

// Accept returns the next connection whose source may have one more.
func (b *bySource) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, counted := b.sourceOf(c)
		if counted && !b.enter(from) {
			b.counts.refused.Inc()
			_ = c.Close() // nothing was said on it
			continue
		}
		b.counts.connections.Inc()
		return &countedConn{Conn: c, leave: sync.OnceFunc(func() {
			b.counts.connections.Dec()
			if counted {
				b.leave(from)
			}
		})}, nil
	}
}

func (b *bySource) sourceOf(c net.Conn) (from Source, counted bool) {
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return Source{}, true
	}
	return SourceOf(peer.Addr()), !b.exempt.trusts(peer.Addr())
}

func (b *bySource) enter(s Source) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[s] >= b.most {
		return false
	}
	b.open[s]++
	return true
}

func (b *bySource) leave(s Source) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[s]--; b.open[s] == 0 {
		delete(b.open, s)
	}
}

type countedConn struct {
	net.Conn
	leave func()
}

func (c *countedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

package events

import (
	"sync"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

// The moment in which a token could be missing is far shorter than a record needs to arrive, so the index is changed
// directly, as fast as it can be.
func TestATokenIsNeverMissingWhileItsIntegrationChanges(t *testing.T) {
	const versions = 100_000
	index, home := newTokens(), new(cell)
	home.Store(&integration.Organization{ID: "org"})
	version := func(n int64) *integration.Integration {
		return &integration.Integration{ID: "cspi-1", Organization: "org", Version: n, Connectors: map[integration.ConnectorID]integration.Binding{
			"lcc-1": {Tokens: []integration.Token{{Hash: "aa"}}},
		}}
	}
	now := version(1)
	index.replace(nil, now, home)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for last, lastNamed := int64(1), int64(1); ; {
				select {
				case <-stop:
					return
				default:
				}
				holders := index.find("aa")
				named, bound := index.binding("cspi-1", "lcc-1")
				if len(holders) != 1 || !bound || named.Integration.Version < lastNamed {
					t.Errorf("after version %d: holders %v, binding %+v, %t; want it there throughout", lastNamed, holders, named, bound)
					return
				}
				b, ok := holders[0].Binding()
				if !ok || b.Integration.Version < last {
					t.Errorf("after version %d the token leads to %+v, found: %v; want it there throughout", last, b, ok)
					return
				}
				last, lastNamed = b.Integration.Version, named.Integration.Version
			}
		})
	}
	for n := range int64(versions) {
		next := version(n + 2)
		index.replace(now, next, home)
		now = next
	}
	close(stop)
	readers.Wait()
}

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
			"lcc-1": {TokenHash: "aa"},
		}}
	}
	now := version(1)
	index.replace(nil, now, home)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for last := int64(1); ; {
				select {
				case <-stop:
					return
				default:
				}
				b, ok := index.find("aa")
				if !ok || b.Integration.Version < last {
					t.Errorf("after version %d the token leads to %+v, found: %v; want it there throughout", last, b, ok)
					return
				}
				last = b.Integration.Version
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

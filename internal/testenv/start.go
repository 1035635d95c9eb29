package testenv

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Servers are all shared servers, for several test binaries at once.
type Servers struct {
	mu    sync.Mutex
	env   []string
	stops []func() error
}

// StartServers starts what the environment does not name. started is told of each server when it answers, by one goroutine
// at a time. After an error nothing is left running.
func StartServers(ctx context.Context, started func(name, address string, took time.Duration)) (*Servers, error) {
	servers := &Servers{}
	begin := time.Now()
	var group errgroup.Group
	for _, s := range []*service{kafka, redis, ministack, moto} {
		group.Go(func() error {
			address, stop, err := s.open(ctx)
			if err != nil {
				return errors.New(s.missing(err))
			}
			servers.mu.Lock()
			defer servers.mu.Unlock()
			servers.env = append(servers.env, s.variable+"="+address)
			servers.stops = append(servers.stops, stop)
			started(s.name, address, time.Since(begin))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, servers.Stop())
	}
	return servers, nil
}

// Env names the servers, as os/exec and this package read it.
func (s *Servers) Env() []string { return s.env }

// Stop ends what StartServers started, and nothing else.
func (s *Servers) Stop() error {
	var all []error
	for _, stop := range s.stops {
		all = append(all, stop())
	}
	return errors.Join(append(all, removeRunDirs())...)
}

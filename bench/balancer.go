package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// probeEvery is how often the balancer asks each backend whether it is ready. One "no" is enough: an orchestrator that
// ends a process takes it out of its endpoints at once, and tells the nodes within about as long.
const probeEvery = 250 * time.Millisecond

// balancer stands for what a cluster puts before replicas: one address, connections one after the other to those who are
// ready, as kube-proxy does. It knows no HTTP and does not try another backend when one refuses.
type balancer struct {
	listener net.Listener
	backends []*backend
	next     atomic.Int64
	lost     atomic.Int64 // connections that found nobody
}

// prober asks anew each time: a connection that is kept would still reach a listener that is closed.
var prober = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

type backend struct {
	address, ready string // of the broker and of /readyz
	isReady        atomic.Bool
	connections    atomic.Int64
}

func openBalancer(ctx context.Context, backends []*backend) (*balancer, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	return &balancer{listener: l, backends: backends}, err
}

func (b *balancer) address() string { return b.listener.Addr().String() }

// run forwards until ctx ends. It has asked every backend before it takes the first connection.
func (b *balancer) run(ctx context.Context) error {
	for _, at := range b.backends {
		at.isReady.Store(at.probe(ctx))
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, at := range b.backends {
		g.Go(func() error { at.watch(ctx); return nil })
	}
	g.Go(func() error {
		<-ctx.Done()
		return b.listener.Close()
	})
	g.Go(func() error {
		var open sync.WaitGroup
		defer open.Wait()
		for {
			client, err := b.listener.Accept()
			if err != nil {
				return nil // closed
			}
			open.Go(func() { b.forward(ctx, client) })
		}
	})
	return g.Wait()
}

func (b *balancer) forward(ctx context.Context, client net.Conn) {
	defer client.Close()
	at := b.choose()
	if at == nil {
		b.lost.Add(1)
		return
	}
	server, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", at.address)
	if err != nil {
		b.lost.Add(1)
		return
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()
	at.connections.Add(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		if tcp, ok := server.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}()
	_, _ = io.Copy(client, server)
	client.Close()
	<-done
}

func (b *balancer) choose() *backend {
	for range b.backends {
		if at := b.backends[int(b.next.Add(1))%len(b.backends)]; at.isReady.Load() {
			return at
		}
	}
	return nil
}

// watch asks /readyz.
func (at *backend) watch(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		at.isReady.Store(at.probe(ctx))
	}
}

func (at *backend) probe(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.ready, nil)
	if err != nil {
		return false
	}
	resp, err := prober.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

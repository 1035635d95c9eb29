package creds_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/creds"
)

// BenchmarkWarmRead compares a warm read with a bare handler that writes the same body, alone and behind net/http with
// connections that stay open, as SDKs keep them.
func BenchmarkWarmRead(b *testing.B) {
	w := newWorld(b)
	broker := w.broker(b)
	tokens := w.connectors(1000)
	for _, token := range tokens {
		for {
			if _, err := broker.Session(b.Context(), token); err == nil {
				break
			}
		}
	}
	body := warm(b, broker.Handler(), tokens[0].Reveal())
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"broker", broker.Handler()}, {"bare", bare}} {
		b.Run("handler/"+c.name, func(b *testing.B) {
			requests := make([]*http.Request, len(tokens))
			for n := range requests {
				requests[n] = request(b, "http://broker"+creds.Path, tokens[n].Reveal())
			}
			answer := &discard{header: http.Header{}}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				c.handler.ServeHTTP(answer, requests[n%len(requests)])
				n++
			}
			if answer.status != 0 && answer.status != http.StatusOK {
				b.Errorf("status %d", answer.status)
			}
		})
	}
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"broker", broker.Handler()}, {"bare", bare}} {
		b.Run("http/"+c.name, func(b *testing.B) { overHTTP(b, c.handler, tokens[0].Reveal(), len(body)) })
	}
	b.Run("unknown token", func(b *testing.B) {
		r := request(b, "http://broker"+creds.Path, "unknown")
		answer := &discard{header: http.Header{}}
		b.ReportAllocs()
		for b.Loop() {
			broker.Handler().ServeHTTP(answer, r)
		}
		if answer.status != http.StatusUnauthorized {
			b.Errorf("status %d, want 401", answer.status)
		}
	})
}

// overHTTP measures with one raw connection for each processor: an http.Client costs more than what is measured.
func overHTTP(b *testing.B, h http.Handler, token string, size int) {
	var listen net.ListenConfig
	l, err := listen.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	ask := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: broker\r\nAuthorization: %s\r\nAccept: */*\r\n\r\n", creds.Path, token)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		var dial net.Dialer
		c, err := dial.DialContext(context.WithoutCancel(b.Context()), "tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buffer := make([]byte, 8<<10)
		for p.Next() {
			if _, err := c.Write(ask); err != nil {
				b.Error(err)
				return
			}
			for got := 0; ; {
				n, err := c.Read(buffer[got:])
				if err != nil {
					b.Error(err)
					return
				}
				got += n
				if end := bytes.Index(buffer[:got], []byte("\r\n\r\n")); end >= 0 && got >= end+4+size {
					break
				}
			}
		}
	})
	b.StopTimer()
	if err := server.Close(); err != nil {
		b.Error(err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		b.Error(err)
	}
}

func request(b testing.TB, url, token string) *http.Request {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", token)
	return r
}

// warm is the body of a warm read.
func warm(b *testing.B, h http.Handler, token string) []byte {
	b.Helper()
	var body bytes.Buffer
	answer := &discard{header: http.Header{}, to: &body}
	h.ServeHTTP(answer, request(b, "http://broker"+creds.Path, token))
	if answer.status != http.StatusOK || body.Len() == 0 {
		b.Fatalf("status %d, body of %d bytes; want a session", answer.status, body.Len())
	}
	return body.Bytes()
}

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
	to     io.Writer
}

func (d *discard) Header() http.Header    { return d.header }
func (d *discard) WriteHeader(status int) { d.status = status }

func (d *discard) Write(p []byte) (int, error) {
	if d.to != nil {
		return d.to.Write(p)
	}
	return len(p), nil
}

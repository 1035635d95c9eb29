package listen_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/logtest"
	"github.com/rolebridge/rolebridge/internal/polltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound is how long a test waits for something that should come soon.
const bound = 20 * time.Second

// server is a listener that is served until the test ends.
type server struct {
	*listen.Listener
	log      *logtest.Log
	registry *prometheus.Registry
}

func serve(t *testing.T, h http.Handler, change func(*listen.Settings), with ...listen.Option) *server {
	t.Helper()
	settings := listen.Defaults()
	settings.Listen = "127.0.0.1:0"
	if change != nil {
		change(&settings)
	}
	s := &server{log: &logtest.Log{}, registry: prometheus.NewRegistry()}
	metrics, err := listen.NewMetrics(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if s.Listener, err = listen.Open(t.Context(), "broker", settings, append(with, listen.WithLog(log), listen.WithMetrics(metrics))...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, h, 100*time.Millisecond) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func (s *server) metric(t *testing.T, name string) (v float64) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				v += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
			return v
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// dial opens a raw connection on which nothing lasts forever.
func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	return c
}

// say writes a request and returns the first line of the answer; empty when the connection ends without one.
func say(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	_, _ = io.WriteString(c, text) // the other side may close early; what it says is what counts
	line, err := bufio.NewReader(c).ReadString('\n')
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("neither an answer nor an end within %s", bound)
	}
	return strings.TrimSpace(line)
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

var fine = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })

func TestASlowPeerIsCut(t *testing.T) {
	t.Parallel()
	s := serve(t, fine, func(s *listen.Settings) {
		s.Limits.ReadHeader, s.Limits.Read, s.Limits.Idle = 50*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	})
	for what, text := range map[string]string{
		"says nothing": "", "never ends its header": "GET / HTTP/1.1\r\nHost: x\r\nA: ",
		"never ends its body": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
	} {
		c := s.dial(t)
		_, _ = io.WriteString(c, text)
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a peer that %s is still connected after %s", what, bound)
		}
	}
	c := s.dial(t)
	if got := say(t, c, get); got != "HTTP/1.1 200 OK" {
		t.Fatalf("a good request got %q", got)
	}
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an idle peer is still connected after %s", bound)
	}
}

func TestAPeerThatDoesNotReadItsAnswerIsCut(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for text := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(text)
		}
		close(ended)
	}), func(s *listen.Settings) { s.Limits.Write = 50 * time.Millisecond })
	if _, err := io.WriteString(s.dial(t), get); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(bound):
		t.Errorf("still writing after %s", bound)
	}
}

func TestALargeHeaderIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, fine, nil)
	for what, text := range map[string]string{
		"1 MB in one field":   "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"1 MB in many fields": "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: 12345678\r\n", 1<<20/13) + "\r\n",
		"1 MB of an address":  "GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		// The rest of the header is not read, so the answer may be lost to a reset.
		if got := say(t, s.dial(t), text); got != "" && !strings.HasPrefix(got, "HTTP/1.1 431 ") {
			t.Errorf("%s: got %q, want 431", what, got)
		}
	}
	large := "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: " + strings.Repeat("x", 8<<10) + "\r\n\r\n"
	if got := say(t, s.dial(t), large); got != "HTTP/1.1 200 OK" {
		t.Errorf("a token of 8 KiB: got %q, want 200", got)
	}
}

func TestARequestWithTwoAuthorizationsIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it came to the handler") }), nil)
	for _, method := range []string{"GET", "POST"} {
		text := method + " / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: one\r\nauthorization: two\r\n\r\n"
		if got := say(t, s.dial(t), text); got != "HTTP/1.1 400 Bad Request" {
			t.Errorf("%s with two of them: got %q, want 400", method, got)
		}
	}
}

func TestAGETHasNoBody(t *testing.T) {
	t.Parallel()
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it came to the handler") }), nil)
	for what, text := range map[string]string{
		"with a length": "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"in chunks":     "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"of a HEAD":     "HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
	} {
		if got := say(t, s.dial(t), text); got != "HTTP/1.1 400 Bad Request" {
			t.Errorf("a body %s: got %q, want 400", what, got)
		}
	}
}

func TestMoreConnectionsThanTheBoundWait(t *testing.T) {
	t.Parallel()
	s := serve(t, fine, func(s *listen.Settings) { s.Limits.Connections, s.Limits.ConnectionsPerSource = 2, 2 })
	held := []net.Conn{s.dial(t), s.dial(t)}
	for n, c := range held {
		if got := say(t, c, get); got != "HTTP/1.1 200 OK" {
			t.Fatalf("connection %d: got %q", n, got)
		}
	}
	waiting := s.dial(t)
	answer := make(chan string, 1)
	go func() { answer <- say(t, waiting, get) }()
	select {
	case got := <-answer:
		t.Fatalf("a third connection was answered: %q", got)
	case <-time.After(50 * time.Millisecond):
	}
	if got := s.metric(t, "rolebridge_listener_connections"); got != 2 {
		t.Errorf("%v connections are counted, want 2", got)
	}
	_ = held[0].Close()
	if got := <-answer; got != "HTTP/1.1 200 OK" {
		t.Errorf("after one has ended: got %q, want 200", got)
	}
}

func TestOneSourceLeavesConnectionsToOthers(t *testing.T) {
	t.Parallel()
	s := serve(t, fine, func(s *listen.Settings) { s.Limits.Connections, s.Limits.ConnectionsPerSource = 4, 2 })
	for range 2 {
		if got := say(t, s.dial(t), get); got != "HTTP/1.1 200 OK" {
			t.Fatalf("got %q", got)
		}
	}
	if got := say(t, s.dial(t), get); got != "" {
		t.Errorf("a third connection of one source: got %q, want it closed", got)
	}
	if got := s.metric(t, "rolebridge_listener_refused_connections_total"); got != 1 {
		t.Errorf("%v refused connections are counted, want 1", got)
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	other, err := from.DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	_ = other.SetDeadline(time.Now().Add(bound))
	if got := say(t, other, get); got != "HTTP/1.1 200 OK" {
		t.Errorf("another source: got %q, want 200", got)
	}
}

func TestAConnectionThatEndsMakesRoomForItsSource(t *testing.T) {
	t.Parallel()
	s := serve(t, fine, func(s *listen.Settings) { s.Limits.Connections, s.Limits.ConnectionsPerSource = 2, 1 })
	for n := range 5 {
		c := s.dial(t)
		if got := say(t, c, get); got != "HTTP/1.1 200 OK" {
			t.Fatalf("connection %d: got %q", n, got)
		}
		_ = c.Close()
		polltest.Until(t, "the connection is not counted any more", func() bool { return s.metric(t, "rolebridge_listener_connections") == 0 })
	}
}

func TestTrustedProxiesMayHaveAllConnections(t *testing.T) {
	t.Parallel()
	s := serve(t, fine, func(s *listen.Settings) {
		s.Limits.Connections, s.Limits.ConnectionsPerSource = 3, 1
		s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for n := range 3 {
		if got := say(t, s.dial(t), get); got != "HTTP/1.1 200 OK" {
			t.Errorf("connection %d of a proxy: got %q", n, got)
		}
	}
}

// complaint is a value that somebody panics with.
type complaint string

func TestAPanicIsAnAnswerAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "rbc_the-token-of-somebody"
	s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/index" {
			_ = []int{}[len(r.URL.Path)]
		}
		panic(complaint("cannot read " + r.Header.Get("Authorization")))
	}), nil)
	for path, want := range map[string]string{"/": "panic with a listen_test.complaint", "/index": "index out of range"} {
		c := s.dial(t)
		got := say(t, c, "GET "+path+" HTTP/1.1\r\nHost: x\r\nAuthorization: "+secret+"\r\n\r\n")
		if got != "HTTP/1.1 500 Internal Server Error" {
			t.Errorf("%s: got %q, want 500", path, got)
		}
		polltest.Until(t, "the log names the panic "+want, func() bool {
			return strings.Contains(s.log.String(), want)
		})
	}
	if strings.Contains(s.log.String(), secret) {
		t.Errorf("the log shows the token: %s", s.log.String())
	}
	if got := s.metric(t, "rolebridge_listener_panics_total"); got != 2 {
		t.Errorf("%v panics are counted, want 2", got)
	}
}

func TestAStopIsToldToRequestsAndLetsThemFinish(t *testing.T) {
	t.Parallel()
	settings := listen.Defaults()
	settings.Listen = "127.0.0.1:0"
	l, err := listen.Open(t.Context(), "api", settings)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- l.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-listen.Stopping(r.Context())
			<-leave
			if err := r.Context().Err(); err != nil {
				t.Errorf("a request under way was called off: %v", err)
			}
			_, _ = io.WriteString(w, "finished")
		}), bound)
	}()
	answer := make(chan string, 1)
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, get)
		text, _ := io.ReadAll(c)
		answer <- string(text)
	}()
	<-entered
	cancel()
	close(leave)
	if got := <-answer; !strings.HasSuffix(got, "finished") {
		t.Errorf("the request under way got %q, want finished", got)
	}
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
}

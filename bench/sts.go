package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// fakeSTS answers AssumeRole over HTTP as STS does, with sessions whose life is as much shorter than what was asked for as
// time is compressed. It believes everybody: cloud/sandbox is for trust, this is for counting.
type fakeSTS struct {
	server   *http.Server
	address  string
	compress time.Duration

	mu      sync.Mutex
	latency time.Duration
	calls   map[string]int // by role
	first   time.Time      // since the last reset
	last    time.Time
}

func openSTS(ctx context.Context, compress int) (*fakeSTS, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &fakeSTS{address: l.Addr().String(), compress: time.Duration(compress)}
	s.reset(0)
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(l) }() // ends with close
	return s, nil
}

func (s *fakeSTS) close() error { return s.server.Close() }

// reset forgets what was counted; from now on each call takes this long.
func (s *fakeSTS) reset(latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency, s.calls, s.first, s.last = latency, map[string]int{}, time.Time{}, time.Time{}
}

// upstream is how many calls there were since the reset, and from the beginning of the first to the end of the last.
func (s *fakeSTS) upstream() (calls int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.calls {
		calls += n
	}
	return calls, s.last.Sub(s.first)
}

// most is how often the roles of this kind were asked for: in all, and the one that was asked for most.
func (s *fakeSTS) most(is func(role string) bool) (all, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for role, n := range s.calls {
		if is(role) {
			all, most = all+n, max(most, n)
		}
	}
	return all, most
}

// ServeHTTP answers AssumeRole and nothing else.
func (s *fakeSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	seconds := 0
	if r.FormValue("Action") != "AssumeRole" {
		http.Error(w, "only AssumeRole is here", http.StatusBadRequest)
		return
	}
	if _, err := fmt.Sscan(r.FormValue("DurationSeconds"), &seconds); err != nil {
		http.Error(w, "DurationSeconds: "+err.Error(), http.StatusBadRequest)
		return
	}
	role := r.FormValue("RoleArn")
	s.mu.Lock()
	latency := s.latency
	s.calls[role]++
	if s.first.IsZero() {
		s.first = begin
	}
	s.mu.Unlock()
	if pause(r.Context(), latency) != nil {
		return // nobody waits for the answer
	}
	expires := time.Now().Add(time.Duration(seconds) * time.Second / s.compress).UTC().Format("2006-01-02T15:04:05.000Z")
	w.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>`+
		`<AssumedRoleUser><AssumedRoleId>AROA:%[2]s</AssumedRoleId><Arn>%[1]s/%[2]s</Arn></AssumedRoleUser>`+
		`<Credentials><AccessKeyId>ASIA%[3]s</AccessKeyId><SecretAccessKey>%[4]s</SecretAccessKey><SessionToken>%[5]s</SessionToken>`+
		`<Expiration>%[6]s</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata></AssumeRoleResponse>`,
		role, r.FormValue("RoleSessionName"), rand.Text()[:16], rand.Text()+rand.Text()[:14], longToken(), expires)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/listen"
)

// Bounds of streams.
const (
	// beat is the time between two signs of life; proxies end what is silent for a minute. A key or role that was taken away
	// ends its streams within it.
	beat = 15 * time.Second
	// taken bounds the time until a client has taken what it was sent: who reads slowly is cut, and resumes.
	taken = 10 * time.Second
	// watched is how long a stream lasts: clients resume, and replicas of the api share them anew.
	watched = 30 * time.Minute
	// streamsOfOne organization may be open at once at this process.
	streamsOfOne = 50
	// burst is how many events are read at once.
	burst = 100
)

// streams counts those that are open.
type streams struct {
	mu sync.Mutex
	of map[integration.OrganizationID]int
}

func (s *streams) begin(o integration.OrganizationID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[o] >= streamsOfOne {
		return false
	}
	s.of[o]++
	return true
}

func (s *streams) end(o integration.OrganizationID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[o]--; s.of[o] == 0 {
		delete(s.of, o)
	}
}

// begin is where a watch begins. What it names is looked at even when something else goes before it.
func (s *Server) begin(c *call) (from int64, err error) {
	last, text := c.Header.Get("Last-Event-Id"), c.URL.Query().Get("since")
	seen, ok := readPlace(last)
	if last != "" && (!ok || seen == math.MaxInt64) {
		return 0, failParameter("Last-Event-ID", "want the id of an event")
	}
	at, err := time.Parse(time.RFC3339, text)
	if text != "" && err != nil {
		return 0, failParameter("since", "want a time as in 2026-01-02T15:04:05Z")
	}
	if text != "" && at.Unix() < 0 { // to Kafka such times are no times but words
		return 0, failParameter("since", "want a time after 1970-01-01T00:00:00Z")
	}
	if from, err = s.events.End(c.Organization); err == nil && last == "" && text != "" {
		ctx, cancel := context.WithTimeout(c.Context(), lookedFor)
		defer cancel()
		from, err = s.events.Since(ctx, c.Organization, at)
	}
	switch {
	case err != nil:
		return 0, away()
	case last != "":
		return seen + 1, nil
	}
	return from, nil
}

// watch streams the events of integrations that the caller may read, as they come: server-sent events, whose id is the
// place to resume at with Last-Event-ID. Without one the stream begins at a time that is named, else now.
func (s *Server) watch(c *call) (answer, error) {
	if s.events == nil {
		return answer{}, noEvents()
	}
	from, err := s.begin(c)
	if err != nil {
		return answer{}, err
	}
	if c.Method == http.MethodHead {
		return answer{status: http.StatusOK}, nil
	}
	if !s.streams.begin(c.Organization) {
		f := fail(integration.CodeThrottled, "the organization has %d streams open", streamsOfOne)
		f.header = http.Header{"Retry-After": {"30"}}
		return answer{}, f
	}
	return answer{status: http.StatusOK, stream: func(w http.ResponseWriter) {
		defer s.streams.end(c.Organization)
		stream{Server: s, c: c, w: w, to: http.NewResponseController(w), environments: map[integration.ID]integration.EnvironmentID{}}.run(from)
	}}, nil
}

// stream is one that is open.
type stream struct {
	*Server
	c  *call
	w  http.ResponseWriter
	to *http.ResponseController
	// environments of integrations that were seen, for when they are gone.
	environments map[integration.ID]integration.EnvironmentID
}

func (s stream) run(from int64) {
	ctx, cancel := context.WithTimeout(s.c.Context(), watched)
	defer cancel()
	go func() {
		select {
		case <-listen.Stopping(ctx):
			cancel() // the client resumes at another replica
		case <-ctx.Done():
		}
	}()
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies must not collect
	s.w.WriteHeader(http.StatusOK)
	if s.send(": events\nretry: 2000\n\n") != nil {
		return
	}
	for s.admitted() {
		got, err := s.events.Read(ctx, s.c.Organization, from, burst, s.wanted)
		if err != nil {
			return // the client resumes where it was
		}
		if got.Gap && s.send("event: gap\ndata: {}\n\n") != nil {
			return
		}
		for _, e := range got.Entries {
			text, err := json.Marshal(event(e))
			if err != nil || s.send(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Offset, e.Event.Fact.Type(), text)) != nil {
				return
			}
		}
		from = got.Next
		if !got.End {
			continue
		}
		quiet, done := context.WithTimeout(ctx, beat)
		err = s.events.Wait(quiet, s.c.Organization, from)
		done()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			if s.send(": \n\n") != nil {
				return
			}
		}
	}
}

// send writes at once, or fails when the client does not take it.
func (s stream) send(text string) error {
	if err := s.to.SetWriteDeadline(time.Now().Add(taken)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.to.Flush()
}

// admitted reports whether the caller is still who it was: its key or account may be gone since the stream began.
func (s stream) admitted() bool {
	who, refused := s.authenticate(s.c.Request)
	return refused == nil && who == s.c.caller
}

// wanted reports whether the caller may read an event, by the roles it has now.
func (s stream) wanted(e integration.Event) bool {
	if e.Integration == "" {
		return false
	}
	switch fact := e.Fact.(type) {
	case integration.Created:
		s.environments[e.Integration] = fact.Environment
	case integration.MappingAsked:
		s.environments[e.Integration] = fact.Environment
	}
	at, known := s.environments[e.Integration]
	if i, ok := s.replica.Integration(e.Integration); !known && ok && i.Organization == e.Organization {
		at, known = i.Environment, true
		s.environments[e.Integration] = at
	}
	if q := s.c.URL.Query(); q.Has("environment") && q.Get("environment") != string(at) || q.Has("integration") && q.Get("integration") != string(e.Integration) {
		return false
	}
	o, ok := s.replica.Organization(e.Organization)
	if !ok {
		return false
	}
	if !known { // gone before the stream began: for those who may read everything
		return o.Permits(s.c.Principal, integration.OpRead, integration.Scope{})
	}
	return o.Permits(s.c.Principal, integration.OpRead, integration.Scope{Environment: at, Integration: e.Integration})
}

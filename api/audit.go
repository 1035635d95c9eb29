package api

import (
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/listen"
)

// Trail is told of failed logins, and of who asked for which change and the answer. Note must not block.
type Trail interface {
	Note(a events.Audit)
}

// WithTrail tells t of failed logins and changes; the default tells nobody.
func WithTrail(t Trail) Option { return func(s *Server) { s.trail = t } }

type noTrail struct{}

func (noTrail) Note(events.Audit) {}

// Sources says where requests come from; [listen.Sources] does.
type Sources interface {
	Of(r *http.Request) listen.Source
}

// WithSources says where requests come from; the default is the peer.
func WithSources(of Sources) Option { return func(s *Server) { s.sources = of } }

// refusedLogin notes a failed login and returns how it is answered: as refused says, or, when its source has failed too
// often, that it has. Whoever showed nothing has not tried.
func (s *Server) refusedLogin(r *http.Request, refused *failure) *failure {
	if refused.code != integration.CodeUnauthenticated || r.Header.Get("Authorization") == "" {
		return refused
	}
	from, now, ctx := s.sources.Of(r), time.Now(), r.Context()
	over := func() { s.log.WarnContext(ctx, "too many failed attempts", "source", from.String()) }
	if s.attempts.Failed(from, now, over) {
		s.metrics.limited.Inc()
		refused = fail(integration.CodeThrottled, "the credentials are invalid, and too many attempts from this address have failed; what is right is always answered")
		refused.header = http.Header{"Retry-After": {"1"}}
	}
	note := events.LoginRefused{Source: from.String(), Way: "token", Code: refused.code, Count: 1, Since: now}
	var o integration.OrganizationID
	if id, _, ok := r.BasicAuth(); ok {
		// A key that somebody has; anything else may be a secret that was put into the wrong field.
		note.Way = "key"
		note.Key, o = s.keyOf(id)
	}
	s.trail.Note(events.Audit{Organization: o, Time: now, Note: note})
	return refused
}

// keyOf returns the id of a key that there is, and its organization if it is one alone.
func (s *Server) keyOf(id string) (known string, o integration.OrganizationID) {
	fixed, ok := s.keys.Key(id)
	owners := s.replica.KeyOwners(integration.KeyID(id))
	switch {
	case ok:
		return id, fixed.Organization
	case len(owners) == 1:
		return id, owners[0].Organization
	case len(owners) > 1:
		return id, ""
	}
	return "", ""
}

// ids are those of integrations, role bindings and API keys, by their form alone.
var ids = regexp.MustCompile(`^(cspi-[a-z0-9]{5,32}|rb-[a-z0-9]{16}|[A-Z0-9]{16})$`)

// named returns the id in the path of a request for the trail: one that has the form of an id, that of an account of the
// caller's, or any if the change was made. What else stands there may be a secret that was put into the wrong place.
func (s *Server) named(c *call, made bool) string {
	id := c.PathValue("id")
	if _, ok := s.replica.Account(c.Organization, integration.Principal(id)); ok || made || ids.MatchString(id) {
		return id
	}
	return ""
}

// noteChange notes what a known caller asked to be changed, and the answer. Reading is not noted.
func (s *Server) noteChange(rt route, c *call, a answer, err error) {
	if c.Method == http.MethodGet || c.Method == http.MethodHead {
		return
	}
	note := events.ChangeAsked{
		Principal: c.Principal, Credential: c.Key, Method: c.Method, Route: rt.path, Request: c.id, Command: a.command, Status: a.status, Code: codeOK,
	}
	if err != nil {
		f := failed(err)
		note.Code, note.Status = string(f.code), f.answer()
	}
	about := events.Audit{Organization: c.Organization, Time: time.Now()}
	if id := s.named(c, err == nil); id != "" {
		note.Resource = id
	} else if at, err := url.Parse(a.location); err == nil && a.location != "" {
		note.Resource = path.Base(at.Path)
	}
	id := integration.ID(note.Resource)
	i, ok := s.replica.Integration(id)
	// What is not there any more was theirs if the change was made.
	if ok && i.Organization == c.Organization || !ok && err == nil && strings.HasPrefix(note.Resource, integration.IDPrefix) {
		about.Integration = id
	}
	about.Note = note
	s.trail.Note(about)
}

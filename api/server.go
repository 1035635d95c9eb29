package api

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
	"github.com/rolebridge/rolebridge/internal/listen"
)

// Server answers the REST API. Safe for concurrent use.
type Server struct {
	config   Config
	replica  Replica
	commands Commands
	keys     Keyring
	log      *slog.Logger
	limiter  *limiter
	metrics  *metrics
	bodies   *bodies
	handler  http.Handler
	prover   dryrun.Prover // nil: no dry runs
	tokens   Tokens        // nil: no bearer tokens
	events   Events        // nil: no events
	streams  streams
	dryRuns  *limiter // by organization
	attempts *listen.Attempts
	sources  Sources
	trail    Trail
}

// Option changes a [Server].
type Option func(*Server)

// New makes a server that reads from replica, which must keep receipts, and writes to commands. It starts nothing. It
// fails on a configuration that Validate refuses.
func New(c Config, replica Replica, commands Commands, keys Keyring, reg prometheus.Registerer, log *slog.Logger, options ...Option) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	bodies, err := newBodies()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	limiter, err := newLimiter(c)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	dryRuns, err := newLimiter(Config{Rate: dryRunsPerSecond, Burst: dryRunsAtOnce})
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s := &Server{
		config: c, replica: replica, commands: commands, keys: keys, log: log, limiter: limiter, bodies: bodies, dryRuns: dryRuns,
		attempts: listen.NewAttempts(c.FailedAttempts, c.FailedBurst), sources: listen.Sources{}, trail: noTrail{},
		streams: streams{of: map[integration.OrganizationID]int{}},
	}
	for _, option := range options {
		option(s)
	}
	routes := s.routes()
	names := make([]string, len(routes))
	mux := http.NewServeMux()
	for n, r := range routes {
		names[n] = r.path
		mux.Handle(r.path, s.serve(r))
	}
	mux.Handle("/", s.serve(route{path: unknownRoute}))
	s.metrics = newMetrics(reg, names)
	s.handler = clean(mux)
	return s, nil
}

// below is where everything is once more: the known command line puts it before each path when it is pointed at a server
// that is not its vendor's.
const below = "/api/"

// Handler is the API, and /openapi.yaml and /schemas.json, which need no key.
func (s *Server) Handler() http.Handler { return s.handler }

// clean answers paths that a ServeMux would redirect, with a body that is not JSON, as what they are: unknown. It takes what is
// below /api for what is beside it.
func clean(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, inside := strings.CutPrefix(r.URL.Path, below)
		switch {
		case path.Clean(r.URL.Path) != r.URL.Path:
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = "/"+unknownRoute, ""
		case inside:
			r = r.Clone(r.Context())
			raw, ok := strings.CutPrefix(r.URL.RawPath, below)
			if r.URL.Path, r.URL.RawPath = "/"+rest, ""; ok {
				r.URL.RawPath = "/" + raw
			}
		}
		mux.ServeHTTP(w, r)
	})
}

// endpoint answers one request.
type endpoint func(*call) (answer, error)

// route is one path and its methods. A public one needs no key.
type route struct {
	path    string
	methods map[string]endpoint
	public  http.HandlerFunc
	many    string // the parameter that may be there more than once
}

// once refuses a parameter that is there more than once, of which some would take the first and others the last.
func (rt route) once(q url.Values) error {
	for name, values := range q {
		if len(values) > 1 && name != rt.many {
			return failParameter(name, "want it once")
		}
	}
	return nil
}

func (s *Server) routes() []route {
	v1, v2 := pim{s, 1}, pim{s, 2}
	users, programs := people{s, integration.User}, people{s, integration.ServiceAccount}
	const one = "/rolebridge/v1/integrations/{id}"
	return []route{
		{path: "/openapi.yaml", public: serveDocument},
		{path: "/schemas.json", public: serveSchemas},
		{path: "/pim/v1/integrations", methods: map[string]endpoint{http.MethodGet: v1.list, http.MethodPost: v1.create}},
		{path: "/pim/v1/integrations/{id}", methods: map[string]endpoint{http.MethodGet: v1.read, http.MethodDelete: v1.delete}},
		{path: "/pim/v2/integrations", methods: map[string]endpoint{http.MethodGet: v2.list, http.MethodPost: v2.create}},
		{path: "/pim/v2/integrations/{id}", methods: map[string]endpoint{
			http.MethodGet: v2.read, http.MethodDelete: v2.delete, http.MethodPatch: v2.update,
		}},
		{path: "/pim/v2/integrations:validate", methods: map[string]endpoint{http.MethodPost: v2.validate}},
		{path: one + "/connectors", methods: map[string]endpoint{http.MethodGet: s.listConnectors, http.MethodPost: s.bind}},
		{path: one + "/connectors/{connector}", methods: map[string]endpoint{http.MethodGet: s.readConnector, http.MethodDelete: s.unbind}},
		{path: one + "/connectors/{connector}/token:rotate", methods: map[string]endpoint{http.MethodPost: s.rotateToken}},
		{path: one + "/validation", methods: map[string]endpoint{http.MethodGet: s.report, http.MethodPost: s.validate}},
		{path: one + "/validation:dry-run", methods: map[string]endpoint{http.MethodPost: s.dryRun}},
		{path: one + "/sessions:revoke", methods: map[string]endpoint{http.MethodPost: s.revoke}},
		{path: one + "/rotation", methods: map[string]endpoint{
			http.MethodGet: s.readRotation, http.MethodPost: s.rotate, http.MethodDelete: s.abortRotation,
		}},
		{path: iamPath(wire.KindUser), many: "display_name", methods: map[string]endpoint{http.MethodGet: users.list, http.MethodPost: users.create}},
		{path: iamPath(wire.KindUser) + "/{id}", methods: map[string]endpoint{
			http.MethodGet: users.read, http.MethodPatch: users.update, http.MethodDelete: users.delete,
		}},
		{path: iamPath(wire.KindServiceAccount), many: "display_name", methods: map[string]endpoint{http.MethodGet: programs.list, http.MethodPost: programs.create}},
		{path: iamPath(wire.KindServiceAccount) + "/{id}", methods: map[string]endpoint{
			http.MethodGet: programs.read, http.MethodPatch: programs.update, http.MethodDelete: programs.delete,
		}},
		{path: iamPath(wire.KindAPIKey), methods: map[string]endpoint{http.MethodGet: s.listKeys, http.MethodPost: s.createKey}},
		{path: iamPath(wire.KindAPIKey) + "/{id}", methods: map[string]endpoint{http.MethodGet: s.readKey, http.MethodDelete: s.deleteKey}},
		{path: iamPath(wire.KindRoleBinding), methods: map[string]endpoint{http.MethodGet: s.listRoles, http.MethodPost: s.giveRole}},
		{path: iamPath(wire.KindRoleBinding) + "/{id}", methods: map[string]endpoint{http.MethodGet: s.readRole, http.MethodDelete: s.takeRole}},
		{path: "/rolebridge/v1/organization", methods: map[string]endpoint{http.MethodGet: s.readOrganization, http.MethodPatch: s.configure}},
		{path: one + "/events", methods: map[string]endpoint{http.MethodGet: s.history}},
		{path: "/rolebridge/v1/watch", methods: map[string]endpoint{http.MethodGet: s.watch}},
		{path: "/rolebridge/v1/policies:lint", methods: map[string]endpoint{http.MethodPost: s.lint}},
		{path: one + "/policies", methods: map[string]endpoint{http.MethodGet: s.policies}},
	}
}

// call is one request whose sender is known.
type call struct {
	*http.Request
	caller
	id           string // X-Request-Id
	organization *integration.Organization
	sent         string // the id of the command that it became, once it is on its way
}

// mayRead reports whether the caller may read there.
func (c *call) mayRead(environment integration.EnvironmentID, id integration.ID) bool {
	return c.organization.Permits(c.Principal, integration.OpRead, integration.Scope{Environment: environment, Integration: id})
}

// answer is what an endpoint says when nothing is wrong.
type answer struct {
	status   int
	body     any // nil: none
	location string
	command  string                    // the id of the command that was decided, if one was
	stream   func(http.ResponseWriter) // instead of status and body, what goes on for long
}

// headerCommand names the command that a write became, in the answer.
const headerCommand = "X-Rolebridge-Command-Id"

// serve answers the requests of one route.
func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		code, stream := s.respond(rt, w, r)
		s.metrics.answered(rt.path, code, time.Since(start))
		if stream != nil { // which lasts for as long as its client wants
			stream(w)
		}
	})
}

// respond writes the answer and returns its code, or what is left to be written.
func (s *Server) respond(rt route, w http.ResponseWriter, r *http.Request) (code string, stream func(http.ResponseWriter)) {
	id := strings.ToLower(rand.Text())
	h := w.Header()
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	if rt.public != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		rt.public(w, r)
		return codeOK, nil
	}
	h.Set("Cache-Control", "no-store")
	a, err := guarded(func() (answer, error) { return s.answer(rt, w, r, id) })
	if a.command != "" {
		h.Set(headerCommand, a.command)
	}
	if err != nil {
		f := failed(err)
		if f.code == integration.CodeInternal {
			s.log.ErrorContext(r.Context(), "request failed", "request", id, "route", rt.path, "error", err)
		} else {
			s.log.DebugContext(r.Context(), "request refused", "request", id, "route", rt.path, "code", f.code)
		}
		f.write(w, id)
		return string(f.code), nil
	}
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if a.stream != nil {
		return codeOK, a.stream
	}
	if a.body == nil {
		w.WriteHeader(a.status)
	} else {
		writeJSON(w, a.status, a.body)
	}
	return codeOK, nil
}

// guarded makes an error of a panic: for the log, with the stack.
func guarded(do func() (answer, error)) (a answer, err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler: // net/http's own way to end a connection
			panic(v)
		default:
			a, err = answer{}, listen.Panicked(v)
		}
	}()
	return do()
}

// answer does what every request needs before its endpoint, cheapest first.
func (s *Server) answer(rt route, w http.ResponseWriter, r *http.Request, id string) (answer, error) {
	do, err := rt.find(r.Method)
	if err != nil {
		return answer{}, err
	}
	select {
	case <-s.replica.Ready():
	default:
		// A 401, 403 or 404 from a replica that has not read everything would tell a client to forget its resources.
		return answer{}, fail(integration.CodeUnavailable, "the state is still being read")
	}
	who, refused := s.authenticate(r)
	if refused != nil {
		return answer{}, s.refusedLogin(r, refused)
	}
	if refused := s.limiter.take(who.Key, w.Header(), time.Now()); refused != nil {
		return answer{}, refused
	}
	c := &call{Request: r, caller: who, id: id}
	if err := rt.once(r.URL.Query()); err != nil {
		return answer{}, err
	}
	a, err := guarded(func() (answer, error) { return s.asked(c, w, do) }) // here already: what panicked may have been carried out
	a.command = cmp.Or(a.command, c.sent)
	s.noteChange(rt, c, a, err)
	return a, err
}

// asked answers a caller who is known.
func (s *Server) asked(c *call, w http.ResponseWriter, do endpoint) (answer, error) {
	o, ok := s.replica.Organization(c.Organization)
	if !ok || !o.Knows(c.Principal) {
		return answer{}, fail(integration.CodeDenied, "%s has no role in the organization", c.Principal)
	}
	c.organization = o
	c.Body = http.MaxBytesReader(w, c.Body, maxBody)
	return do(c)
}

// find returns the endpoint for a method. HEAD is a GET whose body net/http leaves out.
func (rt route) find(method string) (endpoint, error) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if do, ok := rt.methods[method]; ok {
		return do, nil
	}
	var allow []string
	for m := range rt.methods {
		allow = append(allow, m)
	}
	if rt.public != nil {
		allow = []string{http.MethodGet}
	}
	if allow == nil {
		return nil, fail(integration.CodeNotFound, "no such path")
	}
	slices.Sort(allow)
	f := fail(codeMethod, "%.32s is not for this path", method)
	f.header = http.Header{"Allow": {strings.Join(allow, ", ")}}
	return nil, f
}

// writeJSON answers with a body. The content type is on every body: clients refuse to read one without.
func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // the types of package wire cannot fail; a caller's mistake must not look like success
		status, text = http.StatusInternalServerError, []byte(`{"errors":[]}`)
	}
	text = append(text, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// link makes an absolute URL of a path.
func (s *Server) link(r *http.Request, to string) string {
	if s.config.PublicURL != "" {
		return s.config.PublicURL + to
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + to
}

// find returns an integration that the caller may read. An empty environment is any.
func (s *Server) find(c *call, id integration.ID, environment integration.EnvironmentID) (*integration.Integration, error) {
	i, ok := s.replica.Integration(id)
	if !ok || i.Organization != c.organization.ID || i.Deleting() || environment != "" && i.Environment != environment ||
		!c.mayRead(i.Environment, i.ID) {
		return nil, noIntegration(id)
	}
	return i, nil
}

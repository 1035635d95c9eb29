package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxQueryBody is more than any IAM request may hold: the largest documents have 10,240 characters.
const maxQueryBody = 1 << 20

// call is one authenticated request of the query protocol.
type call struct {
	s      *Sandbox
	action string
	params params
	who    caller
	when   map[string][]string // condition keys of the request
}

type params url.Values

func (p params) get(name string) string { return url.Values(p).Get(name) }
func (p params) has(name string) bool   { return url.Values(p).Has(name) }

// list reads NAME.member.1, NAME.member.2, … up to the first gap.
func (p params) list(name string) []string {
	var out []string
	for i := 1; p.has(name + ".member." + strconv.Itoa(i)); i++ {
		out = append(out, p.get(name+".member."+strconv.Itoa(i)))
	}
	return out
}

type tag struct{ Key, Value string }

// tags reads NAME.member.1.Key, NAME.member.1.Value, … up to the first gap.
func (p params) tags(name string) []tag {
	var out []tag
	for i := 1; ; i++ {
		at := name + ".member." + strconv.Itoa(i)
		if !p.has(at + ".Key") {
			return out
		}
		out = append(out, tag{p.get(at + ".Key"), p.get(at + ".Value")})
	}
}

// number reads a whole number; absent is without.
func (p params) number(name string, without int) (int, error) {
	if !p.has(name) {
		return without, nil
	}
	n, err := strconv.Atoi(p.get(name))
	if err != nil {
		return 0, refuse(400, "MalformedInput", "%s must be a whole number", name)
	}
	return n, nil
}

// readQuery reads the parameters of a query protocol request, and the body's hash for the signature.
func readQuery(w http.ResponseWriter, r *http.Request) (params, string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQueryBody))
	if err != nil {
		if _, long := errors.AsType[*http.MaxBytesError](err); long {
			return nil, "", refuse(413, "RequestEntityTooLarge", "the body has more than %d bytes", maxQueryBody)
		}
		return nil, "", refuse(400, "MalformedInput", "the body could not be read")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	form := string(body)
	if r.Method == http.MethodGet {
		form = r.URL.RawQuery
	}
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, "", refuse(400, "MalformedQueryString", "The query string contains a syntax error.")
	}
	return params(values), hex.EncodeToString(sum[:]), nil
}

// ServeHTTP is the whole of AWS: the service is the one that the signature's scope names, as the SDKs talk to all
// services on one endpoint.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := "sandbox-" + newRandom(12)
	w.Header().Set("X-Rolebridge-Sandbox", Banner)
	w.Header().Set("X-Amzn-Requestid", id)
	g, ok, err := readSignature(r)
	switch {
	case !ok && r.Method == http.MethodGet && r.URL.Path == "/" && r.URL.RawQuery == "":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, about)
	case !ok && r.Method == http.MethodPost && r.URL.Path == "/":
		refuseQuery(w, stsNamespace, id, refuse(403, "MissingAuthenticationToken", "Request is missing Authentication Token"))
	case !ok:
		refuseS3(w, r, id, refuse(403, "AccessDenied", "Access Denied"))
	case g.service == "s3":
		s.serveS3(w, r, id, g, err)
	case g.service == "iam":
		s.serveQuery(w, r, id, g, err, iamNamespace, iamActions)
	case g.service == "sts":
		s.serveQuery(w, r, id, g, err, stsNamespace, stsActions)
	case err != nil:
		refuseQuery(w, stsNamespace, id, err)
	default:
		refuseJSON(w, refuse(400, "UnknownOperationException", "the sandbox has iam, sts and s3, but no service %q", g.service))
	}
}

// action carries one request of the query protocol out. The result becomes the answer's inner element.
type action func(c call) (result any, err error)

func (s *Sandbox) serveQuery(w http.ResponseWriter, r *http.Request, id string, g signed, bad error, namespace string, actions map[string]action) {
	p, hash, err := readQuery(w, r)
	if err != nil {
		refuseQuery(w, namespace, id, err)
		return
	}
	name := p.get("Action")
	do, known := actions[name]
	if !known {
		name = strings.Map(printable, name)
	} else if fault, ok := s.faults.next(g.service, name); ok {
		if !fault.act(w, r, func(err error) { refuseQuery(w, namespace, id, err) }) {
			return
		}
	}
	if bad != nil {
		refuseQuery(w, namespace, id, bad)
		return
	}
	who, err := s.authenticate(r, g, hash)
	if err == nil && !known {
		err = refuse(400, "InvalidAction", "Could not find operation %s in the sandbox", name)
	}
	var result any
	if err == nil {
		result, err = do(call{s: s, action: name, params: p, who: who, when: conditions(who, r, g)})
	}
	if err != nil {
		if asRefusal(err).status >= 500 {
			s.log.ErrorContext(r.Context(), "sandbox could not answer", "service", g.service, "action", name, "error", err)
		}
		refuseQuery(w, namespace, id, err)
		return
	}
	answerQuery(w, namespace, name, id, result)
}

func printable(c rune) rune {
	if c < ' ' || c > '~' {
		return -1
	}
	return c
}

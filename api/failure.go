package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// Codes of faults that no decision is needed for. All others are those of package integration.
const (
	codeMalformed   integration.Code = "invalid_request"        // 400: the body is not what the schema says
	codeParameter   integration.Code = "invalid_parameter"      // 400: a query parameter or header is not
	codeMethod      integration.Code = "method_not_allowed"     // 405
	codeTooLarge    integration.Code = "request_too_large"      // 413
	codeContentType integration.Code = "unsupported_media_type" // 415
	codeNotOffered  integration.Code = "not_offered"            // 501: not by this installation
	codeTrust       integration.Code = "trust_not_valid"        // 400: what PIM v2 says of a validation that failed
	codeCloud       integration.Code = "cloud_not_enabled"      // 400: nothing can be validated there yet
)

// own are the statuses of those; the others' stand in package integration.
var own = map[integration.Code]int{
	codeMalformed: http.StatusBadRequest, codeParameter: http.StatusBadRequest, codeMethod: http.StatusMethodNotAllowed,
	codeTooLarge: http.StatusRequestEntityTooLarge, codeContentType: http.StatusUnsupportedMediaType,
	codeTrust: http.StatusBadRequest, codeCloud: http.StatusBadRequest, codeNotOffered: http.StatusNotImplemented,
}

// titles say what a code means, and what to do where that does not depend on the case.
var titles = map[integration.Code]struct{ title, resolution string }{
	codeMalformed:                   {"Invalid Request", "Compare the request with /openapi.yaml."},
	codeParameter:                   {"Invalid Parameter", ""},
	codeMethod:                      {"Method Not Allowed", "Use one of the methods in the Allow header."},
	codeTooLarge:                    {"Request Too Large", ""},
	codeContentType:                 {"Unsupported Media Type", "Send the body as application/json."},
	codeNotOffered:                  {"Not Offered", "Ask the platform's operator for it."},
	codeTrust:                       {"Trust Not Valid", "Correct the trust policy and validate again; the validation report says what to change."},
	codeCloud:                       {"Cloud Not Enabled", "Ask the platform's operator to enable this cloud; what you have created stays as it is."},
	integration.CodeInvalid:         {"Validation Failed", ""},
	integration.CodeUnauthenticated: {"Authentication Required", "Send a valid API key and its secret as HTTP Basic credentials."},
	integration.CodeUnproved:        {"Producer Not Proved", "Sign the command with a key that may act as its actor."},
	integration.CodeDenied:          {"Access Denied", "Ask an administrator for a role that permits this."},
	integration.CodeNotFound:        {"Not Found", ""},
	integration.CodeExists:          {"Resource Already Exists", ""},
	integration.CodeInUse:           {"Resource In Use", "Unbind the connectors first."},
	integration.CodeConflict:        {"Conflict", ""},
	integration.CodeQuota:           {"Quota Exceeded", "Delete what is not needed, or ask for a higher quota."},
	integration.CodeThrottled:       {"Too Many Requests", "Wait as long as Retry-After says."},
	integration.CodeUnavailable:     {"Service Unavailable", "Try again with the same Idempotency-Key: it is carried out once."},
	integration.CodeTimeout:         {"No Answer In Time", "Try again with the same Idempotency-Key: it is carried out once."},
	integration.CodeInternal:        {"Internal Error", ""},
}

// Fault is a fault of a request that no decision is needed for.
type Fault struct {
	Code              integration.Code
	Status            int
	Title, Resolution string // as in an error's body
}

// Faults lists all of them, in no particular order. What else is refused has one of [integration.Codes].
func Faults() []Fault {
	all := make([]Fault, 0, len(own))
	for code, status := range own {
		all = append(all, Fault{code, status, titles[code].title, titles[code].resolution})
	}
	return all
}

// failure is an error with all that the client is told.
type failure struct {
	code     integration.Code
	status   int // 0: what the code says
	faults   []fault
	location string
	header   http.Header
}

// fault is one thing that was wrong. At most one of pointer and parameter is set.
type fault struct{ detail, pointer, parameter string }

func (f *failure) Error() string {
	if len(f.faults) == 0 {
		return string(f.code)
	}
	return fmt.Sprintf("%s: %s", f.code, f.faults[0].detail)
}

func (f *failure) answer() int {
	if f.status != 0 {
		return f.status
	}
	if status, ok := own[f.code]; ok {
		return status
	}
	return f.code.Answer().HTTP
}

func fail(code integration.Code, format string, args ...any) *failure {
	return &failure{code: code, faults: []fault{{detail: fmt.Sprintf(format, args...)}}}
}

func failParameter(name, format string, args ...any) *failure {
	return &failure{code: codeParameter, faults: []fault{{detail: fmt.Sprintf(format, args...), parameter: name}}}
}

func failField(pointer, format string, args ...any) *failure {
	return &failure{code: integration.CodeInvalid, faults: []fault{{detail: fmt.Sprintf(format, args...), pointer: pointer}}}
}

// noIntegration is the answer for an integration that is not there, and for one that the caller may not know of: the
// same words, so that nobody learns which of the two it is.
func noIntegration(id integration.ID) *failure {
	return fail(integration.CodeNotFound, "integration %.64s does not exist", id)
}

// pointers translates where a command's field stands in the body of a request.
var pointers = map[string]string{"/environment": "/environment/id"}

// failed makes a failure of any error. What it does not know is internal: its text is not for the caller.
func failed(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if r, ok := errors.AsType[*integration.Refusal](err); ok && r.Code != integration.CodeInternal {
		pointer := r.Field
		if p, ok := pointers[pointer]; ok {
			pointer = p
		}
		return &failure{code: r.Code, faults: []fault{{detail: r.Message, pointer: pointer}}}
	}
	if errors.Is(err, context.Canceled) {
		return fail(integration.CodeUnavailable, "the request was given up") // nobody is left to read it
	}
	return &failure{code: integration.CodeInternal}
}

// retryAfter is how many seconds a client waits before it asks an unavailable service again, or a cloud that has had too much.
const retryAfter = 2

// write answers request id with f.
func (f *failure) write(w http.ResponseWriter, id string) {
	status := f.answer()
	maps.Copy(w.Header(), f.header)
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if f.location != "" {
		w.Header().Set("Location", f.location)
	}
	faults := f.faults
	if len(faults) == 0 {
		faults = []fault{{}}
	}
	body := wire.Failure{Errors: make([]wire.Fault, 0, len(faults))}
	for _, one := range faults {
		t := titles[f.code]
		w := wire.Fault{
			ID: id, Status: strconv.Itoa(status), Code: string(f.code), Title: t.title, Detail: one.detail, Resolution: t.resolution,
		}
		if one.pointer != "" || one.parameter != "" {
			w.Source = &wire.Source{Pointer: one.pointer, Parameter: one.parameter}
		}
		body.Errors = append(body.Errors, w)
	}
	writeJSON(w, status, body)
}

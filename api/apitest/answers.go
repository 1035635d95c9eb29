package apitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rolebridge/rolebridge/api/wire"
)

// common headers are of HTTP, or for proxies, and not of an operation, so the document does not name them.
var common = []string{"Content-Type", "Content-Length", "Cache-Control", "X-Content-Type-Options", "X-Accel-Buffering", "Date"}

// implied are headers that answers of a status must have, which a document cannot say of its default answer.
var implied = map[int][]string{
	http.StatusCreated: {"Location"}, http.StatusUnauthorized: {"WWW-Authenticate"}, http.StatusMethodNotAllowed: {"Allow"},
	http.StatusTooManyRequests: {"Retry-After"}, http.StatusServiceUnavailable: {"Retry-After"},
}

// complete compares an answer with the document in what its validation leaves open: that every header is described, that a
// status has the headers that go with it, that there is a body only where one is described, and that faults are of the status.
func complete(operation *openapi3.Operation, status int, header http.Header, body []byte) error {
	described := operation.Responses.Status(status)
	if described == nil {
		described = operation.Responses.Default()
	}
	var faults []error
	known := slices.Clone(common)
	for name := range described.Value.Headers {
		known = append(known, http.CanonicalHeaderKey(name))
	}
	for name := range header {
		if !slices.Contains(known, name) {
			faults = append(faults, fmt.Errorf("the header %s is not described", name))
		}
	}
	for _, name := range append(implied[status], "X-Request-Id") {
		if header.Get(name) == "" {
			faults = append(faults, fmt.Errorf("a %d without %s", status, name))
		}
	}
	if len(described.Value.Content) == 0 && len(body) > 0 {
		faults = append(faults, fmt.Errorf("a body where none is described: %s", body))
	}
	if status >= http.StatusBadRequest {
		faults = append(faults, ofStatus(status, header, body))
	}
	return errors.Join(faults...)
}

// ofStatus checks that a failure says in every fault what the answer says as a whole.
func ofStatus(status int, header http.Header, body []byte) error {
	var failure wire.Failure
	if err := json.Unmarshal(body, &failure); err != nil {
		return err
	}
	var faults []error
	for _, f := range failure.Errors {
		if f.Status != strconv.Itoa(status) || f.ID != header.Get("X-Request-Id") {
			faults = append(faults, fmt.Errorf("a fault of status %s and request %s in an answer %d to %s", f.Status, f.ID, status, header.Get("X-Request-Id")))
		}
		if f.Source != nil && (f.Source.Pointer == "") == (f.Source.Parameter == "") {
			faults = append(faults, fmt.Errorf("a fault's source is %+v, want a pointer or a parameter", *f.Source))
		}
	}
	return errors.Join(faults...)
}

package apitest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// stream compares what is written, if it is a stream, with the OpenAPI document: event by event.
type stream struct {
	http.ResponseWriter
	t        testing.TB
	document *openapi3.T
	status   int
	rest     []byte // of an event whose end did not come yet
	refused  []byte // what is said instead of a stream
}

// Unwrap lets a ResponseController flush.
func (s *stream) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *stream) WriteHeader(status int) {
	s.status = status
	if kind := s.Header().Get("Content-Type"); status == http.StatusOK && kind != "text/event-stream" {
		s.t.Errorf("a watch has the content type %q", kind)
	}
	if status == http.StatusOK {
		if err := complete(s.document.Paths.Value("/rolebridge/v1/watch").Get, status, s.Header(), nil); err != nil {
			s.t.Errorf("a watch begins as openapi.yaml does not say: %v", err)
		}
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *stream) Write(p []byte) (int, error) {
	if s.status == http.StatusOK {
		s.rest = append(s.rest, p...)
		for {
			one, rest, whole := bytes.Cut(s.rest, []byte("\n\n"))
			if !whole {
				break
			}
			s.rest = rest
			s.compare(string(one))
		}
	}
	if s.status >= http.StatusBadRequest {
		s.refused = append(s.refused, p...)
	}
	return s.ResponseWriter.Write(p)
}

func (s *stream) compare(one string) {
	event := map[string]any{}
	for text := range strings.Lines(one) {
		name, value, _ := strings.Cut(strings.TrimSuffix(text, "\n"), ": ")
		switch n, err := strconv.ParseFloat(value, 64); {
		case name == "" || strings.HasPrefix(name, ":"): // a comment
		case name == "retry" && err == nil:
			event[name] = n
		default:
			event[name] = value
		}
	}
	if _, told := event["event"]; !told { // a sign of life
		return
	}
	data, _ := event["data"].(string)
	var inside any
	if err := json.Unmarshal([]byte(data), &inside); err != nil {
		s.t.Errorf("the data of %q: %v", one, err)
		return
	}
	schemas := s.document.Components.Schemas
	faults := []error{schemas["ServerSentEvent"].Value.VisitJSON(event, openapi3.EnableJSONSchema2020())}
	if event["event"] != "gap" {
		faults = append(faults, schemas["Event"].Value.VisitJSON(inside, openapi3.EnableJSONSchema2020()))
	}
	for _, err := range faults {
		if err != nil {
			s.t.Errorf("a watch tells what openapi.yaml does not: %v\n%s", err, one)
		}
	}
}

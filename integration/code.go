package integration

import "fmt"

// Code says why a request was refused. Its text is the event's reason, the metric's label and the API's error code,
// so it never changes once published.
type Code string

// All codes. Each has a row in [answers].
const (
	CodeInvalid         Code = "invalid_configuration"   // a field is malformed; the refusal names it
	CodeUnauthenticated Code = "unauthenticated"         // nobody known asks
	CodeDenied          Code = "forbidden"               // somebody known asks for what they may not have
	CodeNotFound        Code = "not_found"               // no such thing, or none that the asker may know of
	CodeExists          Code = "resource_already_exists" // uniqueness: the same customer identity twice in an environment
	CodeInUse           Code = "resource_in_use"         // connectors are bound
	CodeConflict        Code = "conflict"                // right in itself, wrong in the present state
	CodeQuota           Code = "quota_exceeded"          // the organization's limit is reached
	CodeThrottled       Code = "too_many_requests"       // slow down; try again
	CodeUnavailable     Code = "unavailable"             // a dependency is gone; try again
	CodeTimeout         Code = "timeout"                 // no answer within the bound; it may still be decided
	CodeInternal        Code = "internal_error"          // our fault; the text goes to the log, never to the caller
)

// Answer is what a Code becomes at the edges of the process.
type Answer struct {
	HTTP int // status of the REST answer
	Exit int // exit code of the command line
}

// answers is the only place where a Code becomes a number.
var answers = map[Code]Answer{
	CodeInvalid:         {422, 2},
	CodeUnauthenticated: {401, 8},
	CodeDenied:          {403, 3},
	CodeNotFound:        {404, 4},
	CodeExists:          {409, 5},
	CodeInUse:           {409, 5},
	CodeConflict:        {409, 5},
	CodeQuota:           {402, 6},
	CodeThrottled:       {429, 7},
	CodeUnavailable:     {503, 7},
	CodeTimeout:         {504, 7},
	CodeInternal:        {500, 1},
}

// Answer returns the numbers of c; an unknown code answers as [CodeInternal].
func (c Code) Answer() Answer {
	if a, ok := answers[c]; ok {
		return a
	}
	return answers[CodeInternal]
}

// Codes lists every Code there is, in no particular order.
func Codes() []Code {
	all := make([]Code, 0, len(answers))
	for c := range answers {
		all = append(all, c)
	}
	return all
}

// Refusal is the error of [Decide]: the request was understood and is refused.
type Refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	// Field is a JSON pointer into the request's data, or empty when no single field is at fault.
	Field string `json:"field,omitempty"`
}

func (r *Refusal) Error() string {
	if r.Field == "" {
		return fmt.Sprintf("%s: %s", r.Code, r.Message)
	}
	return fmt.Sprintf("%s: %s: %s", r.Code, r.Field, r.Message)
}

// Refuse makes a [Refusal] without a field.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

// refuseField makes a [CodeInvalid] refusal that names the field at fault.
func refuseField(field, format string, args ...any) *Refusal {
	return &Refusal{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

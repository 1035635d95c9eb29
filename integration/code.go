package integration

import "fmt"

// Code says why a request was refused. Its text is the event's reason, the metric's label and the API's error code,
// so it never changes once published.
type Code string

// All codes. Each has a row in [answers].
const (
	CodeInvalid         Code = "invalid_configuration"   // a field is malformed; the refusal names it
	CodeUnauthenticated Code = "unauthenticated"         // nobody known asks
	CodeUnproved        Code = "unproved"                // a command's signature does not prove who sends it
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
	// Means says to whoever got it what was wrong and what to do, in a sentence or two; docs/REFERENCE.md shows it.
	Means string
}

// answers is the only place where a Code becomes a number, and where it is explained.
var answers = map[Code]Answer{
	CodeInvalid:         {422, 2, "A field is malformed or does not fit the others; `field` is a JSON pointer to it. Correct it and send the command under a new id."},
	CodeUnauthenticated: {401, 8, "Who asks is not proved: the API key, token or certificate is missing, unknown, expired or wrong."},
	CodeUnproved:        {401, 8, "The command's signature does not prove that its producer may act as its actor: it is missing, wrong or too old, or its key is not registered for that. Sign it under the same id and send it again."},
	CodeDenied:          {403, 3, "Who asks is known, and no role of theirs permits it in this scope."},
	CodeNotFound:        {404, 4, "There is no such thing, or none that the asker may know of."},
	CodeExists:          {409, 5, "It would be there twice: the organization, or the customer's identity in this environment."},
	CodeInUse:           {409, 5, "Connectors are bound to it. Unbind them first, or force the deletion."},
	CodeConflict:        {409, 5, "Right in itself, wrong in the present state: look at what is there before asking again."},
	CodeQuota:           {402, 6, "A limit of the organization is reached. Delete what is not needed, or ask the platform for more."},
	CodeThrottled:       {429, 7, "Too many requests. Wait as long as `Retry-After` says."},
	CodeUnavailable:     {503, 7, "Something that is needed is away. Try again: REST with the same `Idempotency-Key`, a refused command under a new id."},
	CodeTimeout:         {504, 7, "No answer within the bound; it may still be decided. Ask again under the same id or `Idempotency-Key`: it is carried out once."},
	CodeInternal:        {500, 1, "A fault of ours. The log has the text, under the id of the request or command."},
}

// Answer returns what c becomes; an unknown code answers as [CodeInternal].
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

package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// Error is an answer from 400 on.
type Error struct {
	Status  int
	Faults  []wire.Fault
	Request string // X-Request-Id
	Command string // the id of the command that the request became, if it did
}

// Error is all details, each with the field or parameter that it is about.
func (e *Error) Error() string {
	if len(e.Faults) == 0 {
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	texts := make([]string, len(e.Faults))
	for n, f := range e.Faults {
		text := f.Detail
		if text == "" {
			text = f.Title
		}
		if f.Source != nil {
			text = f.Source.Pointer + f.Source.Parameter + ": " + text
		}
		texts[n] = text
	}
	return strings.Join(texts, "\n")
}

// Resolution is what the server says to do about it; empty when it says nothing.
func (e *Error) Resolution() string {
	for _, f := range e.Faults {
		if f.Resolution != "" {
			return f.Resolution
		}
	}
	return ""
}

// Code is the domain's code of err; what only the API has is put with its kind. An error that is no answer at all is
// [integration.CodeUnavailable].
func Code(err error) integration.Code {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return integration.CodeUnavailable
	}
	if len(e.Faults) > 0 {
		code := integration.Code(e.Faults[0].Code)
		if code == integration.CodeInternal || code.Answer() != integration.CodeInternal.Answer() {
			return code
		}
	}
	switch {
	case e.Status == http.StatusUnauthorized:
		return integration.CodeUnauthenticated
	case e.Status < 500:
		return integration.CodeInvalid
	case e.Status == http.StatusInternalServerError:
		return integration.CodeInternal
	}
	return integration.CodeUnavailable
}

// Package cloud names what every cloud has in common for us: temporary credentials, and the reasons why a cloud does
// not give them.
//
// It holds no behaviour of any cloud and no interface: what somebody needs of a cloud stands where it is needed. The
// life of a value: a package below this one (aws, …) asks its cloud, makes a [Session] of the answer or an [Error] of
// the refusal, and nothing of the cloud's own types goes further.
package cloud

import (
	"errors"
	"fmt"
	"time"

	"github.com/rolebridge/rolebridge/internal/secret"
)

// Session is a set of temporary credentials. It is a secret as a whole: only its text fields may be logged.
type Session struct {
	AccessKeyID     string
	SecretAccessKey secret.Text
	Token           secret.Text
	Expires         time.Time
	// Identity is what the cloud calls the holder, e.g. arn:aws:sts::…:assumed-role/…/….
	Identity string
	// Account is the cloud account of the identity; for AWS 12 digits.
	Account string
}

// Fault classifies what a cloud answered, so that callers never look at its texts.
type Fault string

// The faults.
const (
	FaultDenied      Fault = "denied"      // understood and refused; asking again changes nothing by itself
	FaultInvalid     Fault = "invalid"     // malformed or against a limit; our request is wrong
	FaultNotFound    Fault = "not-found"   // what was named does not exist
	FaultExists      Fault = "exists"      // what was to be made exists and is not ours
	FaultLimit       Fault = "limit"       // an account's quota is reached
	FaultTooLarge    Fault = "too-large"   // session policy and tags are more than the cloud packs into a session
	FaultThrottled   Fault = "throttled"   // too many requests; slow down
	FaultUnavailable Fault = "unavailable" // 5xx, time-out, connection refused
	FaultExpired     Fault = "expired"     // the credentials that were used have expired
)

// Error is what a cloud answered instead of doing what was asked.
type Error struct {
	Fault Fault
	// Code is the cloud's own error code, e.g. "AccessDenied". Never a request id: they would make equal reports differ.
	Code string
	// Message is the cloud's text, without request ids; empty when it might hold a secret.
	Message string
	// Op is what was asked, e.g. "sts:AssumeRole".
	Op string
	// Unproven: it did not believe who is asking (our key, token or signature), so it looked at nobody's policies.
	Unproven bool
}

func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("%s: %s (%s)", e.Op, e.Code, e.Fault)
	}
	return fmt.Sprintf("%s: %s (%s): %s", e.Op, e.Code, e.Fault, e.Message)
}

// Temporary reports whether the same request may succeed later without anybody changing anything.
func (e *Error) Temporary() bool {
	return e.Fault == FaultThrottled || e.Fault == FaultUnavailable || e.Fault == FaultExpired
}

// FaultOf returns the fault of err; what is no [Error] counts as [FaultUnavailable].
func FaultOf(err error) Fault {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Fault
	}
	return FaultUnavailable
}

package aws

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/rolebridge/rolebridge/cloud"
)

// Codes of ours, for what no answer of AWS stands behind.
const (
	CodeTimeout       = "Timeout"
	CodeCanceled      = "Canceled"
	CodeUnreachable   = "Unreachable"
	CodeNoCredentials = "NoCredentials" // our own credentials could not be had
	CodeBadAnswer     = "BadAnswer"
	CodeOwnAccount    = "OwnAccount" // what should be a customer's is in an account of the platform
)

// faults are AWS's error codes: the common errors of its APIs, and those of the IAM and STS API references.
var faults = map[string]cloud.Fault{
	"AccessDenied":                cloud.FaultDenied,
	"AccessDeniedException":       cloud.FaultDenied,
	"UnauthorizedOperation":       cloud.FaultDenied,
	"NotAuthorized":               cloud.FaultDenied,
	"OptInRequired":               cloud.FaultDenied,
	"RegionDisabledException":     cloud.FaultDenied,
	"UnmodifiableEntity":          cloud.FaultDenied,
	"InvalidClientTokenId":        cloud.FaultDenied,
	"UnrecognizedClientException": cloud.FaultDenied,
	"SignatureDoesNotMatch":       cloud.FaultDenied,
	"IncompleteSignature":         cloud.FaultDenied,
	"InvalidSignatureException":   cloud.FaultDenied,
	"MissingAuthenticationToken":  cloud.FaultDenied,

	"ExpiredToken":          cloud.FaultExpired,
	"ExpiredTokenException": cloud.FaultExpired,
	"RequestExpired":        cloud.FaultExpired,

	"ValidationError":         cloud.FaultInvalid,
	"MalformedPolicyDocument": cloud.FaultInvalid,
	"PackedPolicyTooLarge":    cloud.FaultTooLarge,
	"InvalidInput":            cloud.FaultInvalid,
	"InvalidParameterValue":   cloud.FaultInvalid,
	"MalformedInput":          cloud.FaultInvalid,

	"NoSuchEntity":              cloud.FaultNotFound,
	"NoSuchBucket":              cloud.FaultNotFound,
	"ResourceNotFoundException": cloud.FaultNotFound,
	"NotFoundException":         cloud.FaultNotFound, // KMS
	"EntityAlreadyExists":       cloud.FaultExists,
	"LimitExceeded":             cloud.FaultLimit,

	"Throttling":                cloud.FaultThrottled,
	"ThrottlingException":       cloud.FaultThrottled,
	"ThrottledException":        cloud.FaultThrottled,
	"RequestThrottled":          cloud.FaultThrottled,
	"RequestThrottledException": cloud.FaultThrottled,
	"RequestLimitExceeded":      cloud.FaultThrottled,
	"TooManyRequestsException":  cloud.FaultThrottled,
	"BandwidthLimitExceeded":    cloud.FaultThrottled,
	"PriorRequestNotComplete":   cloud.FaultThrottled,
	"SlowDown":                  cloud.FaultThrottled,

	"ConcurrentModification":        cloud.FaultUnavailable, // somebody changes the same role; later is another matter
	"DeleteConflict":                cloud.FaultUnavailable, // e.g. a policy whose deletion is not seen everywhere yet
	"EntityTemporarilyUnmodifiable": cloud.FaultUnavailable,
	"InternalFailure":               cloud.FaultUnavailable,
	"InternalError":                 cloud.FaultUnavailable,
	"ServiceFailure":                cloud.FaultUnavailable,
	"ServiceUnavailable":            cloud.FaultUnavailable,
	"RequestTimeout":                cloud.FaultUnavailable,
	"RequestTimeoutException":       cloud.FaultUnavailable,
}

// unproven are the codes of answers to whoever did not prove who they are.
var unproven = map[string]bool{
	"InvalidClientTokenId": true, "UnrecognizedClientException": true, "SignatureDoesNotMatch": true, "IncompleteSignature": true,
	"InvalidSignatureException": true, "MissingAuthenticationToken": true, "ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true,
}

// telling are the codes whose messages say something about policies, names and limits. All others are left out: the text
// of a signature's fault, for one, repeats the request with its token.
var telling = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "RegionDisabledException": true, "UnmodifiableEntity": true,
	"ValidationError": true, "MalformedPolicyDocument": true, "PackedPolicyTooLarge": true, "InvalidInput": true,
	"NoSuchEntity": true, "EntityAlreadyExists": true, "LimitExceeded": true, "DeleteConflict": true,
	"ConcurrentModification": true, "Throttling": true,
}

// asFault makes a *cloud.Error of whatever the SDK returned for op; nil of nil.
func asFault(op string, err error) error {
	if err == nil {
		return nil
	}
	out := &cloud.Error{Fault: cloud.FaultUnavailable, Op: op}
	var (
		own     *credentialsError
		api     smithy.APIError
		answer  *awshttp.ResponseError
		params  *smithy.InvalidParamsError
		garbled *smithy.DeserializationError
		unsent  *smithyhttp.RequestSendError
	)
	switch {
	// Before anything else: the chain of credentials makes calls of its own, and their answers are in err, too.
	case errors.As(err, &own):
		out.Code, out.Message = CodeNoCredentials, "our own credentials could not be had"
	case errors.As(err, &api):
		out.Code = api.ErrorCode()
		fault, known := faults[out.Code]
		if !known {
			fault = cloud.FaultInvalid
			if errors.As(err, &answer) {
				fault = faultOfStatus(answer.HTTPStatusCode())
			}
		}
		out.Fault, out.Unproven = fault, unproven[out.Code]
		if telling[out.Code] {
			out.Message = clean(api.ErrorMessage())
		}
	case errors.As(err, &params):
		out.Fault, out.Code = cloud.FaultInvalid, "InvalidParameter"
	case errors.Is(err, context.DeadlineExceeded):
		out.Code = CodeTimeout
	case errors.Is(err, context.Canceled):
		out.Code = CodeCanceled
	case errors.As(err, &unsent):
		out.Code = CodeUnreachable
	case errors.As(err, &answer), errors.As(err, &garbled):
		out.Code = CodeBadAnswer // whatever its status: what it said could not be read
	default:
		out.Code = CodeUnreachable
	}
	return out
}

// faultOfStatus classifies an answer whose code is not known, or that has none.
func faultOfStatus(status int) cloud.Fault {
	switch {
	case status == http.StatusTooManyRequests:
		return cloud.FaultThrottled
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return cloud.FaultDenied
	case status == http.StatusNotFound:
		return cloud.FaultNotFound
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return cloud.FaultInvalid
	default:
		return cloud.FaultUnavailable
	}
}

func badAnswer(op string) error {
	return &cloud.Error{Fault: cloud.FaultUnavailable, Op: op, Code: CodeBadAnswer}
}

// maxMessage bounds a message: it goes into reports.
const maxMessage = 400

var (
	requestID = regexp.MustCompile(`(?i)[ ,;(\[]*\b((x-amzn?-)?(extended )?(request|host)[ _-]?id|x-amz-id-2)\b["']?\s*[:=]?\s*["']?[\w+/=.-]*["')\]]*`)
	uuid      = regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`)
	keyID     = regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{12,}\b`)
	// opaque is what tokens and encoded authorization messages look like.
	opaque = regexp.MustCompile(`[A-Za-z0-9+/=_%-]{90,}`)
)

// clean takes out of a message what makes equal refusals differ or could open something: request ids, any other UUID, key
// ids, tokens; and bounds it.
func clean(message string) string {
	message = requestID.ReplaceAllString(message, "")
	for _, secretive := range []*regexp.Regexp{opaque, uuid, keyID} {
		message = secretive.ReplaceAllString(message, "…")
	}
	message = strings.Join(strings.Fields(strings.ToValidUTF8(message, "�")), " ")
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}

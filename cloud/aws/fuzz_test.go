package aws_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
)

// FuzzAnAnswerOfAWS: whatever answers at STS's or IAM's address, a session is whole; and an error has a fault that we act by,
// a short text in one line, and neither the request's id nor our keys in it.
func FuzzAnAnswerOfAWS(f *testing.F) {
	type answer struct {
		status int
		body   string
	}
	var next atomic.Pointer[answer]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now := next.Load()
		w.Header().Set("X-Amzn-Requestid", "0f0f0f0f-header-request-id")
		w.WriteHeader(now.status)
		_, _ = io.WriteString(w, now.body)
	}))
	f.Cleanup(server.Close)
	client, err := aws.New(f.Context(), aws.Config{
		Region: "eu-central-1", Endpoint: server.URL, Timeout: time.Minute,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "base-secret", ""),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(client.Close)
	const session = `<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><Arn>arn:aws:sts::222222222222:assumed-role/c/v</Arn><AssumedRoleId>A:v</AssumedRoleId></AssumedRoleUser>` +
		`<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>` +
		`</AssumeRoleResult><ResponseMetadata><RequestId>body-request-id-77</RequestId></ResponseMetadata></AssumeRoleResponse>`
	for _, body := range []string{
		"", session, strings.Replace(session, "2999-01-01T00:00:00Z", "tomorrow", 1), strings.Replace(session, "<SessionToken>t</SessionToken>", "", 1), session[:len(session)/2],
		refusal("AccessDenied", "User is not authorized, RequestId=body-request-id-77"), refusal("", ""), refusal("Throttling", strings.Repeat("x ", 9000)), refusal("NoSuch", "\x1b[2J"),
		"<a/>", "{}", "<GetRoleResponse><GetRoleResult><Role><AssumeRolePolicyDocument>%7B%zz</AssumeRolePolicyDocument></Role></GetRoleResult></GetRoleResponse>", "<GetRoleResponse><GetRoleResult/></GetRoleResponse>",
		`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, strings.Repeat("<a>", 3000),
	} {
		for _, status := range []int{200, 301, 403, 429, 500} {
			f.Add(status, body)
		}
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return // no server can say so
		}
		next.Store(&answer{status, body})
		got, assumed := client.Assume(t.Context(), aws.Assumption{Role: "arn:aws:iam::222222222222:role/c", SessionName: "validator"})
		if assumed == nil && (got.AccessKeyID == "" || got.SecretAccessKey.Empty() || got.Token.Empty() || got.Expires.IsZero()) {
			t.Fatalf("%d %q: half a session: %+v", status, body, got)
		}
		_, read := client.TrustPolicy(t.Context(), nil, "c")
		for _, err := range []error{assumed, read} {
			if err == nil {
				continue
			}
			e, ok := errors.AsType[*cloud.Error](err)
			if !ok || e.Fault == "" || len(e.Message) > 500 || strings.ContainsAny(e.Message, "\r\n") {
				t.Fatalf("%d %q: got %+v", status, body, err)
			}
			for _, never := range []string{"header-request-id", "base-secret", "AKIAIOSFO"} {
				if text := fmt.Sprintf("%+v", err); strings.Contains(text, never) && !strings.Contains(body, never) {
					t.Fatalf("%d %q: the error holds %q: %s", status, body, never, text)
				}
			}
		}
	})
}

// FuzzAKMSKey: what is taken for a key of KMS is the ARN that was given, with nothing but its parts.
func FuzzAKMSKey(f *testing.F) {
	for _, seed := range []string{
		"", "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "aws-kms://arn:aws:kms:eu-central-1:111122223333:alias/a", "arn:aws:kms::111122223333:key/x",
		"arn:aws:s3:eu-central-1:111122223333:key/x", "arn:aws:kms:eu-central-1:111122223333:key/..:x", "aws-kms://aws-kms://arn:aws:kms:eu-central-1:111122223333:key/x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := aws.ParseKMSKey(text); err == nil && key.String() != strings.TrimPrefix(text, "aws-kms://") || err == nil && strings.ContainsAny(text, " \r\n*") {
			t.Fatalf("%q is taken for %s", text, key)
		}
	})
}

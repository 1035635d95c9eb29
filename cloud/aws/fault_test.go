package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// answering is a server that gives every request the same answer.
func answering(t *testing.T, status int, body string) *aws.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Requestid", "0f0f0f0f-header-request-id")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	client, err := aws.New(t.Context(), aws.Config{
		Region: "eu-central-1", Endpoint: server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "base-secret", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func refusal(code, message string) string {
	return fmt.Sprintf(`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code>`+
		`<Message>%s</Message></Error><RequestId>body-request-id-77</RequestId></ErrorResponse>`, code, message)
}

func TestNoRequestIDOrSecretIsInAnError(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("IQoJb3JpZ2luX2VjE", 20) + "=="
	session := cloud.Session{AccessKeyID: "ASIAQWERTZUIOPASDFGH", SecretAccessKey: secret.New("session-secret"), Token: secret.New(token)}
	for name, message := range map[string]string{
		"an id behind the text": "User: arn:aws:sts::111111111111:assumed-role/cspi-a/v is not authorized (Service: Sts, Status Code: 403, Request ID: body-request-id-77)",
		"an id in SDK v1 style": "not authorized (Service: AWSSecurityTokenService; Status Code: 403; Error Code: AccessDenied; Request ID: 3f6e0c8b-6f0d-4c1e-9f7a-b8f0a0e1d2c3; Proxy: null)",
		"an id in other words":  "not authorized, RequestId=body-request-id-77, x-amz-id-2: Zm9vYmFyYmF6Zm9vYmFyYmF6",
		"an encoded message":    "not authorized. Encoded authorization failure message: " + strings.Repeat("aB3_-", 80),
		"the request repeated":  "The Canonical String should have been 'POST / x-amz-security-token:" + token + "' for ASIAQWERTZUIOPASDFGH",
	} {
		for _, code := range []string{"AccessDenied", "SignatureDoesNotMatch", "SomethingNew"} {
			client := answering(t, 403, refusal(code, message))
			_, err := client.Assume(t.Context(), aws.Assumption{With: &session, Role: "arn:aws:iam::222222222222:role/c", SessionName: "validator"})
			wantFault(t, name, err, cloud.FaultDenied, code)
			if e, _ := errors.AsType[*cloud.Error](err); e.Unproven != (code == "SignatureDoesNotMatch") {
				t.Errorf("%s: unproven %t", code, e.Unproven)
			}
			text := fmt.Sprintf("%v %+v %#v", err, err, err)
			for _, never := range []string{
				"request-id", "3f6e0c8b", "Zm9vYmFy", "aB3_-aB3", token[:40], "ASIAQWERTZ", "session-secret", "base-secret", "AKIAIOSFO",
			} {
				if strings.Contains(text, never) {
					t.Errorf("%s, code %s: the error holds %q: %s", name, code, never, text)
				}
			}
			if code == "AccessDenied" && !strings.Contains(text, "authorized") && !strings.Contains(text, "Canonical") {
				t.Errorf("%s: the error lost its text: %s", name, text)
			}
		}
	}
}

func TestAnswersThatAreNotOfAWS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		fault  cloud.Fault
		code   string
	}{
		"a proxy's 502":            {502, "<html>bad gateway</html>", cloud.FaultUnavailable, "UnknownError"},
		"a 429 of unknown code":    {429, refusal("Odd", "m"), cloud.FaultThrottled, "Odd"},
		"a 418 of unknown code":    {418, refusal("Odd", "m"), cloud.FaultInvalid, "Odd"},
		"a 403 cut short":          {403, "<ErrorResponse><Error><Co", cloud.FaultUnavailable, aws.CodeBadAnswer},
		"a success that is no XML": {200, "hello", cloud.FaultUnavailable, aws.CodeBadAnswer},
		"a success that holds half": {200, "<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser/><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey>" +
			"<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>", cloud.FaultUnavailable, aws.CodeBadAnswer},
		"a success that holds nothing": {200, "<AssumeRoleResponse><AssumeRoleResult></AssumeRoleResult></AssumeRoleResponse>", cloud.FaultUnavailable, aws.CodeBadAnswer},
		"a redirect":                   {307, "", cloud.FaultUnavailable, "UnknownError"},
	} {
		_, err := answering(t, c.status, c.body).Assume(t.Context(), aws.Assumption{Role: "arn:aws:iam::222222222222:role/c", SessionName: "validator"})
		wantFault(t, name, err, c.fault, c.code)
	}
}

package aws_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
)

// AWS refuses signatures that are more than 5 minutes old or ahead (IAM user guide, "Troubleshooting Signature V4").
func TestAClockThatIsOffIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{6 * time.Minute, -6 * time.Minute, 3 * time.Hour} {
		var asked, late atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			now := time.Now().Add(off).UTC()
			w.Header().Set("Date", now.Format(http.TimeFormat))
			at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
			if err != nil || now.Sub(at).Abs() > 5*time.Minute {
				late.Add(1)
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(refusal("SignatureDoesNotMatch", "Signature expired")))
				return
			}
			_, _ = fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>`+
				`<AssumedRoleUser><AssumedRoleId>A:s</AssumedRoleId><Arn>arn:aws:sts::111111111111:assumed-role/r/s</Arn></AssumedRoleUser>`+
				`<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>`+
				`<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, now.Add(time.Hour).Format(time.RFC3339))
		}))
		t.Cleanup(server.Close)
		client, err := aws.New(t.Context(), aws.Config{
			Region: "eu-central-1", Endpoint: server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		for range 3 {
			if _, err := client.Assume(t.Context(), aws.Assumption{Role: "arn:aws:iam::111111111111:role/r", SessionName: "validator"}); err != nil {
				t.Errorf("a clock that is %s off: %v (%s)", off, err, cloud.FaultOf(err))
			}
		}
		if asked.Load() != 4 || late.Load() != 1 {
			t.Errorf("%s off: %d requests for 3 calls, of which %d were refused; want 4 and 1", off, asked.Load(), late.Load())
		}
	}
}

package aws_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
)

// slowWrites is a connection whose writes return after the answer to them is there.
type slowWrites struct{ net.Conn }

func (c slowWrites) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	<-time.After(20 * time.Millisecond)
	return n, err
}

func TestAnAnswerThatComesBeforeTheWriteReturnsIsRead(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-time.After(60 * time.Millisecond) // the body comes after the client's write has returned
		_, _ = io.WriteString(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::111111111111:user/u</Arn>`+
			`<UserId>U</UserId><Account>111111111111</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	}))
	t.Cleanup(server.Close)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return slowWrites{conn}, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	client := sts.NewFromConfig(sdk.Config{
		Region: awstest.Region, BaseEndpoint: &server.URL, Credentials: awstest.Static("AKIAIOSFODNN7EXAMPLE", "secret"),
		HTTPClient: &http.Client{Transport: aws.FromMemory(transport)}, Retryer: func() sdk.Retryer { return sdk.NopRetryer{} },
	})
	for n := range 3 {
		if _, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
	}
}

package awstest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// KMSKey makes a key at the KMS of endpoint, in [Region], and returns its ARN.
func KMSKey(t testing.TB, endpoint string) string {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	made, err := kms.NewFromConfig(sdk.Config{
		Region: Region, BaseEndpoint: &endpoint, Credentials: Static("any", "any"), HTTPClient: &http.Client{Transport: transport},
	}).CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *made.KeyMetadata.Arn
}

// Road is the way to an endpoint, which can be cut, and counts who takes it.
type Road struct {
	URL   string
	Cut   atomic.Bool
	Taken atomic.Int64
}

// RoadTo opens a road that ends with the test.
func RoadTo(t testing.TB, endpoint string) *Road {
	t.Helper()
	to, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport, road := &http.Transport{}, &Road{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		road.Taken.Add(1)
		if road.Cut.Load() {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	road.URL = server.URL
	return road
}

package aws

import (
	"bytes"
	"io"
	"net/http"
)

// FromMemory sends the bodies of requests from memory, for clients of the SDK whose retries are off.
//
// The SDK hands net/http a reader that it does not know, so header and body are written apart, and the SDK closes that
// reader as soon as the answer begins. Where the answer is quicker than the return of the write, net/http then looks for
// more of the body, gets io.EOF from the closed reader's WriteTo, takes that for a failed write and closes the connection
// under the answer ("use of closed network connection", aws-sdk-go-v2 issues 1825 and 2737; one call in a hundred to a
// server on the same machine). The SDK's own retries hide it. Only for small bodies, as those of IAM and STS.
func FromMemory(to http.RoundTripper) http.RoundTripper { return fromMemory{to} }

type fromMemory struct{ to http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (f fromMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return f.to.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close() // it was read to its end
	if err != nil {
		return nil, err
	}
	own := *r // a RoundTripper must not change what it is given
	own.Body = io.NopCloser(bytes.NewReader(body))
	own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	own.ContentLength = int64(len(body))
	return f.to.RoundTrip(&own)
}

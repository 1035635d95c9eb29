package testenv

import (
	"context"
	"testing"

	"github.com/rolebridge/rolebridge/internal/testenv/provision"
)

// PythonSDK answers a Python interpreter that has boto3 and the AWS CLI (-m awscli).
func PythonSDK(t testing.TB) (python string) {
	t.Helper()
	return installed(t, "Python with boto3 and the AWS CLI", provision.InstallPythonSDK)
}

// JavaScriptSDK answers Node.js and a folder node_modules that has the AWS SDK for JavaScript. A program finds it when a
// link of that name stands beside it.
func JavaScriptSDK(t testing.TB) provision.JavaScriptSDK {
	t.Helper()
	return installed(t, "AWS SDK for JavaScript", provision.InstallJavaScriptSDK)
}

// Curl answers the path of curl.
func Curl(t testing.TB) string {
	t.Helper()
	return installed(t, "curl", provision.InstallCurl)
}

// installed answers what install made sure of, for this test.
func installed[T any](t testing.TB, what string, install func(context.Context) (T, error)) T {
	t.Helper()
	full(t)
	found, err := install(t.Context())
	if err != nil {
		t.Fatalf(`no %s to test with: %v

Any of these helps:
  - go run ./internal/testenv/cmd/provision   installs everything and says what is in the way
  - go test -short ./...                      leaves these tests out`, what, err)
	}
	return found
}

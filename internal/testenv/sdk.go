package testenv

import (
	"context"
	"os/exec"
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

// Connect answers the jars of a Kafka Connect worker with sinks for S3 and DynamoDB, of which one has the AWS SDK for Java.
func Connect(t testing.TB) provision.Connect {
	t.Helper()
	return installed(t, "Kafka Connect", provision.InstallConnect)
}

// Maven runs Maven in a folder, and returns what it said when it fails.
func Maven(t testing.TB, dir string, args ...string) {
	t.Helper()
	mvn := installed(t, "Maven with a JDK", func(ctx context.Context) (string, error) {
		_, mvn, err := provision.InstallMaven(ctx)
		return mvn, err
	})
	cmd := exec.CommandContext(t.Context(), mvn, append([]string{"-B", "-ntp"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mvn %v: %v\n%s", args, err, out)
	}
}

// PythonKit answers a Python interpreter that has confluent-kafka, cryptography and jsonschema.
func PythonKit(t testing.TB) (python string) {
	t.Helper()
	return installed(t, "Python with confluent-kafka", provision.InstallPythonKit)
}

// JavaKit answers a JDK and the jars of the example in Java.
func JavaKit(t testing.TB) provision.JavaKit {
	t.Helper()
	return installed(t, "JDK with Kafka's client", provision.InstallJavaKit)
}

// JQ answers the path of jq.
func JQ(t testing.TB) (path string) {
	t.Helper()
	return installed(t, "jq", provision.InstallJQ)
}

// Schemathesis answers a Python interpreter that has schemathesis (-m schemathesis.cli).
func Schemathesis(t testing.TB) (python string) {
	t.Helper()
	return installed(t, "schemathesis", provision.InstallSchemathesis)
}

// OpenSSL answers the path of the command openssl.
func OpenSSL(t testing.TB) (path string) {
	t.Helper()
	return installed(t, "openssl", provision.InstallOpenSSL)
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

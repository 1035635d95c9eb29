package sandbox_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// BenchmarkAssumeRole is the ceiling of whatever is measured against the sandbox: SDK, loopback and decision together.
func BenchmarkAssumeRole(b *testing.B) {
	w := newWorld(b)
	role := w.role(b, w.customer, "target", trustOf(w.broker.ARN))
	client := w.sts(b, w.broker.Key)
	in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("bench"), ExternalId: aws.String(rightID)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.AssumeRole(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

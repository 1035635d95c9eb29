package integration_test

import (
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

// FuzzACustomersIdentity: whatever is given as an identity, a refusal has a code and says where, and a role that is taken is
// nothing but its parts.
func FuzzACustomersIdentity(f *testing.F) {
	for _, seed := range []string{
		"", "arn:aws:iam::000000000000:role/r", "arn:aws-cn:iam::000000000000:role/a/b/r", "arn:aws:iam::000000000000:role/*", "arn:aws:iam::1:role/r",
		"name@project.iam.gserviceaccount.com", "00000000-0000-0000-0000-000000000000", "\x00", "arn:aws:iam::000000000000:role//r", "é",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []integration.Kind{integration.KindAWS, integration.KindGCP, integration.KindAzure, integration.Kind(text)} {
			refused := integration.Config{Kind: kind, Customer: text}.Check("/config")
			if refused != nil && (refused.Code != integration.CodeInvalid || !strings.HasPrefix(refused.Field, "/config") || len(refused.Message) > 4096+len(text)) {
				t.Fatalf("%s %q: %+v", kind, text, refused)
			}
		}
		arn, ok := integration.ParseRoleARN(text)
		if whole := "arn:" + arn.Partition + ":iam::" + arn.Account + ":role" + arn.Path + arn.Name; ok && whole != text {
			t.Fatalf("%q reads as %+v, which is %q", text, arn, whole)
		}
	})
}

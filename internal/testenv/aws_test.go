package testenv_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestMiniStackRefusesAWrongExternalID(t *testing.T) {
	t.Parallel()
	attempt := roleWithExternalID(t, testenv.MiniStack(t))

	if err := attempt("right"); err != nil {
		t.Errorf("the right external ID: %v", err)
	}
	for _, id := range []string{"wrong", ""} {
		err := attempt(id)
		var refusal smithy.APIError
		if !errors.As(err, &refusal) || refusal.ErrorCode() != "AccessDenied" {
			t.Errorf("external ID %q: got %v, want AccessDenied", id, err)
		}
	}
}

func TestMotoLetsAWrongExternalIDIn(t *testing.T) {
	t.Parallel()
	attempt := roleWithExternalID(t, testenv.Moto(t))
	for _, id := range []string{"right", "wrong", ""} {
		if err := attempt(id); err != nil {
			t.Errorf("external ID %q: got %v, want a session", id, err)
		}
	}
}

func TestTheMachinesAWSVariablesAreGone(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "/nowhere")
	t.Setenv("AWS_PROFILE", "production")
	testenv.CleanAWSEnv()
	for _, name := range []string{"AWS_CA_BUNDLE", "AWS_PROFILE"} {
		if value, ok := os.LookupEnv(name); ok {
			t.Errorf("%s = %q, want it unset", name, value)
		}
	}
}

// roleWithExternalID makes a role that a second account may assume with the external ID "right", and returns that
// account's attempt to do so.
func roleWithExternalID(t *testing.T, url string) func(externalID string) error {
	t.Helper()
	customer, platform := testenv.Account(t), testenv.Account(t)
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
		"Principal":{"AWS":"arn:aws:iam::%s:root"},"Condition":{"StringEquals":{"sts:ExternalId":"right"}}}]}`, platform)
	role, err := iam.NewFromConfig(as(customer), func(o *iam.Options) { o.BaseEndpoint = &url }).CreateRole(t.Context(),
		&iam.CreateRoleInput{RoleName: aws.String("shared-" + customer), AssumeRolePolicyDocument: &trust})
	if err != nil {
		t.Fatalf("create the role: %v", err)
	}
	// moto knows no account by its key and makes every role in one account, so the ARN is as it says.
	client := sts.NewFromConfig(as(platform), func(o *sts.Options) { o.BaseEndpoint = &url })
	return func(externalID string) error {
		in := &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("test")}
		if externalID != "" {
			in.ExternalId = &externalID
		}
		_, err := client.AssumeRole(t.Context(), in)
		return err
	}
}

func as(account string) aws.Config {
	return aws.Config{Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider(account, "test", "")}
}

package awstest

import (
	"net/http"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/rolebridge/rolebridge/cloud/aws"
)

// Static is a fixed key.
func Static(id, secret string) sdk.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(id, secret, "")
}

// IAM is a client of the IAM at endpoint, on connections of its own, without retries.
func IAM(t testing.TB, endpoint string, who sdk.CredentialsProvider) *iam.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return iam.NewFromConfig(sdk.Config{
		Region: Region, BaseEndpoint: &endpoint, Credentials: who,
		HTTPClient: &http.Client{Transport: aws.FromMemory(transport)}, Retryer: func() sdk.Retryer { return sdk.NopRetryer{} },
	})
}

// User is an identity with a key of its own.
type User struct {
	ARN string
	Key sdk.CredentialsProvider
}

// MiniStackUser makes a user who may assume roles in an account of MiniStack, whose root is the account id itself.
func MiniStackUser(t testing.TB, endpoint, account, name string) User {
	t.Helper()
	client := IAM(t, endpoint, Static(account, "test"))
	made, err := client.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{
		UserName: &name, PolicyName: sdk.String("assume"), PolicyDocument: sdk.String(assumeAnything),
	}); err != nil {
		t.Fatal(err)
	}
	key, err := client.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return User{*made.User.Arn, Static(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey)}
}

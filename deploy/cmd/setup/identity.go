package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	userName = "rolebridge"
	region   = "us-east-1"
	// permissions are all that rolebridge's own identity may do: make platform roles, and become them.
	permissions = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:CreateRole","iam:GetRole","iam:DeleteRole",
"iam:UpdateAssumeRolePolicy","iam:UpdateRole","iam:TagRole","iam:ListRoleTags","iam:PutRolePolicy","iam:GetRolePolicy",
"iam:DeleteRolePolicy","iam:ListRolePolicies","sts:AssumeRole","sts:TagSession"],"Resource":"*"}]}`
)

// keys is the part of a credentials file that identity writes.
var keys = regexp.MustCompile(`(?m)^aws_access_key_id = (\S+)\naws_secret_access_key = (\S+)$`)

// identity makes the user and its access key, unless the key that is there still works: the stand-in forgets everything
// when it is restarted.
func (s settings) identity(ctx context.Context) (made bool, err error) {
	path := s.file("aws-credentials")
	if text, err := os.ReadFile(path); err == nil {
		if found := keys.FindSubmatch(text); len(found) == 3 && s.works(ctx, string(found[1]), string(found[2])) {
			return false, nil
		}
	}
	client := iam.New(iam.Options{
		Region: region, BaseEndpoint: &s.AWSEndpoint, Credentials: credentials.NewStaticCredentialsProvider(s.AWSAccount, "test", ""),
	})
	if err := s.user(ctx, client); err != nil {
		return false, fmt.Errorf("make user %s: %w", userName, err)
	}
	key, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String(userName)})
	if err != nil {
		return false, fmt.Errorf("make an access key: %w", err)
	}
	return true, place(path, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey))
}

// works reports whether the stand-in knows a key. While it does not answer, none is known to work.
func (s settings) works(ctx context.Context, id, secret string) bool {
	client := sts.New(sts.Options{
		Region: region, BaseEndpoint: &s.AWSEndpoint, Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
	})
	who, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	return err == nil && aws.ToString(who.Account) == s.AWSAccount
}

// user makes the user, and waits for the stand-in to answer at all.
func (s settings) user(ctx context.Context, client *iam.Client) error {
	for {
		_, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String(userName)})
		var exists *types.EntityAlreadyExistsException
		if err == nil || errors.As(err, &exists) {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
	_, err := client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: aws.String(userName), PolicyName: aws.String("platform"), PolicyDocument: aws.String(permissions),
	})
	return err
}

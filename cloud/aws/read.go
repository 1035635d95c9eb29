package aws

import (
	"context"
	"net/url"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/rolebridge/rolebridge/cloud"
)

// TrustPolicy reads the trust policy of a role, as IAM holds it now. with is a session of the role's account that is
// allowed iam:GetRole on it. Every error is a *[cloud.Error]; [cloud.FaultDenied] when it is not allowed.
func (c *Client) TrustPolicy(ctx context.Context, with *cloud.Session, role string) (string, error) {
	reader := iam.NewFromConfig(c.sdk, func(o *iam.Options) {
		o.Retryer = sdk.NopRetryer{}
		if who := c.as(with); who != nil {
			o.Credentials = who
		}
	})
	var out *iam.GetRoleOutput
	err := c.ask(ctx, opGetRole, func(ctx context.Context) (err error) {
		out, err = reader.GetRole(ctx, &iam.GetRoleInput{RoleName: &role})
		return err
	})
	if err != nil {
		return "", err
	}
	if out.Role == nil || out.Role.AssumeRolePolicyDocument == nil {
		return "", badAnswer(opGetRole)
	}
	text := *out.Role.AssumeRolePolicyDocument
	if plain, err := url.PathUnescape(text); err == nil { // IAM escapes; not every stand-in does
		text = plain
	}
	return text, nil
}

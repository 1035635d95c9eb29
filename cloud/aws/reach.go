package aws

import (
	"context"
	"errors"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// ListBucket lists nothing (at most 0 keys) under the prefix as with, which takes the permission to list it. Every error
// is a *[cloud.Error]; [cloud.FaultInvalid] without a call when a name is none of a bucket or prefix.
func (c *Client) ListBucket(ctx context.Context, with *cloud.Session, at policy.S3) error {
	return c.onBucket(ctx, OpListBucket, with, at, func(ctx context.Context, client *s3.Client) error {
		_, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &at.Bucket, Prefix: sdk.String(at.Folder()), MaxKeys: sdk.Int32(0),
		})
		return err
	})
}

// LocateBucket asks as with where the bucket is. It stands in for HeadBucket: a session that only writes may not make
// that, and the answer to a HEAD has no error code, so that a refusal of the bucket would look like trouble with the
// session. Errors are as those of [Client.ListBucket].
func (c *Client) LocateBucket(ctx context.Context, with *cloud.Session, at policy.S3) error {
	return c.onBucket(ctx, OpLocateBucket, with, at, func(ctx context.Context, client *s3.Client) error {
		_, err := client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &at.Bucket})
		return err
	})
}

// onBucket makes a call where the bucket is. A bucket's name does not say its region; S3 does, to whoever asks elsewhere.
func (c *Client) onBucket(
	ctx context.Context, op string, with *cloud.Session, at policy.S3, call func(context.Context, *s3.Client) error,
) error {
	if err := (policy.Part{S3: &at}).Check(); err != nil {
		return badName(op)
	}
	in := func(region string) *s3.Client {
		return s3.NewFromConfig(c.sdk, func(o *s3.Options) {
			o.Region, o.Retryer, o.Credentials = region, sdk.NopRetryer{}, c.as(with)
			// The bucket stands in the path, never in the host, and no form of its name leads to another service.
			o.UsePathStyle, o.UseARNRegion = true, false
			o.DisableMultiRegionAccessPoints, o.DisableS3ExpressSessionAuth = true, sdk.Bool(true)
		})
	}
	return c.ask(ctx, op, func(ctx context.Context) error {
		err := call(ctx, in(c.sdk.Region))
		if home := bucketRegion(err); home != "" && home != c.sdk.Region {
			return call(ctx, in(home))
		}
		return err
	})
}

// bucketRegion is the region that S3 refers to; empty when it does not.
func bucketRegion(err error) string {
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || answer.Response == nil {
		return ""
	}
	switch answer.HTTPStatusCode() {
	case 301, 307, 400: // 400: signed for another region (AuthorizationHeaderMalformed)
		if home := answer.Response.Header.Get("X-Amz-Bucket-Region"); region.MatchString(home) {
			return home
		}
	}
	return ""
}

// DescribeTable asks as with for the description of a table, which must be in the session's own account, and throws it
// away. Errors are as those of [Client.ListBucket].
func (c *Client) DescribeTable(ctx context.Context, with *cloud.Session, at policy.DynamoDB) error {
	if err := (policy.Part{DynamoDB: &at}).Check(); err != nil {
		return badName(OpDescribeTable)
	}
	client := dynamodb.NewFromConfig(c.sdk, func(o *dynamodb.Options) {
		o.Region, o.Retryer, o.Credentials = at.Region, sdk.NopRetryer{}, c.as(with)
		o.AccountIDEndpointMode = sdk.AccountIDEndpointModeDisabled
		o.EndpointDiscovery.EnableEndpointDiscovery = sdk.EndpointDiscoveryDisabled
	})
	return c.ask(ctx, OpDescribeTable, func(ctx context.Context) error {
		_, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &at.Table})
		return err
	})
}

func badName(op string) error {
	return &cloud.Error{Fault: cloud.FaultInvalid, Op: op, Code: "InvalidName"}
}

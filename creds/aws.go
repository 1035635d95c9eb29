package creds

import (
	"context"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
)

// FromAWS makes a [Cloud] of an AWS client, whose own credentials are the base of every chain. The client's region has
// to be the broker's.
func FromAWS(client *aws.Client) Cloud { return awsCloud{client} }

type awsCloud struct{ client *aws.Client }

func (c awsCloud) Assume(ctx context.Context, as *cloud.Session, r Role) (cloud.Session, error) {
	return c.client.Assume(ctx, aws.Assumption{
		With: as, Role: r.ARN, SessionName: r.SessionName, ExternalID: r.ExternalID, Tags: r.Tags, Policy: r.Policy, SourceIdentity: r.SourceIdentity,
		Duration: r.Duration,
	})
}

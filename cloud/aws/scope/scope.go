// Package scope makes the session policy of a binding's resources.
//
// It is not a judge of what a binding may reach: a session policy only narrows what the customer's role may do. The life of
// a policy: the decider makes it when a connector is bound, to refuse resources that no session could be narrowed to; the
// broker makes it again, the same, for each session that it asks for. Nothing is stored.
package scope

import (
	"errors"
	"fmt"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// Policy is the session policy, without white space, that narrows the sessions of the customer c to resources; empty when
// there are none. Its length is for the caller to judge. The refusal names the field at fault, under /resources. It is a
// function of its arguments alone.
func Policy(c integration.Config, resources []integration.Resource) (string, *integration.Refusal) {
	if len(resources) == 0 {
		return "", nil
	}
	role, ok := integration.ParseRoleARN(c.Customer)
	if c.Kind != integration.KindAWS || !ok {
		return "", refuse("/resources", "sessions can be narrowed in AWS only")
	}
	parts := make([]policy.Part, 0, len(resources))
	for n, r := range resources {
		part, at := PartOf(role, r)
		if err := part.Check(); err != nil {
			return "", refusal(fmt.Sprintf("/resources/%d/%s", n, at), err)
		}
		parts = append(parts, part)
	}
	d, err := policy.SessionTo(parts...)
	if err != nil {
		return "", refusal("/resources", err)
	}
	return d.Compact(), nil
}

// PartOf returns the resource in the partition and account of the customer's role, and its name on the wire.
func PartOf(role integration.RoleARN, r integration.Resource) (policy.Part, string) {
	if r.S3 != (integration.S3Objects{}) {
		s3 := policy.S3{Partition: role.Partition, Bucket: r.S3.Bucket, Prefix: r.S3.Prefix}
		return policy.Part{S3: &s3, Read: reads(r.S3.Access), Write: writes(r.S3.Access)}, "s3"
	}
	t := r.DynamoDB
	table := policy.DynamoDB{Partition: role.Partition, Region: t.Region, Account: role.Account, Table: t.Table}
	return policy.Part{DynamoDB: &table, Read: reads(t.Access), Write: writes(t.Access)}, "dynamodb"
}

func reads(a integration.Access) bool  { return a != integration.AccessWrite }
func writes(a integration.Access) bool { return a != integration.AccessRead }

func refusal(at string, err error) *integration.Refusal {
	if field, ok := errors.AsType[*policy.FieldError](err); ok {
		return refuse(at+"/"+field.Field, "want %s", field.Want)
	}
	return refuse(at, "%s", err)
}

func refuse(field, format string, args ...any) *integration.Refusal {
	return &integration.Refusal{Code: integration.CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

package trust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/aws/scope"
	"github.com/rolebridge/rolebridge/integration"
)

// mostPermissions is the longest policy in the check's remedy, in bytes: IAM's quota for all inline policies of a role is
// 10,240 characters, and a report has its own bound.
const mostPermissions = 8192

// permissions looks whether the role reaches the resources that bindings name, with a call for each that reads and
// changes nothing. It uses the second hop's own session. A binding's would be a further AssumeRole each, and shows no
// more: a session policy only narrows, we make it ourselves, and every call made here is one that it allows.
//
// It passes when all calls did. A refusal is a failure, whatever the others; one that could not be made is an error. The
// rest is not looked at once one could not be made: the service is away, or the account's turn. It has a part of the
// budget only, so that the report comes in time.
func (p *proof) permissions(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckPermissions, Outcome: integration.Pass}
	if len(p.claim.Resources) == 0 {
		c.Outcome, c.Reason = integration.Skipped, ReasonNoResources
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, p.prover.config.Budget/4)
	defer cancel()
	named := p.claim.Resources[:min(len(p.claim.Resources), integration.MaxProbed)]
	leftOut := p.claim.LeftOut + len(p.claim.Resources) - len(named)
	var said []string
	var missing []policy.Part
	for n, r := range named {
		part, _ := scope.PartOf(p.customer, r)
		err := p.reach(ctx, part)
		if err == nil {
			continue
		}
		one := failed(integration.Check{}, err, refused(err))
		if c.Outcome != integration.Fail {
			c.Outcome, c.Reason = one.Outcome, one.Reason
		}
		said = append(said, fmt.Sprintf("%s: %s", nameOf(part), saying(one, err)))
		if one.Outcome == integration.Errored {
			leftOut += len(named) - n - 1
			break
		}
		if accessDenied(err) {
			missing = append(missing, part)
		}
	}
	if leftOut > 0 {
		said = append(said, fmt.Sprintf("%d more that bindings name were not looked at", leftOut))
	}
	c.Detail, c.Remedy = strings.Join(said, "; "), p.pastePermissions(missing)
	if c.Outcome == integration.Fail && c.Remedy == "" {
		c.Remedy = "Create what does not exist, or bind the connectors to what does."
	}
	return c
}

// reach makes the calls for one resource.
func (p *proof) reach(ctx context.Context, part policy.Part) error {
	var calls []func(context.Context) error
	switch {
	case part.DynamoDB != nil:
		calls = append(calls, func(ctx context.Context) error { return p.client.DescribeTable(ctx, &p.hop2, *part.DynamoDB) })
	default:
		if part.Write {
			calls = append(calls, func(ctx context.Context) error { return p.client.LocateBucket(ctx, &p.hop2, *part.S3) })
		}
		if part.Read {
			calls = append(calls, func(ctx context.Context) error { return p.client.ListBucket(ctx, &p.hop2, *part.S3) })
		}
	}
	for _, call := range calls {
		if _, err := tryOn(ctx, p, p.customer.Account, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, call(ctx)
		}); err != nil {
			return err
		}
	}
	return nil
}

func nameOf(part policy.Part) string {
	if part.DynamoDB != nil {
		return fmt.Sprintf("DynamoDB table %s in %s", clip(part.DynamoDB.Table, 255), clip(part.DynamoDB.Region, 32))
	}
	if part.S3.Prefix != "" {
		return fmt.Sprintf("S3 bucket %s under %s", clip(part.S3.Bucket, 63), clip(part.S3.Folder(), 513))
	}
	return "S3 bucket " + clip(part.S3.Bucket, 63)
}

// saying is what became of a resource. The cloud's own message is left out: it repeats the names, and a report is bounded.
func saying(c integration.Check, err error) string {
	op := ""
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		op = e.Op + " "
	}
	switch {
	case c.Outcome == integration.Errored:
		return op + "could not be tried (" + c.Reason + ")"
	case cloud.FaultOf(err) == cloud.FaultNotFound:
		return "does not exist (" + c.Reason + ")"
	}
	return op + "was refused (" + c.Reason + ")"
}

// pastePermissions is one permission policy with all that connectors need of the parts; empty for none.
func (p *proof) pastePermissions(parts []policy.Part) string {
	document := policy.Document{Kind: policy.Identity}
	left := 0
	for _, part := range parts {
		next := document
		for _, d := range permissionsOf(part) {
			for _, g := range d.Statements {
				g.Sid = fmt.Sprintf("%s%d", g.Sid, len(next.Statements)+1) // unique in the policy
				next.Statements = append(slices.Clip(next.Statements), g)
			}
		}
		if len(next.JSON()) > mostPermissions {
			left++
			continue
		}
		document = next
	}
	if len(document.Statements) == 0 {
		return ""
	}
	more := ""
	if left > 0 {
		more = fmt.Sprintf(" (it does not have room for %d more)", left)
	}
	return fmt.Sprintf("Add this permission policy to the role %s%s; if the bucket is of another account, its bucket policy must allow the role as well:\n%s",
		p.customer.Name, more, document.JSON())
}

// permissionsOf are the policies of the connectors that work on the part.
func permissionsOf(part policy.Part) (all []policy.Document) {
	add := func(d policy.Document, err error) {
		if err == nil { // else the names are none, and no call was made
			all = append(all, d)
		}
	}
	switch {
	case part.DynamoDB != nil && part.Write:
		add(policy.DynamoDBSink(*part.DynamoDB))
	case part.S3 != nil && part.Write:
		add(policy.S3Sink(*part.S3))
	}
	switch {
	case part.DynamoDB != nil && part.Read:
		add(policy.DynamoDBSource(*part.DynamoDB))
	case part.S3 != nil && part.Read:
		add(policy.S3Source(*part.S3))
	}
	return all
}

package aws

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"reflect"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// Tags of a platform role. The first two say whose it is.
const (
	TagOrganization = "rolebridge:organization"
	TagIntegration  = "rolebridge:integration"
	TagEnvironment  = "rolebridge:environment"
)

// permissionPolicy names the one inline policy of a platform role.
const permissionPolicy = "assume-customer-role"

// wanted is what a platform role must be like, in IAM's words.
type wanted struct {
	tags        map[string]string
	path        string
	trust       string
	permissions string
}

func tagsOf(spec RoleSpec) map[string]string {
	tags := map[string]string{TagOrganization: spec.Organization, TagIntegration: spec.Name}
	if spec.Environment != "" {
		tags[TagEnvironment] = spec.Environment
	}
	return tags
}

// permissionsFor is what the role may do: become the one customer role, or for a draft try whichever it is.
func (p *Platform) permissionsFor(spec RoleSpec) (string, error) {
	document, err := policy.DraftPermissions(p.partition)
	if spec.Customer != "" {
		document, err = policy.PlatformPermissions(spec.Customer)
	}
	return string(document.JSON()), err
}

func ours(tags []types.Tag, spec RoleSpec) bool {
	have := tagMap(tags)
	return have[TagOrganization] == spec.Organization && have[TagIntegration] == spec.Name
}

func foreign(name string) error {
	return &cloud.Error{
		Fault: cloud.FaultExists, Code: "EntityAlreadyExists", Op: opCreateRole,
		Message: "the role " + name + " exists in the platform's account and does not carry the tags of this integration",
	}
}

func (p *Platform) find(ctx context.Context, a account, name string) (*types.Role, error) {
	var out *iam.GetRoleOutput
	err := p.client.ask(ctx, opGetRole, func(ctx context.Context) (err error) {
		out, err = a.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
		return err
	})
	if err != nil {
		return nil, err
	}
	if out.Role == nil || out.Role.Arn == nil {
		return nil, badAnswer(opGetRole)
	}
	return out.Role, nil
}

// create makes the role, or finds the one that somebody else has just made, if it is ours.
func (p *Platform) create(ctx context.Context, a account, spec RoleSpec, want wanted) (*types.Role, error) {
	var out *iam.CreateRoleOutput
	err := p.client.ask(ctx, opCreateRole, func(ctx context.Context) (err error) {
		out, err = a.iam.CreateRole(ctx, &iam.CreateRoleInput{
			RoleName: &spec.Name, Path: &want.path, AssumeRolePolicyDocument: &want.trust, Tags: tagList(want.tags),
			Description: sdk.String("Made by rolebridge for the integration of this name."),
		})
		return err
	})
	switch {
	case err == nil && out.Role != nil && out.Role.Arn != nil:
		// What was just written need not be read back; not every IAM echoes it.
		out.Role.AssumeRolePolicyDocument, out.Role.Tags = &want.trust, tagList(want.tags)
		return out.Role, nil
	case err == nil:
		return nil, badAnswer(opCreateRole)
	case cloud.FaultOf(err) == cloud.FaultExists:
		found, err := p.find(ctx, a, spec.Name)
		if err == nil && !ours(found.Tags, spec) {
			return nil, foreign(spec.Name)
		}
		return found, err
	}
	return nil, principalsMayCome(err)
}

// correct brings tags and policies of a role of ours to what is wanted.
func (p *Platform) correct(ctx context.Context, a account, role *types.Role, want wanted) error {
	if !sameDocument(sdk.ToString(role.AssumeRolePolicyDocument), want.trust) {
		err := p.client.ask(ctx, opUpdateTrust, func(ctx context.Context) error {
			_, err := a.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
				RoleName: role.RoleName, PolicyDocument: &want.trust,
			})
			return err
		})
		if err != nil {
			return principalsMayCome(err)
		}
	}
	have := tagMap(role.Tags)
	missing := maps.Clone(want.tags)
	maps.DeleteFunc(missing, func(key, value string) bool { return have[key] == value })
	if len(missing) > 0 {
		err := p.client.ask(ctx, opTagRole, func(ctx context.Context) error {
			_, err := a.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: role.RoleName, Tags: tagList(missing)})
			return err
		})
		if err != nil {
			return err
		}
	}
	return p.correctPermissions(ctx, a, role.RoleName, want.permissions)
}

// correctPermissions leaves the one inline policy that is wanted.
func (p *Platform) correctPermissions(ctx context.Context, a account, role *string, want string) error {
	names, err := p.policies(ctx, a, role)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != permissionPolicy {
			if err := p.dropPolicy(ctx, a, role, name); err != nil {
				return err
			}
		}
	}
	if slices.Contains(names, permissionPolicy) {
		var out *iam.GetRolePolicyOutput
		err := p.client.ask(ctx, opGetRolePolicy, func(ctx context.Context) (err error) {
			out, err = a.iam.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: role, PolicyName: sdk.String(permissionPolicy)})
			return err
		})
		if err == nil && sameDocument(sdk.ToString(out.PolicyDocument), want) {
			return nil
		}
		if err != nil && cloud.FaultOf(err) != cloud.FaultNotFound {
			return err
		}
	}
	return p.client.ask(ctx, opPutRolePolicy, func(ctx context.Context) error {
		_, err := a.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
			RoleName: role, PolicyName: sdk.String(permissionPolicy), PolicyDocument: &want,
		})
		return err
	})
}

// remove removes the role from one account, if it is ours.
func (p *Platform) remove(ctx context.Context, a account, spec RoleSpec) error {
	role, err := p.find(ctx, a, spec.Name)
	if err != nil || !ours(role.Tags, spec) {
		return err
	}
	names, err := p.policies(ctx, a, role.RoleName)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := p.dropPolicy(ctx, a, role.RoleName, name); err != nil {
			return err
		}
	}
	return p.client.ask(ctx, opDeleteRole, func(ctx context.Context) error {
		_, err := a.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role.RoleName})
		return err
	})
}

// policies lists a role's inline policies.
func (p *Platform) policies(ctx context.Context, a account, role *string) ([]string, error) {
	var names []string
	in := &iam.ListRolePoliciesInput{RoleName: role}
	for {
		var out *iam.ListRolePoliciesOutput
		err := p.client.ask(ctx, opListRolePolicies, func(ctx context.Context) (err error) {
			out, err = a.iam.ListRolePolicies(ctx, in)
			return err
		})
		if err != nil {
			return nil, err
		}
		names = append(names, out.PolicyNames...)
		if !out.IsTruncated || out.Marker == nil {
			return names, nil
		}
		in.Marker = out.Marker
	}
}

// dropPolicy removes an inline policy; one that is gone already is success.
func (p *Platform) dropPolicy(ctx context.Context, a account, role *string, name string) error {
	err := p.client.ask(ctx, opDeleteRolePolicy, func(ctx context.Context) error {
		_, err := a.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: &name})
		return err
	})
	if err != nil && cloud.FaultOf(err) == cloud.FaultNotFound {
		return nil
	}
	return err
}

// principalsMayCome marks a refused trust policy as temporary: all in it is ours and well-formed, so what IAM misses is
// one of the identities, which takes up to a minute to be known everywhere after it was made.
func principalsMayCome(err error) error {
	var e *cloud.Error
	if errors.As(err, &e) && e.Code == "MalformedPolicyDocument" {
		later := *e
		later.Fault = cloud.FaultUnavailable
		return &later
	}
	return err
}

// sameDocument compares two policies as JSON. IAM returns them percent-encoded.
func sameDocument(have, want string) bool {
	if plain, err := url.PathUnescape(have); err == nil {
		have = plain
	}
	var a, b any
	if json.Unmarshal([]byte(have), &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
		return false
	}
	return reflect.DeepEqual(a, b)
}

func tagMap(tags []types.Tag) map[string]string {
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[sdk.ToString(t.Key)] = sdk.ToString(t.Value)
	}
	return out
}

func tagList(tags map[string]string) []types.Tag {
	out := make([]types.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, types.Tag{Key: sdk.String(key), Value: sdk.String(tags[key])})
	}
	return out
}

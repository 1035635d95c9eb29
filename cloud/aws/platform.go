package aws

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// Account is one account in which platform roles are made.
type Account struct {
	ID string // 12 digits
	// Role is assumed with our own credentials before IAM is asked; empty: our own credentials are of this account.
	Role string
	// Credentials replace our own in this account; nil: they do not. Not together with Role.
	Credentials sdk.CredentialsProvider
}

// PlatformConfig says where platform roles are made, and who may become them.
type PlatformConfig struct {
	Config
	// Accounts are filled in their order: IAM has 1,000 roles for an account, 5,000 at most.
	Accounts []Account
	// Path of the roles, e.g. "/rolebridge/"; empty is "/". It is part of the ARN that customers trust.
	Path string
	// Identities are the ARNs of the roles or users of the broker and the validator: nobody else may become a platform role.
	Identities []string
}

var (
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
	rolePath  = regexp.MustCompile(`^/([A-Za-z0-9_+=,.@-]+/)*$`)
)

// Validate returns all faults at once, each as `field: value: what is allowed`.
func (c PlatformConfig) Validate() error {
	faults := []error{c.Config.Validate()}
	if len(c.Accounts) == 0 {
		faults = append(faults, errors.New("accounts: none: want at least one"))
	}
	for i, a := range c.Accounts {
		if !accountID.MatchString(a.ID) {
			faults = append(faults, fmt.Errorf("accounts[%d].id: %q: want 12 digits", i, a.ID))
		}
		if slices.ContainsFunc(c.Accounts[:i], func(other Account) bool { return other.ID == a.ID }) {
			faults = append(faults, fmt.Errorf("accounts[%d].id: %s: is there twice", i, a.ID))
		}
		if a.Role != "" && a.Credentials != nil {
			faults = append(faults, fmt.Errorf("accounts[%d].role: %s: not together with credentials", i, a.Role))
		}
	}
	if c.Path != "" && (!rolePath.MatchString(c.Path) || len(c.Path) > 400) {
		faults = append(faults, fmt.Errorf("path: %q: want / at both ends and letters, digits and _+=,.@- between", c.Path))
	}
	if _, err := policy.PlatformTrust(c.Identities...); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Platform makes and removes platform roles. Safe for concurrent use.
type Platform struct {
	client   *Client
	accounts []account
	path     string
	trust    string
	// partition of the platform's own identities, and so of every role that they can reach.
	partition string
}

// account is a platform account as IAM calls are made in it.
type account struct {
	id  string
	iam *iam.Client
}

// NewPlatform reads the SDK's configuration and starts nothing, as [New] does.
func NewPlatform(ctx context.Context, cfg PlatformConfig) (*Platform, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("aws: %w", err)
	}
	client, err := New(ctx, cfg.Config)
	if err != nil {
		return nil, err
	}
	trust, err := policy.PlatformTrust(cfg.Identities...)
	if err != nil {
		return nil, fmt.Errorf("aws: %w", err)
	}
	own, err := policy.ParseARN(cfg.Identities[0])
	if err != nil {
		return nil, fmt.Errorf("aws: identities: %w", err)
	}
	p := &Platform{client: client, path: cfg.Path, trust: string(trust.JSON()), partition: own.Partition}
	if p.path == "" {
		p.path = "/"
	}
	for _, a := range cfg.Accounts {
		p.accounts = append(p.accounts, account{a.ID, iam.NewFromConfig(client.sdk, func(o *iam.Options) {
			o.Retryer = sdk.NopRetryer{}
			switch {
			case a.Credentials != nil:
				o.Credentials = sdk.NewCredentialsCache(ownCredentials{a.Credentials})
			case a.Role != "":
				o.Credentials = sdk.NewCredentialsCache(ownCredentials{
					stscreds.NewAssumeRoleProvider(client.sts, a.Role, func(o *stscreds.AssumeRoleOptions) {
						o.RoleSessionName = "rolebridge-mapping"
					}),
				})
			}
		})})
	}
	return p, nil
}

// Close closes the connections that are idle.
func (p *Platform) Close() { p.client.Close() }

// RoleSpec is what a platform role must be like.
type RoleSpec struct {
	// Name of the role, and the integration that it is for.
	Name         string
	Organization string
	Environment  string
	// Customer is the ARN of the one role that it may assume; empty: not known yet, so that it may try any.
	Customer string
	// Known is the role's ARN as made earlier, if it was: it must stay where it is, since the customer trusts this ARN.
	Known string
}

// EnsureRole makes the platform role of an integration, or adopts and corrects the one that is there, and returns its
// ARN. It may be called any number of times, also by several workers at once.
//
// Every error is a *[cloud.Error]. [cloud.FaultExists]: a role of that name is not ours; it is left as it is.
// [cloud.FaultLimit]: all accounts are full. [cloud.FaultInvalid] with [CodeOwnAccount]: the customer's role is in one of the
// platform's accounts. [cloud.FaultUnavailable] with the code MalformedPolicyDocument: an identity
// that the role trusts does not exist, or was made so recently that IAM does not know it everywhere.
func (p *Platform) EnsureRole(ctx context.Context, spec RoleSpec) (string, error) {
	if id := accountOf(spec.Customer); slices.ContainsFunc(p.accounts, func(a account) bool { return a.id == id }) {
		return "", &cloud.Error{
			Fault: cloud.FaultInvalid, Code: CodeOwnAccount, Op: opCreateRole,
			Message: fmt.Sprintf("the customer's role is in account %s, which is the platform's own", id),
		}
	}
	permissions, err := p.permissionsFor(spec)
	if err != nil {
		return "", &cloud.Error{Fault: cloud.FaultInvalid, Code: "InvalidParameter", Op: opCreateRole, Message: err.Error()}
	}
	want := wanted{tags: tagsOf(spec), path: p.path, trust: p.trust, permissions: permissions}
	accounts, err := p.where(spec)
	if err != nil {
		return "", err
	}
	for _, a := range accounts {
		found, err := p.find(ctx, a, spec.Name)
		switch {
		case err != nil && cloud.FaultOf(err) != cloud.FaultNotFound:
			return "", err
		case err == nil && !ours(found.Tags, spec):
			return "", foreign(spec.Name)
		case err == nil:
			return sdk.ToString(found.Arn), p.correct(ctx, a, found, want)
		}
	}
	for _, a := range accounts {
		made, err := p.create(ctx, a, spec, want)
		switch {
		case err == nil:
			return sdk.ToString(made.Arn), p.correct(ctx, a, made, want)
		case cloud.FaultOf(err) != cloud.FaultLimit:
			return "", err
		}
	}
	return "", &cloud.Error{
		Fault: cloud.FaultLimit, Code: "LimitExceeded", Op: opCreateRole,
		Message: fmt.Sprintf("all %d platform accounts have as many roles as IAM allows", len(accounts)),
	}
}

// RemoveRole removes the platform role of an integration wherever it is. No such role is success; so is one that is not
// ours, which stays. Every error is a *[cloud.Error].
func (p *Platform) RemoveRole(ctx context.Context, spec RoleSpec) error {
	accounts, err := p.where(spec)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if err := p.remove(ctx, a, spec); err != nil && cloud.FaultOf(err) != cloud.FaultNotFound {
			return err
		}
	}
	return nil
}

// where returns the accounts to look in: the one where the role was made, or all.
func (p *Platform) where(spec RoleSpec) ([]account, error) {
	if spec.Known == "" {
		return p.accounts, nil
	}
	id := accountOf(spec.Known)
	i := slices.IndexFunc(p.accounts, func(a account) bool { return a.id == id })
	if i < 0 {
		return nil, &cloud.Error{
			Fault: cloud.FaultInvalid, Code: "UnknownAccount", Op: opGetRole,
			Message: fmt.Sprintf("the platform role was made in account %s, which is not among the platform's accounts", id),
		}
	}
	return p.accounts[i : i+1], nil
}

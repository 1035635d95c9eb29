package aws

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Bounds of AssumeRole (STS API reference).
const (
	ShortestSession = 15 * time.Minute
	LongestChained  = time.Hour // the most for a session asked with another session
	MaxSessionName  = 64        // characters of [\w+=,.@-], at least 2
)

// Assumption is one request to become a role.
type Assumption struct {
	// With is the session that asks; nil: our own credentials.
	With *cloud.Session
	Role string // ARN
	// SessionName is seen in the customer's audit log: 2 to 64 of [\w+=,.@-].
	SessionName string
	ExternalID  string            // empty: none is sent
	Tags        map[string]string // need sts:TagSession when there is at least one
	Policy      string            // narrows the session; empty: none
	// SourceIdentity stays with the session whatever role it assumes next; it needs sts:SetSourceIdentity. Like SessionName;
	// empty: none.
	SourceIdentity string
	// Duration is rounded down to seconds; 0: STS's default of an hour.
	Duration time.Duration
}

// Assume becomes a role. Every error is a *[cloud.Error]: [cloud.FaultDenied] when either side's policies refuse,
// [cloud.FaultInvalid] when the request breaks a bound, e.g. of the role's longest session.
func (c *Client) Assume(ctx context.Context, a Assumption) (cloud.Session, error) {
	in := &sts.AssumeRoleInput{RoleArn: &a.Role, RoleSessionName: &a.SessionName}
	if a.ExternalID != "" {
		in.ExternalId = &a.ExternalID
	}
	if a.Policy != "" {
		in.Policy = &a.Policy
	}
	if a.SourceIdentity != "" {
		in.SourceIdentity = &a.SourceIdentity
	}
	if a.Duration > 0 {
		in.DurationSeconds = sdk.Int32(int32(min(a.Duration, 12*time.Hour) / time.Second))
	}
	for _, key := range slices.Sorted(maps.Keys(a.Tags)) {
		in.Tags = append(in.Tags, types.Tag{Key: sdk.String(key), Value: sdk.String(a.Tags[key])})
	}
	var out *sts.AssumeRoleOutput
	err := c.ask(ctx, OpAssumeRole, func(ctx context.Context) (err error) {
		out, err = c.sts.AssumeRole(ctx, in, callAs(c.as(a.With)))
		return err
	})
	if err != nil {
		return cloud.Session{}, err
	}
	if out.Credentials == nil || out.AssumedRoleUser == nil {
		return cloud.Session{}, badAnswer(OpAssumeRole)
	}
	arn := sdk.ToString(out.AssumedRoleUser.Arn)
	s := cloud.Session{
		AccessKeyID:     sdk.ToString(out.Credentials.AccessKeyId),
		SecretAccessKey: secret.New(sdk.ToString(out.Credentials.SecretAccessKey)),
		Token:           secret.New(sdk.ToString(out.Credentials.SessionToken)),
		Expires:         sdk.ToTime(out.Credentials.Expiration),
		Identity:        arn,
		Account:         accountOf(arn),
	}
	// The API reference has all four as required; the SDK does not ask for them. Half a session would be kept for an hour.
	if s.AccessKeyID == "" || s.SecretAccessKey.Empty() || s.Token.Empty() || s.Expires.IsZero() {
		return cloud.Session{}, badAnswer(OpAssumeRole)
	}
	return s, nil
}

// Identity is who a set of credentials belongs to.
type Identity struct {
	ARN     string
	Account string // 12 digits
	// At is STS's own time when it answered; zero if it did not say.
	At time.Time
}

// CallerIdentity asks STS whose credentials with are; nil: our own. No policy can forbid it.
func (c *Client) CallerIdentity(ctx context.Context, with *cloud.Session) (Identity, error) {
	var out *sts.GetCallerIdentityOutput
	err := c.ask(ctx, OpCallerIdentity, func(ctx context.Context) (err error) {
		out, err = c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, callAs(c.as(with)))
		return err
	})
	if err != nil {
		return Identity{}, err
	}
	if out.Arn == nil || out.Account == nil {
		return Identity{}, badAnswer(OpCallerIdentity)
	}
	at, _ := middleware.GetServerTime(out.ResultMetadata)
	return Identity{ARN: *out.Arn, Account: *out.Account, At: at}, nil
}

// as makes the SDK's credentials of a session; nil is our own.
func (c *Client) as(s *cloud.Session) sdk.CredentialsProvider {
	if s == nil {
		return nil
	}
	return credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey.Reveal(), s.Token.Reveal())
}

// accountOf returns the account of an ARN: its fifth part.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// SessionName makes a session name of what is given: characters that STS does not take become '-', and what is too long
// is cut.
func SessionName(format string, args ...any) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_+=,.@-", r) {
			return r
		}
		return '-'
	}, fmt.Sprintf(format, args...))
	for len(name) < 2 {
		name += "-"
	}
	return name[:min(len(name), MaxSessionName)]
}

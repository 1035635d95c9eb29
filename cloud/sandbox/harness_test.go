package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

const (
	platform = "111111111111"
	customer = "222222222222"
	stranger = "333333333333"

	rightID = "the-right-external-id"
)

func TestMain(m *testing.M) {
	// A machine may export AWS settings of its own; the clients here are made by hand, and the CLI inherits this.
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// world is a sandbox that serves, with a customer, a platform that has a broker user, and a stranger.
type world struct {
	*sandbox.Sandbox
	endpoint                     string
	platform, customer, stranger sandbox.Account
	broker                       sandbox.User
	ahead                        *atomic.Int64 // how far the sandbox's clock is ahead
	stop                         func()
}

func newWorld(t testing.TB, change ...func(*sandbox.Config)) *world {
	t.Helper()
	w := &world{ahead: new(atomic.Int64)}
	cfg := sandbox.Defaults()
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if w.Sandbox, err = sandbox.New(cfg); err != nil {
		t.Fatal(err)
	}
	for id, into := range map[string]*sandbox.Account{platform: &w.platform, customer: &w.customer, stranger: &w.stranger} {
		if *into, err = w.AddAccount(id); err != nil {
			t.Fatal(err)
		}
	}
	if w.broker, err = w.AddUser(platform, "broker", allowAssume); err != nil {
		t.Fatal(err)
	}
	if err := w.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	w.endpoint = w.Endpoint()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the sandbox stopped with %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

const allowAssume = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],"Resource":"*"}}`

func trustOf(arn string) string {
	return `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"` + arn + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + rightID + `"}}},
		{"Effect":"Allow","Principal":{"AWS":"` + arn + `"},"Action":"sts:TagSession"}]}`
}

// openTrust lets a principal in without an external id, as the platform's own roles do.
func openTrust(arn string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + arn + `"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
}

func (w *world) config(t testing.TB, who aws.CredentialsProvider) aws.Config {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "eu-west-1", Credentials: who, BaseEndpoint: &w.endpoint, HTTPClient: &http.Client{Transport: transport},
		RetryMaxAttempts: 1,
	}
}

func (w *world) iam(t testing.TB, who aws.CredentialsProvider) *iam.Client {
	t.Helper()
	return iam.NewFromConfig(w.config(t, who))
}

func (w *world) sts(t testing.TB, who aws.CredentialsProvider) *sts.Client {
	t.Helper()
	return sts.NewFromConfig(w.config(t, who))
}

func (w *world) s3(t testing.TB, who aws.CredentialsProvider) *s3.Client {
	t.Helper()
	return s3.NewFromConfig(w.config(t, who))
}

// role makes a role in an account and returns its ARN.
func (w *world) role(t testing.TB, owner sandbox.Account, name, trust string, policies ...string) string {
	t.Helper()
	client := w.iam(t, owner.Root)
	out, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		t.Fatalf("CreateRole %s: %v", name, err)
	}
	for _, p := range policies {
		if _, err := client.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: aws.String("own"), PolicyDocument: &p}); err != nil {
			t.Fatalf("PutRolePolicy %s: %v", name, err)
		}
	}
	return *out.Role.Arn
}

// assume assumes a role and returns the session as credentials.
func (w *world) assume(t testing.TB, who aws.CredentialsProvider, arn string, with ...func(*sts.AssumeRoleInput)) (aws.CredentialsProvider, error) {
	t.Helper()
	in := &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("test-session")}
	for _, f := range with {
		f(in)
	}
	out, err := w.sts(t, who).AssumeRole(t.Context(), in)
	if err != nil {
		return nil, err
	}
	c := out.Credentials
	return credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken), nil
}

func (w *world) mustAssume(t testing.TB, who aws.CredentialsProvider, arn string, with ...func(*sts.AssumeRoleInput)) aws.CredentialsProvider {
	t.Helper()
	session, err := w.assume(t, who, arn, with...)
	if err != nil {
		t.Fatalf("AssumeRole %s: %v", arn, err)
	}
	return session
}

func externalID(id string) func(*sts.AssumeRoleInput) {
	return func(in *sts.AssumeRoleInput) {
		if id != "" {
			in.ExternalId = &id
		}
	}
}

// code is AWS's code for an error, "" for none and "?" for one that AWS did not send.
func code(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	default:
		return "?"
	}
}

func wantCode(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

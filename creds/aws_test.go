package creds_test

import (
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
)

// awsWorld is a broker in front of an AWS that checks everything: roles as the mapping worker makes them, trust as we
// render it, and an unmodified SDK with nothing but the environment of the container-credentials protocol.
type awsWorld struct {
	*awstest.World
	world  *world
	role   string // the customer's
	broker *creds.Broker
	url    string
	file   string // the token's
	env    map[string]string
}

// newAWSWorld is an openAWSWorld whose environment is that of the test's own process.
func newAWSWorld(t *testing.T) *awsWorld {
	t.Helper()
	w := openAWSWorld(t)
	for name, value := range w.env {
		t.Setenv(name, value)
	}
	return w
}

func openAWSWorld(t *testing.T, with ...creds.Option) *awsWorld {
	t.Helper()
	w := &awsWorld{World: awstest.New(t), world: newWorld(t)}
	w.world.options = with
	customer := "arn:aws:iam::" + w.Customer.ID + ":role/orders"
	platform, err := w.Roles(t).EnsureRole(t.Context(), aws.RoleSpec{
		Name: string(orders), Organization: string(org), Environment: "env", Customer: customer,
	})
	must(t, err)
	trust, err := policy.FinalTrust(platform, externalID)
	must(t, err)
	w.role = w.Role(t, w.Customer, "orders", string(trust.JSON()))
	_, err = w.IAM(t, w.Customer).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: sdk.String("orders"), PolicyName: sdk.String("bucket"), PolicyDocument: sdk.String(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::orders","arn:aws:s3:::orders/*"]}}`),
	})
	must(t, err)
	w.world.replica.Trusted(org, orders, platform, w.role, externalID, true)
	w.world.replica.Bind(orders, sink, w.world.token)

	client, err := aws.New(t.Context(), w.Config(w.Broker.Key))
	must(t, err)
	t.Cleanup(client.Close)
	w.broker = w.world.brokerOn(t, creds.FromAWS(client), func(c *creds.Config) { c.Region = awstest.Region })
	server := httptest.NewServer(w.broker.Handler())
	t.Cleanup(server.Close)
	w.url = server.URL + creds.Path
	w.file = filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(w.file, []byte(w.world.token.Reveal()), 0o600))

	w.env = map[string]string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": w.url, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": w.file,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": awstest.Region, "AWS_ENDPOINT_URL": w.Endpoint(),
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	}
	return w
}

// sdk is what a connector does: load the default configuration, nothing more.
func (w *awsWorld) sdk(t *testing.T) sdk.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context())
	must(t, err)
	return cfg
}

// bucket makes the customer's bucket, and returns a client that may do everything with it.
func (w *awsWorld) bucket(t *testing.T) *s3.Client {
	t.Helper()
	client := s3.NewFromConfig(sdk.Config{Region: awstest.Region, Credentials: w.Customer.Root, BaseEndpoint: sdk.String(w.Endpoint())}, pathStyle)
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: sdk.String("orders")})
	must(t, err)
	return client
}

func TestAnUnmodifiedSDKWritesAnObject(t *testing.T) {
	w := newAWSWorld(t)
	w.bucket(t)
	cfg := w.sdk(t)
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	must(t, err)
	if want := ":assumed-role/orders/orders-sink@cspi-orders"; !strings.HasSuffix(*who.Arn, want) || *who.Account != w.Customer.ID {
		t.Errorf("the SDK is %s in %s, want %s in %s", *who.Arn, *who.Account, want, w.Customer.ID)
	}
	bucket := s3.NewFromConfig(cfg, pathStyle)
	_, err = bucket.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: sdk.String("orders"), Key: sdk.String("one"), Body: strings.NewReader("an order"),
	})
	must(t, err)
	got, err := bucket.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String("orders"), Key: sdk.String("one")})
	must(t, err)
	if body, err := io.ReadAll(got.Body); err != nil || string(body) != "an order" {
		t.Errorf("the object is %q, %v; want an order", body, err)
	}

	// A second SDK, and one whose token was rotated in its file: no further call to STS.
	before := w.Calls("AssumeRole")
	next := credstest.NewToken()
	w.world.replica.Bind(orders, sink, next)
	must(t, os.WriteFile(w.file, []byte(next.Reveal()), 0o600))
	again, err := w.sdk(t).Credentials.Retrieve(t.Context())
	must(t, err)
	if mine, err := cfg.Credentials.Retrieve(t.Context()); err != nil || again.AccessKeyID != mine.AccessKeyID {
		t.Errorf("after a rotation: %s, want the same session as before, %s (%v)", again.AccessKeyID, mine.AccessKeyID, err)
	}
	if n := w.Calls("AssumeRole"); n != before || before != 2 {
		t.Errorf("%d calls to AssumeRole, then %d; want 2, and no more", before, n)
	}

	raw, err := creds.Fetch(t.Context(), w.url, creds.Caller{Token: next})
	if err != nil || !strings.Contains(string(raw), again.AccessKeyID) {
		t.Errorf("as a credential_process: %v, want session %s", err, again.AccessKeyID)
	}
}

func TestAnSDKTriesAgainUntilTheCloudIsBack(t *testing.T) {
	w := newAWSWorld(t)
	broken := w.Inject(sandbox.Fault{Service: "sts", Action: "AssumeRole", Trouble: sandbox.Break, Times: 3})
	if _, err := w.sdk(t).Credentials.Retrieve(t.Context()); err != nil {
		t.Errorf("three broken answers of STS reached the SDK: %v", err)
	}
	if broken.Fired() != 3 {
		t.Errorf("the fault fired %d times, want 3", broken.Fired())
	}
}

func TestAnSDKIsToldWhyItGetsNothing(t *testing.T) {
	w := newAWSWorld(t)
	w.world.replica.Change(orders, func(i *integration.Integration) { i.Trust.Status = integration.TrustInsecure })
	_, err := w.sdk(t).Credentials.Retrieve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "trust of cspi-orders is insecure") {
		t.Errorf("the SDK says %v, want it to name the trust's status", err)
	}
	w.world.replica.Unbind(orders, sink)
	if _, err = w.sdk(t).Credentials.Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "the token is not known") {
		t.Errorf("the SDK says %v, want that the token is not known", err)
	}
}

func TestTheExternalIDIsSent(t *testing.T) {
	w := newAWSWorld(t)
	w.world.replica.Change(orders, func(i *integration.Integration) { i.ExternalID = "wrong-external-id" })
	_, err := creds.Fetch(t.Context(), w.url, creds.Caller{Token: w.world.token})
	var refusal *integration.Refusal
	if !errors.As(err, &refusal) || refusal.Code != integration.CodeDenied || !strings.Contains(refusal.Message, "AccessDenied") {
		t.Errorf("with another external ID: %v, want that the role refuses", err)
	}
}

func pathStyle(o *s3.Options) { o.UsePathStyle = true }

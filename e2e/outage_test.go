package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// customer is a customer's administrator: at AWS and at our API.
type customer struct {
	w   *world
	api *client.Client
	iam *iam.Client
	s3  *s3.Client
}

func (w *world) customer(url string) *customer {
	w.t.Helper()
	// One try: a test wants to see each failure.
	api, err := client.New(client.Config{URL: url, Key: apiKey, Secret: secret.New(apiSecret), Tries: 1})
	w.must(err)
	sdk := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(w.aws.Endpoint()), Credentials: w.owner.Root}
	return &customer{
		w: w, api: api, iam: iam.NewFromConfig(sdk), s3: s3.NewFromConfig(sdk, func(o *s3.Options) { o.UsePathStyle = true }),
	}
}

// create asks for an integration of a role in the customer's account.
func (c *customer) create(role string) (wire.IntegrationV2, error) {
	return c.api.Create(c.w.ctx, wire.IntegrationRequestV2{
		DisplayName: role, Provider: "AWS", Environment: wire.ReferenceRequest{ID: environment},
		Config: &wire.ConfigRequest{Kind: string(integration.KindAWS), CustomerIAMRoleARN: "arn:aws:iam::" + customerAccount + ":role/" + role},
	})
}

// integrate goes the whole way of a customer: role, integration, trust policy, proof. It returns the integration's id.
func (c *customer) integrate(role, bucket string) string {
	t := c.w.t
	t.Helper()
	ctx := c.w.ctx
	permissions, err := policy.S3Sink(policy.S3{Partition: "aws", Bucket: bucket})
	c.w.must(err)
	_, err = c.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &role, AssumeRolePolicyDocument: aws.String(string(policy.FirstTrust().JSON()))})
	c.w.must(err)
	_, err = c.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String("sink"), PolicyDocument: aws.String(string(permissions.JSON()))})
	c.w.must(err)
	_, err = c.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	c.w.must(err)
	made, err := c.create(role)
	c.w.must(err)
	p, err := c.api.Policies(ctx, made.ID, nil)
	c.w.must(err)
	_, err = c.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: aws.String(string(p.FinalTrust))})
	c.w.must(err)
	v, err := c.api.Validate(ctx, made.ID, 20*time.Second)
	c.w.must(err)
	if v.Trust.Status != integration.TrustValid {
		t.Fatalf("trust of %s is %s: %+v", made.ID, v.Trust.Status, v.Trust.Report)
	}
	return made.ID
}

// connector is a connector's runtime: an unmodified SDK with its default chain, whose environment names the broker and a
// token file.
func (c *customer) connector(broker, integrationID, name string) func(ctx context.Context, bucket, key string) error {
	t := c.w.t
	t.Helper()
	bound, err := c.api.Bind(c.w.ctx, integrationID, wire.ConnectorRequest{Connector: name})
	c.w.must(err)
	file := filepath.Join(c.w.dir, name+".token")
	c.w.must(os.WriteFile(file, []byte(bound.Token), 0o600))
	return func(ctx context.Context, bucket, key string) error {
		// A new client each time, so that each write asks the broker: SDKs cache for most of a session's life.
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", broker+"/v1/credentials")
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
		t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
		sdk, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"), config.WithBaseEndpoint(c.w.aws.Endpoint()))
		if err != nil {
			return err
		}
		_, err = s3.NewFromConfig(sdk, func(o *s3.Options) { o.UsePathStyle = true }).PutObject(ctx, &s3.PutObjectInput{
			Bucket: &bucket, Key: &key, Body: strings.NewReader("payload"),
		})
		return err
	}
}

func TestReadsAndCredentialsGoOnWithoutKafkaAndRedis(t *testing.T) {
	w := newWorld(t)
	platform := w.start("platform", "all")
	platform.ready()
	w.found()
	c := w.customer(platform.url("api"))
	id := c.integrate("orders", "orders-bucket")
	write := c.connector(platform.url("broker"), id, "lcc-1")
	w.must(write(w.ctx, "orders-bucket", "before"))

	reads := func(when string) {
		t.Helper()
		if one, err := c.api.Read(w.ctx, environment, id); err != nil || one.ID != id {
			t.Errorf("%s: reading gave %q, %v", when, one.ID, err)
		}
		if list, err := c.api.List(w.ctx, environment, ""); err != nil || len(list) != 1 {
			t.Errorf("%s: listing gave %d integrations, %v", when, len(list), err)
		}
		if err := write(w.ctx, "orders-bucket", when); err != nil {
			t.Errorf("%s: the connector cannot write: %v", when, err)
		}
	}
	refused := func(when string) {
		t.Helper()
		begin := time.Now()
		_, err := c.create("late")
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: a write gave %v, want 503", when, err)
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("%s: a write was refused after %v, want within 2 s or so", when, took)
		}
	}

	w.must(w.redis.Kill())
	reads("without Redis")
	w.must(w.redis.Start(w.ctx)) // it comes back empty: flushed
	reads("with an empty Redis")

	w.must(w.kafka.Kill())
	refused("without Kafka")
	// Longer than any bound of a session with Kafka, and than the life of a transaction.
	const away = 70 * time.Second
	for begin, redisAway := time.Now(), false; time.Since(begin) < away; {
		if !redisAway && time.Since(begin) > away/2 {
			w.must(w.redis.Kill())
			redisAway = true
		}
		reads(fmt.Sprintf("%v without Kafka (and Redis: %v)", time.Since(begin).Round(time.Second), redisAway))
		if t.Failed() {
			break
		}
		<-time.After(2 * time.Second)
	}
	refused("long without Kafka and Redis")

	w.must(w.redis.Start(w.ctx))
	w.must(w.kafka.Start(w.ctx))
	w.eventually(2*time.Minute, "a write is accepted again", func() error {
		_, err := c.create("late")
		if client.Code(err) == integration.CodeExists { // a refused one was written after all, or an earlier round's
			return nil
		}
		return err
	})
	w.eventually(time.Minute, "the late integration is mapped", func() error {
		list, err := c.api.List(w.ctx, environment, "")
		if err != nil {
			return err
		}
		if len(list) != 2 {
			return fmt.Errorf("%d integrations are listed", len(list))
		}
		for _, i := range list {
			if i.Config.Platform() == "" {
				return fmt.Errorf("%s has no platform role", i.ID)
			}
		}
		return nil
	})
	w.must(write(w.ctx, "orders-bucket", "after"))
	w.answered(time.Minute, founding())
	if n := platform.count(); n != 1 {
		t.Errorf("the process was started %d times, want once: it must outlive the outage", n)
	}
}

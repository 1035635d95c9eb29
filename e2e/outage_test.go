package e2e

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// customer is a customer's administrator: at AWS and at our API.
type customer struct {
	w   *world
	api string
	iam *iam.Client
	s3  *s3.Client
}

func (w *world) customer(api string) *customer {
	w.t.Helper()
	sdk := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(w.aws.Endpoint()), Credentials: w.owner.Root}
	return &customer{
		w: w, api: api, iam: iam.NewFromConfig(sdk), s3: s3.NewFromConfig(sdk, func(o *s3.Options) { o.UsePathStyle = true }),
	}
}

// ask sends a request to the API and reads the answer into out.
func (c *customer) ask(method, path string, in, out any) (int, error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequestWithContext(c.w.t.Context(), method, c.api+path, &body)
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth(apiKey, apiSecret)
	req.Header.Set("Content-Type", "application/json")
	code, text, err := do(req)
	if err != nil {
		return 0, err
	}
	if code >= http.StatusBadRequest {
		return code, errors.New(text)
	}
	if out != nil {
		return code, json.Unmarshal([]byte(text), out)
	}
	return code, nil
}

func (c *customer) mustAsk(method, path string, in, out any) {
	c.w.t.Helper()
	if code, err := c.ask(method, path, in, out); err != nil {
		c.w.t.Fatalf("%s %s: %d %v", method, path, code, err)
	}
}

// integrate goes the whole way of a customer: role, integration, trust policy, proof. It returns the integration's id.
func (c *customer) integrate(role, bucket string) string {
	t := c.w.t
	t.Helper()
	ctx := t.Context()
	permissions, err := policy.S3Sink(policy.S3{Partition: "aws", Bucket: bucket})
	c.w.must(err)
	_, err = c.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &role, AssumeRolePolicyDocument: aws.String(string(policy.FirstTrust().JSON()))})
	c.w.must(err)
	_, err = c.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String("sink"), PolicyDocument: aws.String(string(permissions.JSON()))})
	c.w.must(err)
	_, err = c.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	c.w.must(err)
	var made wire.Integration
	c.mustAsk(http.MethodPost, "/pim/v1/integrations", wire.IntegrationRequest{
		DisplayName: role, Provider: "AWS", Environment: wire.Reference{ID: environment},
		Config: &wire.ConfigRequest{Kind: string(integration.KindAWS), CustomerIAMRoleARN: "arn:aws:iam::" + customerAccount + ":role/" + role},
	}, &made)
	var p wire.Policies
	c.mustAsk(http.MethodGet, "/rolebridge/v1/integrations/"+made.ID+"/policies", nil, &p)
	_, err = c.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: aws.String(string(p.FinalTrust))})
	c.w.must(err)
	var v wire.Validation
	c.mustAsk(http.MethodPost, "/rolebridge/v1/integrations/"+made.ID+"/validation?wait=20s", nil, &v)
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
	var bound wire.Bound
	c.mustAsk(http.MethodPost, "/rolebridge/v1/integrations/"+integrationID+"/connectors", wire.ConnectorRequest{Connector: name}, &bound)
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
	p := w.producer()
	for _, c := range founding() {
		p.send(c)
	}
	p.finish()
	w.answered(time.Minute, founding())
	c := w.customer(platform.url("api"))
	id := c.integrate("orders", "orders-bucket")
	write := c.connector(platform.url("broker"), id, "lcc-1")
	w.must(write(t.Context(), "orders-bucket", "before"))

	reads := func(when string) {
		t.Helper()
		var one wire.Integration
		if code, err := c.ask(http.MethodGet, "/pim/v1/integrations/"+id+"?environment="+environment, nil, &one); err != nil || one.ID != id {
			t.Errorf("%s: reading gave %d, %v", when, code, err)
		}
		var list wire.IntegrationList
		if code, err := c.ask(http.MethodGet, "/pim/v1/integrations?environment="+environment, nil, &list); err != nil || len(list.Data) != 1 {
			t.Errorf("%s: listing gave %d, %v", when, code, err)
		}
		if err := write(t.Context(), "orders-bucket", when); err != nil {
			t.Errorf("%s: the connector cannot write: %v", when, err)
		}
	}

	w.must(w.redis.Kill())
	reads("without Redis")
	w.must(w.redis.Start(t.Context())) // it comes back empty: flushed
	reads("with an empty Redis")

	w.must(w.kafka.Kill())
	reads("without Kafka")
	w.must(w.redis.Kill())
	reads("without Kafka and Redis")
	create := wire.IntegrationRequest{
		DisplayName: "late", Provider: "AWS", Environment: wire.Reference{ID: environment},
		Config: &wire.ConfigRequest{Kind: string(integration.KindAWS), CustomerIAMRoleARN: "arn:aws:iam::" + customerAccount + ":role/late"},
	}
	begin := time.Now()
	code, err := c.ask(http.MethodPost, "/pim/v1/integrations", create, nil)
	if code != http.StatusServiceUnavailable {
		t.Errorf("a write without Kafka gave %d, %v; want 503", code, err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("a write without Kafka was refused after %v, want within 2 s or so", took)
	}

	w.must(w.redis.Start(t.Context()))
	w.must(w.kafka.Start(t.Context()))
	w.eventually(2*time.Minute, "a write is accepted again", func() error {
		code, err := c.ask(http.MethodPost, "/pim/v1/integrations", create, nil)
		if code == http.StatusConflict { // the first attempt was written after all, or an earlier round
			return nil
		}
		return err
	})
	var list wire.IntegrationList
	w.eventually(time.Minute, "the late integration is mapped", func() error {
		if code, err := c.ask(http.MethodGet, "/pim/v1/integrations?environment="+environment, nil, &list); err != nil {
			return fmt.Errorf("%d %w", code, err)
		}
		if len(list.Data) != 2 {
			return fmt.Errorf("%d integrations are listed", len(list.Data))
		}
		for _, i := range list.Data {
			if i.Config.Platform() == "" {
				return fmt.Errorf("%s has no platform role", i.ID)
			}
		}
		return nil
	})
	w.must(write(t.Context(), "orders-bucket", "after"))
	w.answered(time.Minute, founding())
}

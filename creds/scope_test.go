package creds_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// scoped binds another connector, narrowed to resources, and returns its token.
func (w *awsWorld) scoped(c integration.ConnectorID, terms integration.Terms) secret.Text {
	token := credstest.NewToken()
	w.world.replica.Bind(orders, c, token)
	w.world.replica.ChangeBinding(orders, c, func(_ integration.OrganizationID, b *integration.Binding) { b.Terms = terms })
	return token
}

// as is an S3 client with the session that a token gets.
func (w *awsWorld) as(t *testing.T, token secret.Text) *s3.Client {
	t.Helper()
	got, err := w.broker.Session(t.Context(), token)
	must(t, err)
	return s3.NewFromConfig(sdk.Config{
		Region: awstest.Region, BaseEndpoint: sdk.String(w.Endpoint()), Retryer: func() sdk.Retryer { return sdk.NopRetryer{} },
		Credentials: credentials.NewStaticCredentialsProvider(got.AccessKeyID, got.SecretAccessKey.Reveal(), got.Token.Reveal()),
	}, pathStyle)
}

func objects(prefix string, a integration.Access) integration.Terms {
	return integration.Terms{Resources: []integration.Resource{{S3: integration.S3Objects{Bucket: "orders", Prefix: prefix, Access: a}}}}
}

func TestAScopedSessionWritesItsPrefixAndNothingElse(t *testing.T) {
	w := newAWSWorld(t)
	admin := w.bucket(t)
	for _, key := range []string{"raw/1", "clean/1", "rawest/1"} {
		_, err := admin.PutObject(t.Context(), &s3.PutObjectInput{Bucket: sdk.String("orders"), Key: &key, Body: strings.NewReader("x")})
		must(t, err)
	}
	write := w.as(t, w.scoped("raw-sink", objects("raw", integration.AccessWrite)))
	read := w.as(t, w.scoped("clean-source", objects("clean", integration.AccessRead)))
	wide := w.as(t, w.world.token) // another connector of the integration, not narrowed

	put := func(c *s3.Client, key string) error {
		_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: sdk.String("orders"), Key: &key, Body: strings.NewReader("y")})
		return err
	}
	get := func(c *s3.Client, key string) error {
		_, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: sdk.String("orders"), Key: &key})
		return err
	}
	list := func(c *s3.Client, prefix string) error {
		_, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: sdk.String("orders"), Prefix: &prefix})
		return err
	}
	for name, test := range map[string]struct {
		err     error
		refused bool
	}{
		"the writer writes its prefix":       {put(write, "raw/2"), false},
		"the writer writes another prefix":   {put(write, "clean/2"), true},
		"the writer writes a longer prefix":  {put(write, "rawest/2"), true},
		"the writer reads its prefix":        {get(write, "raw/1"), true},
		"the writer lists the bucket":        {list(write, ""), true},
		"the reader reads its prefix":        {get(read, "clean/1"), false},
		"the reader lists its prefix":        {list(read, "clean/"), false},
		"the reader lists the bucket":        {list(read, ""), true},
		"the reader reads another prefix":    {get(read, "raw/1"), true},
		"the reader writes its prefix":       {put(read, "clean/3"), true},
		"who is not narrowed writes anyhow":  {put(wide, "elsewhere/1"), false},
		"who is not narrowed lists anything": {list(wide, ""), false},
	} {
		var api smithy.APIError
		if denied := errors.As(test.err, &api) && api.ErrorCode() == "AccessDenied"; denied != test.refused || !denied && test.err != nil {
			t.Errorf("%s: got %v, want a refusal: %t", name, test.err, test.refused)
		}
	}
}

func TestChangedResourcesAreAnotherSession(t *testing.T) {
	w := newAWSWorld(t)
	w.bucket(t)
	token := w.scoped("sink", objects("raw", integration.AccessWrite))
	first, err := w.broker.Session(t.Context(), token)
	must(t, err)
	w.world.replica.ChangeBinding(orders, "sink", func(_ integration.OrganizationID, b *integration.Binding) {
		b.Terms = objects("clean", integration.AccessWrite)
	})
	second, err := w.broker.Session(t.Context(), token)
	must(t, err)
	if first.AccessKeyID == second.AccessKeyID {
		t.Error("the session of other resources is handed out")
	}
}

func TestASourceIdentityNeedsTheTrustPolicysWord(t *testing.T) {
	w := newAWSWorld(t)
	w.bucket(t)
	token := w.scoped("sink", integration.Terms{SourceIdentity: true})
	_, err := w.broker.Session(t.Context(), token)
	wantCode(t, "a trust policy that does not allow source identities", err, integration.CodeDenied)
	if err == nil || !strings.Contains(err.Error(), "sts:SetSourceIdentity") {
		t.Errorf("the refusal says %v, want what is missing", err)
	}
	if _, err := w.broker.Session(t.Context(), w.world.token); err != nil {
		t.Errorf("a connector without source identity: %v", err)
	}

	for _, test := range []struct {
		demands string
		want    bool
	}{{"other@cspi-orders", false}, {"sink@cspi-orders", true}} {
		w.trust(t, func(d *policy.Document) {
			*d = d.WithSourceIdentity()
			d.Statements[len(d.Statements)-1].When = []policy.When{{Operator: "StringEquals", Key: "sts:SourceIdentity", Values: []string{test.demands}}}
		})
		w.world.replica.Revoke(orders) // the refusal before is remembered for a while
		if _, err := w.broker.Session(t.Context(), token); (err == nil) != test.want {
			t.Errorf("a trust policy that demands the source identity %s: got %v, want a session: %t", test.demands, err, test.want)
		}
	}
}

func TestSessionTagsSayWhoseTheSessionIs(t *testing.T) {
	w := newAWSWorld(t)
	right := map[string]string{"organization": string(org), "environment": "env", "integration": string(orders), "connector": string(sink)}
	for wrong := range right {
		w.trust(t, func(d *policy.Document) {
			last := &d.Statements[len(d.Statements)-1]
			for key, value := range right {
				if key == wrong {
					value += "x"
				}
				last.When = append(last.When, policy.When{Operator: "StringEquals", Key: "aws:RequestTag/" + key, Values: []string{value}})
			}
		})
		w.world.replica.Revoke(orders)
		_, err := w.broker.Session(t.Context(), w.world.token)
		wantCode(t, "a trust policy that demands another "+wrong, err, integration.CodeDenied)
	}
	w.trust(t, func(d *policy.Document) {
		for key, value := range right {
			last := &d.Statements[len(d.Statements)-1]
			last.When = append(last.When, policy.When{Operator: "StringEquals", Key: "aws:RequestTag/" + key, Values: []string{value}})
		}
	})
	w.world.replica.Revoke(orders)
	mustSession(t, w.broker, w.world.token)
}

// trust gives the customer's role the right trust policy, changed.
func (w *awsWorld) trust(t *testing.T, change func(*policy.Document)) {
	t.Helper()
	b, _ := w.world.replica.Binding(orders, sink)
	d, err := policy.FinalTrust(b.Integration.Mapping.Platform, externalID)
	must(t, err)
	change(&d)
	w.Role(t, w.Customer, "orders", string(d.JSON()))
}

func TestAPolicyThatSTSCannotPackIsRefusedForGoodAndClearly(t *testing.T) {
	w := newWorld(t)
	w.replica.ChangeBinding(orders, sink, func(_ integration.OrganizationID, b *integration.Binding) {
		b.Terms = objects(strings.Repeat("x", 512), integration.AccessWrite)
		for n := range 6 {
			b.Resources = append(b.Resources, objects(fmt.Sprint(n, strings.Repeat("y", 500)), integration.AccessWrite).Resources[0])
		}
	})
	asked := 0
	w.options = append(w.options, creds.OnRefused(func(integration.OrganizationID, integration.ID) { asked++ }))
	b := w.broker(t)
	for range 2 {
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "a policy that is too large", err, integration.CodeDenied)
		if err == nil || !strings.Contains(err.Error(), "fewer resources") || !strings.Contains(err.Error(), "PackedPolicyTooLarge") {
			t.Errorf("the refusal says %v, want what to do", err)
		}
	}
	if n := w.cloud.Calls(customerRole); n != 1 {
		t.Errorf("the cloud was asked %d times within the memory of its refusal, want once", n)
	}
	if asked != 0 {
		t.Errorf("a proof of trust was asked for %d times, though trust is not at fault", asked)
	}
}

func TestResourcesOfWhichNoPolicyCanBeMadeGiveNothing(t *testing.T) {
	w := newWorld(t)
	w.replica.ChangeBinding(orders, sink, func(_ integration.OrganizationID, b *integration.Binding) {
		b.Terms = objects("a*", integration.AccessWrite)
	})
	_, err := w.broker(t).Session(t.Context(), w.token)
	wantCode(t, "resources that make no policy", err, integration.CodeDenied)
	if err == nil || !strings.Contains(err.Error(), "/resources/0/s3/prefix") {
		t.Errorf("the refusal says %v, want the field", err)
	}
	if n := w.cloud.Calls(""); n != 0 {
		t.Errorf("the cloud was asked %d times, want not at all", n)
	}
}

package scope_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/aws/scope"
	"github.com/rolebridge/rolebridge/integration"
)

var customer = integration.Config{Kind: integration.KindAWS, Customer: "arn:aws:iam::222222222222:role/orders"}

func s3(bucket, prefix string, a integration.Access) integration.Resource {
	return integration.Resource{S3: integration.S3Objects{Bucket: bucket, Prefix: prefix, Access: a}}
}

func table(name, region string, a integration.Access) integration.Resource {
	return integration.Resource{DynamoDB: integration.DynamoDBTable{Table: name, Region: region, Access: a}}
}

func TestASessionReachesItsResourcesAndNothingElse(t *testing.T) {
	t.Parallel()
	text, refusal := scope.Policy(customer, []integration.Resource{
		s3("sinks", "topics", integration.AccessWrite), s3("sinks", "in/", integration.AccessRead), s3("refs", "", integration.AccessReadWrite),
		table("orders", "eu-west-1", integration.AccessWrite), table("events", "eu-west-1", integration.AccessRead),
	})
	if refusal != nil {
		t.Fatal(refusal)
	}
	if strings.ContainsAny(text, " \n\t") {
		t.Errorf("%s holds white space, which counts", text)
	}
	p := policy.Parse(policy.Session, []byte(text))
	const tables = "arn:aws:dynamodb:eu-west-1:222222222222:table/"
	for _, test := range []struct {
		action, resource, prefix string
		want                     bool
	}{
		{"s3:PutObject", "arn:aws:s3:::sinks/topics/a", "", true},
		{"s3:AbortMultipartUpload", "arn:aws:s3:::sinks/topics/a", "", true},
		{"s3:PutObject", "arn:aws:s3:::sinks/topics2/a", "", false},
		{"s3:PutObject", "arn:aws:s3:::sinks/in/a", "", false},
		{"s3:PutObject", "arn:aws:s3:::others/topics/a", "", false},
		{"s3:GetObject", "arn:aws:s3:::sinks/topics/a", "", false},
		{"s3:DeleteObject", "arn:aws:s3:::sinks/topics/a", "", false},
		{"s3:GetObject", "arn:aws:s3:::sinks/in/a", "", true},
		{"s3:ListBucket", "arn:aws:s3:::sinks", "in/", true},
		{"s3:ListBucket", "arn:aws:s3:::sinks", "topics/", false},
		{"s3:ListBucket", "arn:aws:s3:::sinks", "", false},
		{"s3:ListBucket", "arn:aws:s3:::refs", "", true},
		{"s3:PutObject", "arn:aws:s3:::refs/anything", "", true},
		{"s3:GetObject", "arn:aws:s3:::refs/anything", "", true},
		{"s3:ListAllMyBuckets", "*", "", false},
		{"s3:DeleteBucket", "arn:aws:s3:::refs", "", false},
		{"dynamodb:PutItem", tables + "orders", "", true},
		{"dynamodb:Scan", tables + "orders", "", false},
		{"dynamodb:GetRecords", tables + "orders/stream/1", "", false},
		{"dynamodb:Scan", tables + "events", "", true},
		{"dynamodb:GetRecords", tables + "events/stream/1", "", true},
		{"dynamodb:PutItem", tables + "events", "", false},
		{"dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:222222222222:table/orders", "", false},
		{"kms:Decrypt", "arn:aws:kms:eu-west-1:222222222222:key/1", "", false}, // not through S3
		{"iam:CreateUser", "*", "", false},
	} {
		when := map[string][]string{}
		if test.prefix != "" {
			when["s3:prefix"] = []string{test.prefix}
		}
		got := p.Evaluate(policy.Request{
			Caller: policy.Caller{ARN: "arn:aws:sts::222222222222:assumed-role/orders/sink"}, Action: test.action, Resource: test.resource, Context: when,
		})
		if allowed := got.Decision == policy.Allowed; allowed != test.want {
			t.Errorf("%s on %s (prefix %q): allowed %t, want %t", test.action, test.resource, test.prefix, allowed, test.want)
		}
	}
	through := p.Evaluate(policy.Request{
		Caller: policy.Caller{ARN: "arn:aws:sts::222222222222:assumed-role/orders/sink"}, Action: "kms:GenerateDataKey",
		Resource: "arn:aws:kms:eu-west-1:222222222222:key/1", Context: map[string][]string{"kms:ViaService": {"s3.eu-west-1.amazonaws.com"}},
	})
	if through.Decision != policy.Allowed {
		t.Errorf("S3 may not use the bucket's key for the session: %s", through.Decision)
	}
}

func TestAPolicyIsOfThePartitionOfTheCustomersRole(t *testing.T) {
	t.Parallel()
	for partition, region := range map[string]string{"aws": "eu-west-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"} {
		c := integration.Config{Kind: integration.KindAWS, Customer: "arn:" + partition + ":iam::222222222222:role/orders"}
		text, refusal := scope.Policy(c, []integration.Resource{s3("sinks", "p", integration.AccessReadWrite), table("orders", region, integration.AccessReadWrite)})
		if refusal != nil {
			t.Errorf("%s: %v", partition, refusal)
			continue
		}
		if got, want := strings.Count(text, `"arn:`), strings.Count(text, `"arn:`+partition+":"); got != want || got == 0 {
			t.Errorf("%s: %d of %d resources are in the partition: %s", partition, want, got, text)
		}
		if cn := strings.Contains(text, "s3.*.amazonaws.com.cn"); cn != (partition == "aws-cn") {
			t.Errorf("%s: service names end in .cn: %t", partition, cn)
		}
	}
}

func TestABadResourceIsNamedByItsField(t *testing.T) {
	t.Parallel()
	good := s3("sinks", "p", integration.AccessRead)
	for _, test := range []struct {
		bad   integration.Resource
		field string
	}{
		{s3("UPPER", "", integration.AccessRead), "/resources/1/s3/bucket"},
		{s3("sinks", "a*", integration.AccessRead), "/resources/1/s3/prefix"},
		{s3("sinks", "${aws:username}", integration.AccessRead), "/resources/1/s3/prefix"},
		{s3("sinks", `a"b`, integration.AccessRead), "/resources/1/s3/prefix"},
		{table("x", "eu-west-1", integration.AccessRead), "/resources/1/dynamodb/table"},
		{table("orders", "moon", integration.AccessRead), "/resources/1/dynamodb/region"},
		{table("orders", "cn-north-1", integration.AccessRead), "/resources/1/dynamodb/region"},
	} {
		if text, r := scope.Policy(customer, []integration.Resource{good, test.bad}); r == nil || r.Field != test.field || r.Code != integration.CodeInvalid {
			t.Errorf("%+v: got %q, %v; want a refusal of %s", test.bad, text, r, test.field)
		}
	}
	gcp := integration.Config{Kind: integration.KindGCP, Customer: "a@b.gserviceaccount.com"}
	if _, r := scope.Policy(gcp, []integration.Resource{good}); r == nil || r.Field != "/resources" {
		t.Errorf("Google Cloud: got %v, want a refusal", r)
	}
	if text, r := scope.Policy(gcp, nil); r != nil || text != "" {
		t.Errorf("no resources: got %q, %v; want nothing", text, r)
	}
}

func TestManyResourcesOfOneKindShareStatements(t *testing.T) {
	t.Parallel()
	var all []integration.Resource
	for n := range integration.MaxResources {
		all = append(all, s3("analytics-lake", fmt.Sprintf("topics/orders-%02d", n), integration.AccessWrite))
	}
	text, r := scope.Policy(customer, all)
	if r != nil || len(text) > integration.MaxSessionPolicy {
		t.Errorf("twenty prefixes of a bucket make %d characters, %v; want at most %d", len(text), r, integration.MaxSessionPolicy)
	}
}

package policy_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// place is where a partition's test resources are.
type place struct{ partition, region string }

var places = []place{{"aws", "eu-west-1"}, {"aws-cn", "cn-north-1"}, {"aws-us-gov", "us-gov-west-1"}}

func (p place) role(account, name string) string {
	return "arn:" + p.partition + ":iam::" + account + ":role/" + name
}

// documents are all that we render, made for a place.
func documents(t testing.TB, p place) map[string]policy.Document {
	t.Helper()
	must := func(d policy.Document, err error) policy.Document {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	platform, customer := p.role("111122223333", "platform/cspi-ab12c"), p.role("444455556666", "rolebridge-s3")
	s3 := policy.S3{Partition: p.partition, Bucket: "acme-data.logs", Prefix: "topics/orders"}
	table := policy.DynamoDB{Partition: p.partition, Region: p.region, Account: "444455556666", Table: "Orders_2.v-1"}
	all := map[string]policy.Document{
		"first-trust":          policy.FirstTrust(),
		"final-trust":          must(policy.FinalTrust(platform, externalID)),
		"rotation-trust":       must(policy.FinalTrust(platform, externalID, "rb-next")),
		"platform-trust":       must(policy.PlatformTrust(p.role("111122223333", "broker"), p.role("111122223333", "validator"))),
		"platform-permissions": must(policy.PlatformPermissions(customer)),
		"s3-sink-whole-bucket": must(policy.S3Sink(policy.S3{Partition: p.partition, Bucket: "acme-data.logs"})),
		"source-identity":      must(policy.FinalTrust(platform, externalID)).WithSourceIdentity(),
		"session": must(policy.SessionTo(
			policy.Part{S3: &s3, Write: true},
			policy.Part{S3: &policy.S3{Partition: p.partition, Bucket: "acme-data.logs", Prefix: "in/"}, Read: true, Write: true},
			policy.Part{S3: &policy.S3{Partition: p.partition, Bucket: "acme-refs"}, Read: true},
			policy.Part{DynamoDB: &table, Read: true},
			policy.Part{DynamoDB: &policy.DynamoDB{Partition: p.partition, Region: p.region, Account: "444455556666", Table: "out"}, Write: true},
		)),
	}
	for _, connector := range policy.Connectors() {
		all[connector] = must(policy.Permissions(connector, s3, table))
	}
	return all
}

func TestPermissionsOfAnUnknownConnectorAreRefused(t *testing.T) {
	_, err := policy.Permissions("jdbc-sink", policy.S3{}, policy.DynamoDB{})
	if field, ok := errors.AsType[*policy.FieldError](err); !ok || field.Field != "connector" {
		t.Errorf("got %v, want that the connector is refused", err)
	}
}

func TestRenderedDocumentsAreAsReviewed(t *testing.T) {
	for _, p := range places {
		for name, d := range documents(t, p) {
			var all bytes.Buffer
			for _, format := range policy.Formats() {
				out, err := d.Render(format, policy.Names{Role: "rolebridge-s3", Policy: "rolebridge", RoleExists: name != "first-trust"})
				if err != nil {
					t.Fatalf("%s as %s: %v", name, format, err)
				}
				all.WriteString("-- " + string(format) + " --\n")
				all.Write(out)
			}
			golden(t, "render/"+name+"."+p.partition+".txt", all.Bytes())
		}
	}
}

func TestARenderedDocumentHasNoFindingAndIAMAcceptsIt(t *testing.T) {
	for _, p := range places {
		platform, customer := p.role("111122223333", "platform/cspi-ab12c"), p.role("444455556666", "rolebridge-s3")
		for name, d := range documents(t, p) {
			parsed := d.Parse()
			expect := policy.Expect{}
			switch name {
			case "final-trust", "source-identity":
				expect = policy.Expect{PlatformRole: platform, ExternalIDs: []string{externalID}, CustomerRole: customer}
			case "rotation-trust":
				expect = policy.Expect{PlatformRole: platform, ExternalIDs: []string{externalID, "rb-next"}, CustomerRole: customer}
			case "platform-trust":
				expect = policy.Expect{CustomerRole: platform}
			}
			if found := parsed.Lint(expect); len(found) > 0 {
				t.Errorf("%s in %s: findings %v, want none", name, p.partition, found)
			}
			if refused := parsed.Validate(func(string) bool { return true }); len(refused) > 0 {
				t.Errorf("%s in %s: IAM refuses it: %v", name, p.partition, refused)
			}
			if again := policy.Parse(d.Kind, d.JSON()).JSON(); !bytes.Equal(again, d.JSON()) {
				t.Errorf("%s in %s: printed again it differs:\n%s", name, p.partition, again)
			}
		}
	}
}

// call is one request that a connector makes, or must not be able to make.
type call struct{ action, resource, prefix string }

// Each connector's calls, as its API reference lists the permissions of the operations it uses. The test asks for every
// action of the table on every resource of the table and its neighbours; what is not listed must be refused.
func TestAPermissionPolicyAllowsExactlyWhatTheConnectorCalls(t *testing.T) {
	for _, p := range places {
		bucket, other := "arn:"+p.partition+":s3:::acme-data.logs", "arn:"+p.partition+":s3:::acme-data-logs"
		object := bucket + "/topics/orders/2026/part-0.json"
		table := "arn:" + p.partition + ":dynamodb:" + p.region + ":444455556666:table/Orders_2.v-1"
		stream := table + "/stream/2026-01-01T00:00:00.000"
		resources := []string{
			"", bucket, object, bucket + "/topics/orders2/x", bucket + "/topics/orders", bucket + "/x", other, other + "/topics/orders/x",
			table, stream, table + "x", table + "/index/i", table + "x/stream/1", strings.Replace(table, p.region, "af-south-1", 1),
			strings.Replace(table, "444455556666", "444455556667", 1), strings.Replace(object, p.partition, "aws-iso", 1),
		}
		actions := []string{
			"s3:ListAllMyBuckets", "s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads", "s3:PutObject", "s3:PutObjectTagging",
			"s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:DeleteObject", "s3:PutObjectAcl", "s3:GetObjectVersion",
			"s3:DeleteBucket", "s3:PutBucketPolicy", "s3:CreateBucket", "s3:GetObjectTagging", "s3:ListBucketVersions",
			"dynamodb:DescribeTable", "dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:CreateTable",
			"dynamodb:DeleteTable", "dynamodb:UpdateTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:DescribeStream",
			"dynamodb:GetShardIterator", "dynamodb:GetRecords", "dynamodb:ListStreams", "dynamodb:ListTables", "iam:PassRole", "sts:AssumeRole", "kms:Decrypt",
		}
		on := func(resource string, actions ...string) []call {
			var list []call
			for _, a := range actions {
				list = append(list, call{a, resource, ""})
			}
			return list
		}
		docs := documents(t, p)
		sink := slices.Concat(
			on("", "s3:ListAllMyBuckets"),
			on(bucket, "s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads", "s3:ListAllMyBuckets"),
		)
		writes := []string{"s3:PutObject", "s3:PutObjectTagging", "s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
		// An action allowed on "*" is allowed whatever is named; AWS never names a resource with it.
		everywhere := func(action string) []call {
			var list []call
			for _, r := range resources {
				list = append(list, call{action, r, ""})
			}
			return list
		}
		whole := slices.Clone(sink)
		for _, r := range resources {
			if strings.HasPrefix(r, bucket+"/") {
				whole = append(whole, on(r, writes...)...)
			}
		}
		for name, want := range map[string][]call{
			"s3-sink":              slices.Concat(sink, on(object, writes...), everywhere("s3:ListAllMyBuckets")),
			"s3-sink-whole-bucket": slices.Concat(whole, everywhere("s3:ListAllMyBuckets")),
			"s3-source":            slices.Concat(on(bucket, "s3:GetBucketLocation"), on(object, "s3:GetObject")),
			"dynamodb-sink":        on(table, "dynamodb:DescribeTable", "dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"),
			"dynamodb-source":      slices.Concat(on(table, "dynamodb:DescribeTable", "dynamodb:Scan"), on(stream, "dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"), everywhere("dynamodb:ListStreams")),
		} {
			parsed := docs[name].Parse()
			for _, action := range actions {
				for _, resource := range resources {
					c, err := policy.SessionCaller(p.role("444455556666", "rolebridge-s3"), "connector-1")
					if err != nil {
						t.Fatal(err)
					}
					got := parsed.Evaluate(policy.Request{Caller: c, Action: action, Resource: resource}).Decision == policy.Allowed
					if want := slices.Contains(want, call{action, resource, ""}); got != want {
						t.Errorf("%s in %s: %s on %q allowed %t, want %t", name, p.partition, action, resource, got, want)
					}
				}
			}
		}
		for prefix, want := range map[string]bool{"topics/orders/": true, "topics/orders/2026": true, "topics/orders": false, "topics/orders2/": false, "": false} {
			r := policy.Request{Action: "s3:ListBucket", Resource: bucket, Context: map[string][]string{"s3:prefix": {prefix}}}
			r.Caller, _ = policy.NewCaller(p.role("444455556666", "rolebridge-s3"))
			if got := docs["s3-source"].Parse().Evaluate(r).Decision == policy.Allowed; got != want {
				t.Errorf("s3-source in %s: listing prefix %q allowed %t, want %t", p.partition, prefix, got, want)
			}
		}
	}
}

func TestAPlatformRoleBelongsToItsOwnersAndLeadsToOneRole(t *testing.T) {
	docs := documents(t, places[0])
	for caller, want := range map[string]policy.Decision{
		"arn:aws:iam::111122223333:role/broker":    policy.Allowed,
		"arn:aws:iam::111122223333:role/validator": policy.Allowed,
		"arn:aws:iam::111122223333:role/api":       policy.ImplicitDeny,
		"arn:aws:iam::111122223333:root":           policy.ImplicitDeny,
		"arn:aws:iam::999999999999:role/broker":    policy.ImplicitDeny,
	} {
		r := policy.Request{Caller: policy.Caller{ARN: caller}, Resource: platformRole, Tags: map[string]string{"integration": "cspi-ab12c"}}
		if got := docs["platform-trust"].Parse().Assume(r); got.Decision != want {
			t.Errorf("%s becomes the platform role: %s, want %s", caller, got.Decision, want)
		}
	}
	for _, test := range []struct {
		action, resource string
		want             policy.Decision
	}{
		{"sts:AssumeRole", customerRole, policy.Allowed},
		{"sts:TagSession", customerRole, policy.Allowed},
		{"sts:AssumeRole", customerRole + "2", policy.ImplicitDeny},
		{"sts:AssumeRole", platformRole, policy.ImplicitDeny},
		{"sts:SetSourceIdentity", customerRole, policy.Allowed},
		{"sts:SetSourceIdentity", customerRole + "2", policy.ImplicitDeny},
		{"s3:GetObject", "arn:aws:s3:::b/k", policy.ImplicitDeny},
	} {
		r := policy.Request{Caller: session(t, platformRole), Action: test.action, Resource: test.resource}
		if got := docs["platform-permissions"].Parse().Evaluate(r); got.Decision != test.want {
			t.Errorf("%s on %s: %s, want %s", test.action, test.resource, got.Decision, test.want)
		}
	}
}

func TestAHostileInputIsRefusedByItsField(t *testing.T) {
	hostile := []string{
		`a"b`, "a'b", "a\nb", "${aws:username}", "%{if true}", "a*", "a?c", "a b", "$(id)", "`id`", "a;b", "a\\b", "a\x00b", "é", "日本", "", "a{b}", "<b>", "a|b", "a&b", "-- json --",
		strings.Repeat("a", 2000),
	}
	good := policy.S3{Partition: "aws", Bucket: "bucket", Prefix: "p"}
	table := policy.DynamoDB{Partition: "aws", Region: "eu-west-1", Account: "444455556666", Table: "table"}
	final := func(names policy.Names, format policy.Format) error {
		_, err := policy.FirstTrust().Render(format, names)
		return err
	}
	second := func(_ policy.Document, err error) error { return err }
	fields := map[string]func(string) error{
		"partition":     func(v string) error { s := good; s.Partition = v; return second(policy.S3Sink(s)) },
		"bucket":        func(v string) error { s := good; s.Bucket = v; return second(policy.S3Source(s)) },
		"prefix":        func(v string) error { s := good; s.Prefix = "x/" + v + "\"*"; return second(policy.S3Sink(s)) },
		"region":        func(v string) error { d := table; d.Region = v; return second(policy.DynamoDBSink(d)) },
		"account":       func(v string) error { d := table; d.Account = v; return second(policy.DynamoDBSource(d)) },
		"table":         func(v string) error { d := table; d.Table = v; return second(policy.DynamoDBSink(d)) },
		"platform role": func(v string) error { return second(policy.FinalTrust("arn:aws:iam::111122223333:role/"+v+"*", "x1")) },
		"customer role": func(v string) error {
			return second(policy.PlatformPermissions("arn:aws:iam::111122223333:role/" + v + "'"))
		},
		"external ID":  func(v string) error { return second(policy.FinalTrust(platformRole, v+" ")) },
		"external IDs": func(string) error { return second(policy.FinalTrust(platformRole)) },
		"identities":   func(v string) error { return second(policy.PlatformTrust(v)) },
		"role name":    func(v string) error { return final(policy.Names{Role: v}, policy.FormatCLI) },
		"format":       func(v string) error { return final(policy.Names{Role: "r"}, policy.Format("x"+v)) },
		"policy name": func(v string) error {
			d, _ := policy.S3Sink(good)
			_, err := d.Render(policy.FormatTerraform, policy.Names{Role: "r", Policy: v})
			return err
		},
	}
	for _, v := range []string{".", "..", "./a", "../a", "a/..", "a/../b", "a/./b", "a/."} {
		s := good
		s.Prefix = v
		if err := (policy.Part{S3: &s}).Check(); err == nil {
			t.Errorf("prefix %q was accepted: clients take its segments of dots out of the path", v)
		}
	}
	for _, v := range []string{"...", "a.b/..c/d..", ".hidden/x"} {
		s := good
		s.Prefix = v
		if err := (policy.Part{S3: &s}).Check(); err != nil {
			t.Errorf("prefix %q: %v", v, err)
		}
	}
	for field, give := range fields {
		for _, v := range hostile {
			var refused *policy.FieldError
			if err := give(v); !errors.As(err, &refused) || refused.Field != field {
				t.Errorf("%s %q: got %v, want a refusal that names the field", field, v, err)
			}
		}
	}
	for _, bad := range []policy.DynamoDB{
		{Partition: "aws", Region: "cn-north-1", Account: "444455556666", Table: "table"},
		{Partition: "aws-cn", Region: "eu-west-1", Account: "444455556666", Table: "table"},
		{Partition: "aws-us-gov", Region: "us-east-1", Account: "444455556666", Table: "table"},
	} {
		if _, err := policy.DynamoDBSink(bad); err == nil {
			t.Errorf("%+v: accepted, want a refusal of a region of another partition", bad)
		}
	}
	for _, bucket := range []string{"192.0.2.1", "-ab", "ab-", "a..b", "Ab3", "ab", strings.Repeat("a", 64)} {
		if _, err := policy.S3Sink(policy.S3{Partition: "aws", Bucket: bucket}); err == nil {
			t.Errorf("bucket %q: accepted, want a refusal", bucket)
		}
	}
}

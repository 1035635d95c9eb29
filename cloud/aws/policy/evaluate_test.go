package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

const (
	platformRole = "arn:aws:iam::111122223333:role/platform/cspi-ab12c"
	customerRole = "arn:aws:iam::444455556666:role/rolebridge-s3"
	externalID   = "rb-7f3a0c52-0e1d-4c7b-9a40-5b8e6f2d1a90"
)

// trust makes a one-statement trust policy from the statement's elements.
func trust(elements string) string {
	return `{"Version":"2012-10-17","Statement":[{` + elements + `}]}`
}

// allow makes a trust policy that lets the platform role in under a condition.
func allow(condition string) string {
	return trust(`"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole","Condition":` + condition)
}

func session(t testing.TB, role string) policy.Caller {
	t.Helper()
	c, err := policy.SessionCaller(role, "broker")
	if err != nil {
		t.Fatalf("SessionCaller(%q): %v", role, err)
	}
	return c
}

func request(t testing.TB) policy.Request {
	t.Helper()
	return policy.Request{
		Caller: session(t, platformRole), Action: "sts:AssumeRole", Resource: customerRole,
		ExternalID: externalID, SessionName: "connector-1",
	}
}

func codes(list []policy.Finding) []policy.Code {
	out := []policy.Code{}
	for _, f := range list {
		if !slices.Contains(out, f.Code) {
			out = append(out, f.Code)
		}
	}
	return out
}

// Each case states one rule of the IAM User Guide: Principal, NotPrincipal, Condition operators, multivalued context
// keys, variables and tags, policy evaluation logic.
func TestATrustPolicyIsEvaluatedAsAWSDocuments(t *testing.T) {
	const (
		yes     = policy.Allowed
		no      = policy.ImplicitDeny
		denied  = policy.ExplicitDeny
		invalid = policy.Invalid
	)
	role := func(principal string) string {
		return trust(`"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"`)
	}
	with := func(edit func(*policy.Request)) func(*policy.Request) { return edit }
	key := func(name string, values ...string) func(*policy.Request) {
		return with(func(r *policy.Request) { r.Context = map[string][]string{name: values} })
	}
	noID := with(func(r *policy.Request) { r.ExternalID = "" })
	tests := []struct {
		name, text string
		edit       func(*policy.Request)
		want       policy.Decision
		code       policy.Code // that must be among the findings, if not empty
	}{
		// Principals.
		{"a role admits its sessions", role(`{"AWS":"` + platformRole + `"}`), nil, yes, ""},
		{"a list of principals admits each", role(`{"AWS":["arn:aws:iam::999999999999:root","` + platformRole + `"]}`), nil, yes, ""},
		{"another role of the account is not admitted", role(`{"AWS":"arn:aws:iam::111122223333:role/other"}`), nil, no, ""},
		{"the role's path matters", role(`{"AWS":"arn:aws:iam::111122223333:role/cspi-ab12c"}`), nil, no, ""},
		{"the role's name has a case", role(`{"AWS":"arn:aws:iam::111122223333:role/platform/CSPI-ab12c"}`), nil, no, ""},
		{"an account id admits its principals", role(`{"AWS":"111122223333"}`), nil, yes, ""},
		{"an account root admits its principals", role(`{"AWS":"arn:aws:iam::111122223333:root"}`), nil, yes, ""},
		{"another account root does not", role(`{"AWS":"arn:aws:iam::111122223334:root"}`), nil, no, ""},
		{"an account root of another partition does not", role(`{"AWS":"arn:aws-cn:iam::111122223333:root"}`), nil, no, ""},
		{"a star admits everybody", role(`{"AWS":"*"}`), nil, yes, ""},
		{"a bare star admits everybody, and IAM refuses it", role(`"*"`), nil, yes, policy.CodePrincipalStar},
		{"a session admits itself", role(`{"AWS":"arn:aws:sts::111122223333:assumed-role/cspi-ab12c/broker"}`), nil, yes, ""},
		{"a session does not admit another one", role(`{"AWS":"arn:aws:sts::111122223333:assumed-role/cspi-ab12c/other"}`), nil, no, ""},
		{"a wildcard in a role admits nobody", role(`{"AWS":"arn:aws:iam::111122223333:role/*"}`), nil, invalid, policy.CodePrincipalWildcard},
		{"a wildcard in a session admits nobody", role(`{"AWS":"arn:aws:sts::111122223333:assumed-role/cspi-ab12c/*"}`), nil, invalid, policy.CodePrincipalWildcard},
		{"a service does not admit a role", role(`{"Service":"ec2.amazonaws.com"}`), nil, no, ""},
		{"a service admits itself", role(`{"Service":["ec2.amazonaws.com","lambda.amazonaws.com"]}`), with(func(r *policy.Request) { r.Caller = policy.ServiceCaller("lambda.amazonaws.com") }), yes, ""},
		{
			"a provider admits its users", trust(`"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"accounts.google.com:aud":"app"}}`),
			with(func(r *policy.Request) {
				r.Caller = policy.FederatedCaller("accounts.google.com")
				r.Action, r.Context = "sts:AssumeRoleWithWebIdentity", map[string][]string{"accounts.google.com:aud": {"app"}}
			}), yes, "",
		},
		{"a deleted principal admits nobody", role(`{"AWS":"AROAEXAMPLEID1234567"}`), nil, no, ""},
		{"NotPrincipal with Allow is not supported", trust(`"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":"sts:AssumeRole"`), nil, invalid, policy.CodeNotPrincipal},
		{"nor does it matter whom it excepts", trust(`"NotPrincipal":{"AWS":"` + platformRole + `"},"Effect":"Allow","Action":"sts:AssumeRole"`), nil, invalid, policy.CodeNotPrincipal},
		{"nor that another statement admits", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole"},{"Effect":"Allow","NotPrincipal":{"AWS":"999999999999"},"Action":"sts:TagSession"}]}`, nil, invalid, policy.CodeNotPrincipal},
		{"NotPrincipal with Deny refuses those not named", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"},{"Effect":"Deny","NotPrincipal":{"AWS":"999999999999"},"Action":"sts:AssumeRole"}]}`, nil, denied, ""},
		{"and not those named, with a finding", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"},{"Effect":"Deny","NotPrincipal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole"}]}`, nil, yes, policy.CodeNotPrincipalDeny},
		{"a user admits the user", role(`{"AWS":"arn:aws:iam::111122223333:user/team/ann"}`), with(func(r *policy.Request) { r.Caller = policy.Caller{ARN: "arn:aws:iam::111122223333:user/team/ann"} }), yes, ""},
		{"the caller's own policy must allow across accounts", role(`{"AWS":"` + platformRole + `"}`), with(func(r *policy.Request) { r.Own = policy.OwnSilent }), no, ""},
		{"the caller's own deny wins", role(`{"AWS":"` + platformRole + `"}`), with(func(r *policy.Request) { r.Own = policy.OwnDenies }), denied, ""},
		{"within an account a named role needs no policy of its own", role(`{"AWS":"` + platformRole + `"}`), with(func(r *policy.Request) { r.Own, r.Resource = policy.OwnSilent, "arn:aws:iam::111122223333:role/target" }), yes, ""},
		{"within an account the root only delegates", role(`{"AWS":"111122223333"}`), with(func(r *policy.Request) { r.Own, r.Resource = policy.OwnSilent, "arn:aws:iam::111122223333:role/target" }), no, ""},

		// Effect, action.
		{"a deny wins over an allow", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"},{"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"sts:*"}]}`, nil, denied, ""},
		{"the first policy denies everybody", trust(`"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"`), nil, denied, ""},
		{"an action has no case", trust(`"Effect":"Allow","Principal":{"AWS":"*"},"Action":"STS:assumerole"`), nil, yes, ""},
		{"an action may have wildcards", trust(`"Effect":"Allow","Principal":{"AWS":"*"},"Action":["sts:Tag*","sts:Assume?ole"]`), nil, yes, ""},
		{"another action is not allowed", trust(`"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:TagSession"`), nil, no, ""},
		{"NotAction is about the others", trust(`"Effect":"Allow","Principal":{"AWS":"*"},"NotAction":"sts:TagSession"`), nil, yes, ""},
		{"NotAction is not about its own", trust(`"Effect":"Allow","Principal":{"AWS":"*"},"NotAction":"sts:Assume*"`), nil, no, ""},
		{"a single statement needs no list", `{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}}`, nil, yes, ""},

		// The external ID.
		{"the right external ID", allow(`{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}`), nil, yes, ""},
		{"a key has no case", allow(`{"StringEquals":{"STS:externalid":"` + externalID + `"}}`), nil, yes, ""},
		{"an operator is taken in any case, with a note", allow(`{"stringequals":{"sts:ExternalId":"` + externalID + `"}}`), nil, yes, ""},
		{"a value has a case", allow(`{"StringEquals":{"sts:ExternalId":"` + strings.ToUpper(externalID) + `"}}`), nil, no, ""},
		{"no external ID", allow(`{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}`), noID, no, ""},
		{"one of several external IDs", allow(`{"StringEquals":{"sts:ExternalId":["old","` + externalID + `"]}}`), nil, yes, ""},
		{"all keys must match", allow(`{"StringEquals":{"sts:ExternalId":"` + externalID + `","sts:RoleSessionName":"x"}}`), nil, no, ""},
		{"all operators must match", allow(`{"StringEquals":{"sts:ExternalId":"` + externalID + `"},"StringLike":{"sts:RoleSessionName":"connector-*"}}`), nil, yes, ""},
		{"StringLike with a star still wants the key", allow(`{"StringLike":{"sts:ExternalId":"*"}}`), noID, no, ""},
		{"StringLike with a star takes any value", allow(`{"StringLike":{"sts:ExternalId":"*"}}`), nil, yes, ""},
		{"StringEquals takes a star as a star", allow(`{"StringEquals":{"sts:ExternalId":"*"}}`), nil, no, ""},
		{"IfExists holds without the key", allow(`{"StringEqualsIfExists":{"sts:ExternalId":"x"}}`), noID, yes, ""},
		{"IfExists compares with the key", allow(`{"StringEqualsIfExists":{"sts:ExternalId":"x"}}`), nil, no, ""},
		{"a negated operator holds without the key", allow(`{"StringNotEquals":{"sts:ExternalId":"x"}}`), noID, yes, ""},
		{"a negated operator wants none of its values", allow(`{"StringNotEquals":{"sts:ExternalId":["x","` + externalID + `"]}}`), nil, no, ""},
		{"StringEqualsIgnoreCase", allow(`{"StringEqualsIgnoreCase":{"sts:ExternalId":"` + strings.ToUpper(externalID) + `"}}`), nil, yes, ""},
		{"Null true wants absence", allow(`{"Null":{"sts:ExternalId":"true"}}`), noID, yes, ""},
		{"Null false wants presence", allow(`{"Null":{"sts:ExternalId":false}}`), noID, no, ""},
		{"an unknown operator makes the policy invalid", allow(`{"StringEqual":{"sts:ExternalId":"` + externalID + `"}}`), nil, invalid, policy.CodeUnknownOperator},
		{"Null takes no IfExists", allow(`{"NullIfExists":{"sts:ExternalId":"true"}}`), nil, invalid, policy.CodeUnknownOperator},
		{"an unknown key counts as absent", allow(`{"StringEquals":{"sts:ExternalID2":"x"}}`), nil, no, policy.CodeUnknownKey},
		{"an unknown key that allows is reported", allow(`{"StringNotEquals":{"sts:External":"x"}}`), nil, yes, policy.CodeUnknownKey},
		{"a key that is not given and allows is reported", allow(`{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), nil, yes, policy.CodeKeyNotGiven},

		// Other families.
		{"ArnLike compares part by part", allow(`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/platform/*"}}`), nil, yes, ""},
		{"ArnEquals takes wildcards too", allow(`{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::1111?2223333:role/platform/*"}}`), nil, yes, ""},
		{"a star in ArnLike stays in its part", allow(`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*"}}`), nil, no, ""},
		{"aws:PrincipalArn of a session is its role", allow(`{"StringEquals":{"aws:PrincipalArn":"` + platformRole + `"}}`), nil, yes, ""},
		{"Bool", allow(`{"Bool":{"aws:PrincipalIsAWSService":false}}`), nil, yes, ""},
		{"NumericLessThanEquals", allow(`{"NumericLessThanEquals":{"sts:DurationSeconds":3600}}`), key("sts:DurationSeconds", "3600"), yes, ""},
		{"NumericLessThan", allow(`{"NumericLessThan":{"sts:DurationSeconds":"3600"}}`), key("sts:DurationSeconds", "3600"), no, ""},
		{"a number that is none does not allow", allow(`{"NumericNotEquals":{"sts:DurationSeconds":"long"}}`), key("sts:DurationSeconds", "1"), no, policy.CodeBadValue},
		{"DateLessThan", allow(`{"DateLessThan":{"aws:CurrentTime":"2031-01-01T00:00:00Z"}}`), with(func(r *policy.Request) { r.Now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }), yes, ""},
		{"DateGreaterThan with seconds", allow(`{"DateGreaterThan":{"aws:EpochTime":"1893456001"}}`), with(func(r *policy.Request) { r.Now = time.Unix(1893456000, 0) }), no, ""},
		{"IpAddress", allow(`{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","2001:db8::/32"]}}`), key("aws:SourceIp", "2001:db8::1"), yes, ""},
		{"NotIpAddress", allow(`{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`), key("aws:SourceIp", "192.0.2.9"), no, ""},
		{"BinaryEquals", allow(`{"BinaryEquals":{"acme.example:blob":"aGk="}}`), key("acme.example:blob", "aGk="), yes, ""},

		// Several values in the request.
		{"ForAnyValue wants one", allow(`{"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}}`), key("aws:TagKeys", "b", "c"), yes, ""},
		{"ForAnyValue is false without the key", allow(`{"ForAnyValue:StringEquals":{"aws:TagKeys":["a"]}}`), nil, no, ""},
		{"a negated ForAnyValue wants one that differs", allow(`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["a"]}}`), key("aws:TagKeys", "a", "z"), yes, ""},
		{"ForAllValues wants all", allow(`{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}`), key("aws:TagKeys", "b", "c"), no, ""},
		{"ForAllValues is true without the key", allow(`{"ForAllValues:StringEquals":{"sts:ExternalId":"x"}}`), noID, yes, ""},
		{"ForAllValues is true for an empty value", allow(`{"ForAllValues:StringEquals":{"aws:TagKeys":"x"}}`), key("aws:TagKeys", ""), yes, ""},
		{"several values need a set operator", allow(`{"StringEquals":{"aws:TagKeys":["a","b"]}}`), key("aws:TagKeys", "a", "b"), no, policy.CodeSetOperatorNeeded},

		// Variables.
		{"a variable", allow(`{"StringEquals":{"sts:ExternalId":"${aws:PrincipalTag/id}"}}`), with(func(r *policy.Request) { r.Caller.Tags = map[string]string{"id": externalID} }), yes, ""},
		{"a variable's default", allow(`{"StringEquals":{"sts:ExternalId":"${aws:PrincipalTag/id, '` + externalID + `'}"}}`), nil, yes, ""},
		{"a variable without a value allows nothing", allow(`{"StringNotEquals":{"sts:ExternalId":"${aws:PrincipalTag/id}"}}`), nil, no, policy.CodeVariableUnresolved},
		{"a variable's value has no wildcards", allow(`{"StringLike":{"sts:ExternalId":"${aws:PrincipalTag/id}"}}`), with(func(r *policy.Request) { r.Caller.Tags = map[string]string{"id": "*"} }), no, ""},
		{"an escaped star is a star", allow(`{"StringLike":{"sts:ExternalId":"a${*}b*"}}`), with(func(r *policy.Request) { r.ExternalID = "a*bc" }), yes, ""},
		{"an escaped star is nothing else", allow(`{"StringLike":{"sts:ExternalId":"a${*}b*"}}`), with(func(r *policy.Request) { r.ExternalID = "axbc" }), no, ""},
		{"an escaped dollar and question mark", allow(`{"StringEquals":{"sts:ExternalId":"${$}${?}"}}`), with(func(r *policy.Request) { r.ExternalID = "$?" }), yes, ""},
		{"the old version has no variables", `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"${aws:username}"}}}}`, with(func(r *policy.Request) { r.ExternalID = "${aws:username}" }), yes, policy.CodeVariable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := request(t)
			if test.edit != nil {
				test.edit(&r)
			}
			got := policy.Parse(policy.Trust, []byte(test.text)).Evaluate(r)
			if got.Decision != test.want {
				t.Errorf("%s: got %s, want %s; findings %v", test.text, got.Decision, test.want, got.Findings)
			}
			if test.code != "" && !slices.Contains(codes(got.Findings), test.code) {
				t.Errorf("%s: findings %v, want %s among them", test.text, codes(got.Findings), test.code)
			}
		})
	}
}

func TestADenyThatCannotBeJudgedApplies(t *testing.T) {
	text := `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"},
		{"Sid":"Guard","Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"${aws:PrincipalTag/blocked}"}}}]}`
	got := policy.Parse(policy.Trust, []byte(text)).Evaluate(request(t))
	if got.Decision != policy.ExplicitDeny || got.Sid != "Guard" || got.Statement != 1 || len(got.Findings) == 0 {
		t.Errorf("got %+v, want an explicit deny by statement 1 (Guard) with a finding", got)
	}
}

func TestTagsNeedTagSession(t *testing.T) {
	const assume = `{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}}`
	const tag = `{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:TagSession"}`
	tagged := request(t)
	tagged.Tags = map[string]string{"connector": "c-1"}
	named := request(t)
	named.SourceIdentity = "ann"
	for _, test := range []struct {
		name, statements string
		request          policy.Request
		want             policy.Decision
	}{
		{"no tags, no TagSession", assume, request(t), policy.Allowed},
		{"tags, no TagSession", assume, tagged, policy.ImplicitDeny},
		{"tags, TagSession", assume + "," + tag, tagged, policy.Allowed},
		{"a source identity, no SetSourceIdentity", assume + "," + tag, named, policy.ImplicitDeny},
	} {
		got := policy.Parse(policy.Trust, []byte(`{"Version":"2012-10-17","Statement":[`+test.statements+`]}`)).Assume(test.request)
		if got.Decision != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got.Decision, test.want)
		}
	}
}

func TestAnIdentityPolicyIsEvaluatedOverItsResources(t *testing.T) {
	const text = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"},
		{"Effect":"Allow","Action":["s3:Get*","s3:PutObject"],"Resource":["arn:aws:s3:::data/in/*","arn:aws:s3:::home/${aws:username, 'nobody'}/*"]},
		{"Effect":"Deny","Action":"s3:*","NotResource":["arn:aws:s3:::data","arn:aws:s3:::data/*","arn:aws:s3:::home/*","*"]},
		{"Effect":"Deny","NotAction":"s3:*","Resource":"arn:aws:s3:::data/*"},
		{"Effect":"Allow","Action":"dynamodb:PutItem","Resource":"arn:aws:dynamodb:*:111122223333:table/t"},
		{"Effect":"Allow","Action":"sns:Publish","Resource":"arn:aws:sns:*"}]}`
	p := policy.Parse(policy.Identity, []byte(text))
	if list := p.Findings(); len(list) != 0 {
		t.Fatalf("findings %v, want none", list)
	}
	for _, test := range []struct {
		action, resource string
		want             policy.Decision
	}{
		{"s3:ListAllMyBuckets", "", policy.Allowed},
		{"s3:getobject", "arn:aws:s3:::data/in/a/b.json", policy.Allowed},
		{"s3:GetObject", "arn:aws:s3:::data/out/a", policy.ImplicitDeny},
		{"s3:PutObject", "arn:aws:s3:::home/nobody/x", policy.Allowed},
		{"s3:PutObject", "arn:aws:s3:::home/ann/x", policy.ImplicitDeny},
		{"kms:Decrypt", "arn:aws:s3:::data/in/a", policy.ExplicitDeny},
		{"dynamodb:PutItem", "arn:aws:dynamodb:eu-west-1:111122223333:table/t", policy.Allowed},
		{"dynamodb:PutItem", "arn:aws:dynamodb:eu-west-1:111122223334:table/t", policy.ImplicitDeny},
		{"dynamodb:PutItem", "arn:aws:dynamodb:eu-west-1:x:111122223333:table/t", policy.ImplicitDeny},
		{"sns:Publish", "arn:aws:sns:eu-west-1:111122223333:topic", policy.Allowed},
	} {
		got := p.Evaluate(policy.Request{Caller: session(t, platformRole), Action: test.action, Resource: test.resource})
		if got.Decision != test.want {
			t.Errorf("%s on %q: got %s, want %s", test.action, test.resource, got.Decision, test.want)
		}
	}
}

func TestASessionPolicyOnlyNarrows(t *testing.T) {
	identity := policy.Parse(policy.Identity, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}}`))
	narrow := policy.Parse(policy.Session, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::data/mine/*"}}`))
	for resource, want := range map[string]policy.Decision{
		"arn:aws:s3:::data/mine/a": policy.Allowed, "arn:aws:s3:::data/theirs/a": policy.ImplicitDeny,
	} {
		r := policy.Request{Caller: session(t, platformRole), Action: "s3:GetObject", Resource: resource}
		if got := policy.Intersect(identity.Evaluate(r), narrow.Evaluate(r)); got.Decision != want {
			t.Errorf("%s: got %s, want %s", resource, got.Decision, want)
		}
		r.Action = "s3:PutObject"
		if got := policy.Intersect(identity.Evaluate(r), narrow.Evaluate(r)); got.Decision != policy.ImplicitDeny {
			t.Errorf("PutObject on %s: got %s, want implicit-deny: a session policy grants nothing", resource, got.Decision)
		}
	}
}

func TestASessionWithoutAKnownPathIsFoundByItsRolesName(t *testing.T) {
	p := policy.Parse(policy.Trust, []byte(trust(`"Effect":"Allow","Principal":{"AWS":"`+platformRole+`"},"Action":"sts:AssumeRole"`)))
	for arn, want := range map[string]policy.Decision{
		"arn:aws:sts::111122223333:assumed-role/cspi-ab12c/x": policy.Allowed,
		"arn:aws:sts::111122223333:assumed-role/cspi-zz/x":    policy.ImplicitDeny,
		"arn:aws:sts::111122223334:assumed-role/cspi-ab12c/x": policy.ImplicitDeny,
		platformRole:                       policy.Allowed,
		"arn:aws:iam::111122223333:root":   policy.ImplicitDeny,
		"arn:aws:iam::111122223333:user/a": policy.ImplicitDeny,
		"arn:aws:iam::1111:user/a":         policy.Invalid,
		"nonsense":                         policy.Invalid,
	} {
		r := request(t)
		r.Caller = policy.Caller{ARN: arn}
		if got := p.Evaluate(r); got.Decision != want {
			t.Errorf("%s: got %s %v, want %s", arn, got.Decision, got.Findings, want)
		}
	}
}

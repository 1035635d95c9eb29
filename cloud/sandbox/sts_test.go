package sandbox_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

// TestTrustPoliciesDecideByExternalID is the matrix of the proof of trust: what a customer may have written, against the
// right external id, a wrong one, none, and the right one with session tags.
func TestTrustPoliciesDecideByExternalID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hop := w.role(t, w.platform, "cspi-abcde", openTrust(w.broker.ARN), allowAssume)
	session := w.mustAssume(t, w.broker.Key, hop)

	statement := func(principal, rest string) string {
		return fmt.Sprintf(`{"Effect":"Allow","Principal":%s,"Action":"sts:AssumeRole"%s}`, principal, rest)
	}
	us := `{"AWS":"` + hop + `"}`
	equals := `,"Condition":{"StringEquals":{"sts:ExternalId":"` + rightID + `"}}`
	tagging := `,{"Effect":"Allow","Principal":` + us + `,"Action":"sts:TagSession"}`
	const yes, no = true, false
	for name, c := range map[string]struct {
		statements                  string
		right, wrong, missing, tags bool
	}{
		"correct":                     {statement(us, equals) + tagging, yes, no, no, yes},
		"no condition":                {statement(us, "") + tagging, yes, yes, yes, yes},
		"everybody":                   {statement(`{"AWS":"*"}`, ""), yes, yes, yes, no},
		"everybody with external id":  {statement(`{"AWS":"*"}`, equals), yes, no, no, no},
		"account root":                {statement(`{"AWS":"arn:aws:iam::`+platform+`:root"}`, equals), yes, no, no, no},
		"account id":                  {statement(`{"AWS":"`+platform+`"}`, equals), yes, no, no, no},
		"another account":             {statement(`{"AWS":"`+stranger+`"}`, equals), no, no, no, no},
		"a service":                   {statement(`{"Service":"ec2.amazonaws.com"}`, ""), no, no, no, no},
		"deny all":                    {`{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}`, no, no, no, no},
		"explicit deny":               {statement(us, equals) + `,{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:*"}`, no, no, no, no},
		"deny of what has no id":      {statement(us, "") + `,{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"Null":{"sts:ExternalId":"true"}}}`, yes, yes, no, no},
		"wrong id":                    {statement(us, `,"Condition":{"StringEquals":{"sts:ExternalId":"another"}}`), no, no, no, no},
		"StringLike star":             {statement(us, `,"Condition":{"StringLike":{"sts:ExternalId":"*"}}`) + tagging, yes, yes, no, yes},
		"a list of ids":               {statement(us, `,"Condition":{"StringEquals":{"sts:ExternalId":["old","`+rightID+`"]}}`), yes, no, no, no},
		"no TagSession":               {statement(us, equals), yes, no, no, no},
		"TagSession denied":           {statement(us, equals) + tagging + `,{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:TagSession"}`, yes, no, no, no},
		"StringEqualsIfExists":        {statement(us, `,"Condition":{"StringEqualsIfExists":{"sts:ExternalId":"`+rightID+`"}}`) + tagging, yes, no, yes, yes},
		"ForAnyValue":                 {statement(us, `,"Condition":{"ForAnyValue:StringEquals":{"sts:ExternalId":["`+rightID+`"]}}`) + tagging, yes, no, no, yes},
		"ForAllValues":                {statement(us, `,"Condition":{"ForAllValues:StringEquals":{"sts:ExternalId":["`+rightID+`"]}}`), yes, no, yes, no},
		"the session by name":         {statement(`{"AWS":"arn:aws:sts::`+platform+`:assumed-role/cspi-abcde/test-session"}`, equals), yes, no, no, no},
		"another session by name":     {statement(`{"AWS":"arn:aws:sts::`+platform+`:assumed-role/cspi-abcde/other"}`, equals), no, no, no, no},
		"the condition in other case": {statement(us, `,"Condition":{"StringEquals":{"STS:externalid":"`+rightID+`"}}`), yes, no, no, no},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			role := w.role(t, w.customer, strings.ReplaceAll(name, " ", "-"), `{"Version":"2012-10-17","Statement":[`+c.statements+`]}`)
			for what, try := range map[string]struct {
				with func(*sts.AssumeRoleInput)
				want bool
			}{
				"the right id":          {externalID(rightID), c.right},
				"a wrong id":            {externalID("wrong-id"), c.wrong},
				"no id":                 {externalID(""), c.missing},
				"the right id and tags": {func(in *sts.AssumeRoleInput) { externalID(rightID)(in); in.Tags = tags("team", "data") }, c.tags},
			} {
				want := "AccessDenied"
				if try.want {
					want = ""
				}
				_, err := w.assume(t, session, role, try.with)
				wantCode(t, what, err, want)
			}
		})
	}
}

func tags(keyValue ...string) (out []types.Tag) {
	for pair := range slices.Chunk(keyValue, 2) {
		out = append(out, types.Tag{Key: &pair[0], Value: &pair[1]})
	}
	return out
}

func TestBothSidesMustAllow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent, err := w.AddUser(platform, "silent", "")
	if err != nil {
		t.Fatal(err)
	}
	denied, err := w.AddUser(platform, "denied", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
	if err != nil {
		t.Fatal(err)
	}
	everybody := openTrust(platform)
	byName := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + silent.ARN + `","` + denied.ARN + `","` + w.broker.ARN + `"]},"Action":"sts:AssumeRole"}]}`
	for name, c := range map[string]struct {
		owner sandbox.Account
		trust string
		who   aws.CredentialsProvider
		want  string
	}{
		"across accounts the trust policy alone does not suffice":        {w.customer, byName, silent.Key, "AccessDenied"},
		"across accounts both together do":                               {w.customer, byName, w.broker.Key, ""},
		"in one account being named suffices":                            {w.platform, byName, silent.Key, ""},
		"in one account a trusted account needs the caller's policy too": {w.platform, everybody, silent.Key, "AccessDenied"},
		"in one account account and policy suffice":                      {w.platform, everybody, w.broker.Key, ""},
		"a deny of one's own wins":                                       {w.platform, byName, denied.Key, "AccessDenied"},
		"a root assumes nothing":                                         {w.platform, everybody, w.platform.Root, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			role := w.role(t, c.owner, roleName(name), c.trust)
			_, err := w.assume(t, c.who, role)
			wantCode(t, "AssumeRole", err, c.want)
		})
	}
}

// roleName makes a test's name one for a role.
func roleName(test string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, test)
	return name[:min(len(name), 64)]
}

func TestARefusalHasTheWordsOfAWS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.role(t, w.customer, "target", trustOf(w.broker.ARN))
	_, err := w.assume(t, w.broker.Key, role)
	want := "User: " + w.broker.ARN + " is not authorized to perform: sts:AssumeRole on resource: " + role
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "StatusCode: 403") {
		t.Errorf("got %v, want a 403 with %q", err, want)
	}
	_, missing := w.assume(t, w.broker.Key, role+"-that-is-not-there")
	if want := want + "-that-is-not-there"; missing == nil || !strings.Contains(missing.Error(), want) {
		t.Errorf("got %v, want the same words for a role that does not exist", missing)
	}
}

func TestCallerIdentityOfUserRootAndSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.role(t, w.customer, "target", openTrust(w.broker.ARN))
	session := w.mustAssume(t, w.broker.Key, role)
	for want, who := range map[string]aws.CredentialsProvider{
		"arn:aws:iam::" + platform + ":root":                             w.platform.Root,
		"arn:aws:iam::" + platform + ":user/broker":                      w.broker.Key,
		"arn:aws:sts::" + customer + ":assumed-role/target/test-session": session,
	} {
		out, err := w.sts(t, who).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil {
			t.Fatalf("GetCallerIdentity of %s: %v", want, err)
		}
		if *out.Arn != want || !strings.Contains(want, *out.Account) {
			t.Errorf("got %s of %s, want %s", *out.Arn, *out.Account, want)
		}
	}
}

func TestChainedSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.role(t, w.platform, "first", openTrust(w.broker.ARN), allowAssume)
	second := w.role(t, w.customer, "second", openTrust(first))
	if _, err := w.iam(t, w.customer.Root).UpdateRole(t.Context(), &iam.UpdateRoleInput{RoleName: aws.String("second"), MaxSessionDuration: aws.Int32(43200)}); err != nil {
		t.Fatal(err)
	}
	session := w.mustAssume(t, w.broker.Key, first, func(in *sts.AssumeRoleInput) {
		in.Tags, in.TransitiveTagKeys = tags("team", "data", "plain", "x"), []string{"team"}
	})
	_, err := w.assume(t, session, second, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) })
	wantCode(t, "a chained session of more than an hour", err, "ValidationError")
	_, err = w.assume(t, session, second, func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3600) })
	wantCode(t, "a chained session of an hour", err, "")
	_, err = w.assume(t, session, second, func(in *sts.AssumeRoleInput) { in.Tags = tags("Team", "other") })
	wantCode(t, "a tag that is inherited", err, "InvalidParameterValue")
	_, err = w.assume(t, session, second, func(in *sts.AssumeRoleInput) { in.Tags = tags("plain", "y") })
	wantCode(t, "a tag that is not inherited", err, "")
}

// TestTransitiveTagsAndSourceIdentityGoDownTheChain: both are inherited, and both need the permission again at every role.
func TestTransitiveTagsAndSourceIdentityGoDownTheChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	trust := func(principal, actions, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":` + actions + condition + `}]}`
	}
	const all, plain = `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, `"sts:AssumeRole"`
	first := w.role(t, w.platform, "first", openTrust(w.broker.ARN), allowAssume)
	second := w.role(t, w.customer, "second", trust(first, all, ""), allowAssume)
	third := w.role(t, w.customer, "third", trust(second, all, `,"Condition":{"StringEquals":{"aws:PrincipalTag/team":"data"},"Null":{"aws:PrincipalTag/plain":"true"}}`))
	narrow := w.role(t, w.customer, "narrow", trust(first, plain, ""))

	tagged := w.mustAssume(t, w.broker.Key, first, func(in *sts.AssumeRoleInput) {
		in.Tags, in.TransitiveTagKeys = tags("team", "data", "plain", "x"), []string{"team"}
	})
	_, err := w.assume(t, w.mustAssume(t, tagged, second), third)
	wantCode(t, "a role that wants the tag from the chain's beginning", err, "")
	_, err = w.assume(t, w.mustAssume(t, w.mustAssume(t, w.broker.Key, first), second), third)
	wantCode(t, "the same without the tag", err, "AccessDenied")
	_, err = w.assume(t, tagged, narrow)
	wantCode(t, "inherited tags where TagSession is not allowed", err, "AccessDenied")

	named := w.mustAssume(t, w.broker.Key, first, func(in *sts.AssumeRoleInput) { in.SourceIdentity = aws.String("somebody") })
	_, err = w.assume(t, named, narrow)
	wantCode(t, "an inherited source identity where SetSourceIdentity is not allowed", err, "AccessDenied")
	_, err = w.assume(t, named, second, func(in *sts.AssumeRoleInput) { in.SourceIdentity = aws.String("somebody-else") })
	wantCode(t, "a source identity in place of the inherited one", err, "AccessDenied")
	_, err = w.assume(t, named, second)
	wantCode(t, "the inherited one where it is allowed", err, "")
	_, err = w.assume(t, w.mustAssume(t, w.broker.Key, first), narrow)
	wantCode(t, "neither tags nor source identity", err, "")
	_, err = w.assume(t, w.broker.Key, w.role(t, w.platform, "no-source", trust(w.broker.ARN, plain, "")), func(in *sts.AssumeRoleInput) { in.SourceIdentity = aws.String("somebody") })
	wantCode(t, "a source identity of the request where it is not allowed", err, "AccessDenied")
}

func TestASessionPolicyAlsoBoundsWhatARoleIsGrantedByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.role(t, w.platform, "first", openTrust(w.broker.ARN))
	second := w.role(t, w.platform, "second", openTrust(first))
	_, err := w.assume(t, w.mustAssume(t, w.broker.Key, first), second)
	wantCode(t, "named in the same account", err, "")
	narrow := w.mustAssume(t, w.broker.Key, first, func(in *sts.AssumeRoleInput) {
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	})
	_, err = w.assume(t, narrow, second)
	wantCode(t, "with a session policy that is about other things", err, "AccessDenied")
}

func TestAssumeRoleChecksItsParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.role(t, w.customer, "target", openTrust(w.broker.ARN))
	many := tags()
	for i := range 51 {
		many = append(many, tags(fmt.Sprintf("k%d", i), "v")...)
	}
	long := tags()
	for i := range uint64(20) {
		long = append(long, tags(fmt.Sprintf("k%d", i), noise(i, 200))...)
	}
	for name, c := range map[string]struct {
		with func(*sts.AssumeRoleInput)
		want string
	}{
		"a session name with a space":     {func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") }, "ValidationError"},
		"a session name of one character": {func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("a") }, "ValidationError"},
		"an external id of one character": {externalID("x"), "ValidationError"},
		"an external id with a space":     {externalID("x y"), "ValidationError"},
		"less than 900 seconds":           {func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(899) }, "ValidationError"},
		"more than 12 hours":              {func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(43201) }, "ValidationError"},
		"more than the role's maximum":    {func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }, "ValidationError"},
		"900 seconds":                     {func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(900) }, ""},
		"51 tags":                         {func(in *sts.AssumeRoleInput) { in.Tags = many }, "ValidationError"},
		"the same tag key twice":          {func(in *sts.AssumeRoleInput) { in.Tags = tags("a", "1", "A", "2") }, "InvalidParameterValue"},
		"a tag key that is reserved":      {func(in *sts.AssumeRoleInput) { in.Tags = tags("aws:x", "1") }, "InvalidInput"},
		"more tags than fit":              {func(in *sts.AssumeRoleInput) { in.Tags = long }, "PackedPolicyTooLarge"},
		"a transitive key that is no tag": {func(in *sts.AssumeRoleInput) { in.TransitiveTagKeys = []string{"x"} }, "InvalidParameterValue"},
		"managed policies": {func(in *sts.AssumeRoleInput) {
			in.PolicyArns = []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}}
		}, "ValidationError"},
		"a session policy that is not a policy": {func(in *sts.AssumeRoleInput) { in.Policy = aws.String("{}") }, "MalformedPolicyDocument"},
		"a session policy of 2,049 characters":  {func(in *sts.AssumeRoleInput) { in.Policy = aws.String(strings.Repeat(" ", 2049)) }, "ValidationError"},
		"a source identity":                     {func(in *sts.AssumeRoleInput) { in.SourceIdentity = aws.String("somebody") }, ""},
		"MFA": {func(in *sts.AssumeRoleInput) {
			in.SerialNumber, in.TokenCode = aws.String("arn:aws:iam::1:mfa/x"), aws.String("123456")
		}, "ValidationError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := w.assume(t, w.broker.Key, role, c.with)
			wantCode(t, "AssumeRole", err, c.want)
		})
	}
}

// noise is text that does not pack.
func noise(seed uint64, n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+="
	random := rand.New(rand.NewPCG(seed, 1))
	text := make([]byte, n)
	for i := range text {
		text[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(text)
}

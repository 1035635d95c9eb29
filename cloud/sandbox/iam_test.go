package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

func TestTrustPoliciesThatIAMRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.iam(t, w.customer.Root)
	trust := func(principal, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"` + condition + `}]}`
	}
	us := `{"AWS":"` + w.broker.ARN + `"}`
	for name, c := range map[string]struct{ document, want string }{
		"a role that does not exist":      {trust(`{"AWS":"arn:aws:iam::`+platform+`:role/missing"}`, ""), "MalformedPolicyDocument"},
		"a user that does not exist":      {trust(`{"AWS":"arn:aws:iam::`+platform+`:user/missing"}`, ""), "MalformedPolicyDocument"},
		"an account that does not exist":  {trust(`{"AWS":"444444444444"}`, ""), "MalformedPolicyDocument"},
		"an id that nobody has":           {trust(`{"AWS":"AROAAAAAAAAAAAAAAAAA"}`, ""), "MalformedPolicyDocument"},
		"one of two that does not exist":  {trust(`{"AWS":["`+w.broker.ARN+`","arn:aws:iam::`+platform+`:role/missing"]}`, ""), "MalformedPolicyDocument"},
		"an ARN with a wildcard":          {trust(`{"AWS":"arn:aws:iam::`+platform+`:role/*"}`, ""), "MalformedPolicyDocument"},
		"another path":                    {trust(`{"AWS":"arn:aws:iam::`+platform+`:user/team/broker"}`, ""), "MalformedPolicyDocument"},
		"an unknown operator":             {trust(us, `,"Condition":{"StringSame":{"sts:ExternalId":"x"}}`), "MalformedPolicyDocument"},
		"NotPrincipal":                    {strings.Replace(trust(us, ""), `"Principal"`, `"NotPrincipal"`, 1), "MalformedPolicyDocument"},
		"a resource":                      {trust(us, `,"Resource":"*"`), "MalformedPolicyDocument"},
		"an action of another service":    {strings.Replace(trust(us, ""), "sts:AssumeRole", "s3:GetObject", 1), "MalformedPolicyDocument"},
		"text that is not JSON":           {`{"Version":`, "MalformedPolicyDocument"},
		"more than 2,048 characters":      {trust(us, `,"Condition":{"StringEquals":{"sts:ExternalId":"`+strings.Repeat("x", 2048)+`"}}`), "LimitExceeded"},
		"a whole account":                 {trust(`{"AWS":"`+platform+`"}`, ""), ""},
		"a user":                          {trust(us, ""), ""},
		"a service":                       {trust(`{"Service":"ec2.amazonaws.com"}`, ""), ""},
		"a session of a role yet to come": {trust(`{"AWS":"arn:aws:sts::`+platform+`:assumed-role/some/one"}`, ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			role := roleName(name)
			_, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &role, AssumeRolePolicyDocument: &c.document})
			wantCode(t, "CreateRole", err, c.want)
		})
	}
}

func TestRolesAreMadeShownChangedAndRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.iam(t, w.platform.Root)
	ctx := t.Context()
	name := aws.String("cspi-abcde")
	trust := openTrust(w.broker.ARN)
	made, err := client.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: name, Path: aws.String("/rolebridge/"), AssumeRolePolicyDocument: &trust, Description: aws.String("a role"),
		MaxSessionDuration: aws.Int32(7200), Tags: []iamtypes.Tag{{Key: aws.String("owner"), Value: aws.String("rolebridge")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("CSPI-ABCDE"), AssumeRolePolicyDocument: &trust})
	wantCode(t, "a name that differs in case only", err, "EntityAlreadyExists")
	if _, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("assume"), PolicyDocument: aws.String(allowAssume)}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []iamtypes.Tag{{Key: aws.String("Owner"), Value: aws.String("us")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []iamtypes.Tag{{Key: aws.String("extra"), Value: aws.String("x")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UntagRole(ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{"extra"}}); err != nil {
		t.Fatal(err)
	}
	listed, err := client.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: name})
	if err != nil || len(listed.Tags) != 1 || *listed.Tags[0].Value != "us" {
		t.Errorf("ListRoleTags: got %+v and %v, want Owner=us", listed, err)
	}
	got, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	if err != nil {
		t.Fatal(err)
	}
	r := got.Role
	shown, _ := url.PathUnescape(*r.AssumeRolePolicyDocument)
	if *r.Arn != "arn:aws:iam::"+platform+":role/rolebridge/cspi-abcde" || *r.RoleId != *made.Role.RoleId || *r.MaxSessionDuration != 7200 ||
		shown != trust || len(r.Tags) != 1 || *r.Tags[0].Key != "Owner" || *r.Tags[0].Value != "us" {
		t.Errorf("GetRole: got %+v with %s", r, shown)
	}
	policy, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("assume")})
	if err != nil {
		t.Fatal(err)
	}
	if document, _ := url.PathUnescape(*policy.PolicyDocument); document != allowAssume {
		t.Errorf("GetRolePolicy: got %s, want %s", document, allowAssume)
	}
	names, err := client.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name})
	if err != nil || !slices.Equal(names.PolicyNames, []string{"assume"}) {
		t.Errorf("ListRolePolicies: got %v and %v", names, err)
	}
	_, err = client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	wantCode(t, "DeleteRole with a policy left", err, "DeleteConflict")
	if _, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("assume")}); err != nil {
		t.Fatal(err)
	}
	_, err = client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("assume")})
	wantCode(t, "DeleteRolePolicy again", err, "NoSuchEntity")
	if _, err := client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name}); err != nil {
		t.Fatal(err)
	}
	_, err = client.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	if _, missing := errors.AsType[*iamtypes.NoSuchEntityException](err); !missing {
		t.Errorf("GetRole of what was removed: got %v, want NoSuchEntity", err)
	}
}

func TestRolesArePagedAndLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *sandbox.Config) { c.RolesPerAccount = 5 })
	for i := range 5 {
		w.role(t, w.platform, fmt.Sprintf("role-%d", i), openTrust(platform))
	}
	client := w.iam(t, w.platform.Root)
	_, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("one-more"), AssumeRolePolicyDocument: aws.String(openTrust(platform))})
	wantCode(t, "the sixth of five roles", err, "LimitExceeded")
	w.role(t, w.stranger, "another-account", openTrust(platform))
	var names []string
	pages := iam.NewListRolesPaginator(client, &iam.ListRolesInput{MaxItems: aws.Int32(2)})
	for n := 1; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(t.Context())
		if err != nil || n > 3 {
			t.Fatalf("page %d: %v", n, err)
		}
		for _, r := range page.Roles {
			names = append(names, *r.RoleName)
		}
	}
	if want := []string{"role-0", "role-1", "role-2", "role-3", "role-4"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestIAMAsksTheCallersOwnPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mapper, err := w.AddUser(platform, "mapper", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iam:CreateRole","iam:GetRole"],"Resource":"arn:aws:iam::`+platform+`:role/cspi-*"}}`)
	if err != nil {
		t.Fatal(err)
	}
	client := w.iam(t, mapper.Key)
	create := func(name string) error {
		_, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(openTrust(platform))})
		return err
	}
	wantCode(t, "CreateRole of its own kind", create("cspi-abcde"), "")
	wantCode(t, "CreateRole of another kind", create("admin"), "AccessDenied")
	_, err = client.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("cspi-abcde")})
	wantCode(t, "DeleteRole", err, "AccessDenied")
}

// TestTrustNamesWhoeverHadTheARN is AWS's protection against a role that is deleted and made again by somebody else.
func TestTrustNamesWhoeverHadTheARN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	hop := w.role(t, w.platform, "cspi-abcde", openTrust(w.broker.ARN), allowAssume)
	target := w.role(t, w.customer, "target", openTrust(hop))
	session := w.mustAssume(t, w.broker.Key, hop)
	if _, err := w.assume(t, session, target); err != nil {
		t.Fatal(err)
	}
	ours := w.iam(t, w.platform.Root)
	old, err := ours.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("cspi-abcde")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("cspi-abcde"), PolicyName: aws.String("own")}); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("cspi-abcde")}); err != nil {
		t.Fatal(err)
	}
	w.role(t, w.platform, "cspi-abcde", openTrust(w.broker.ARN), allowAssume)
	_, err = w.assume(t, session, target)
	wantCode(t, "a session of the role that was", err, "InvalidClientTokenId")
	session = w.mustAssume(t, w.broker.Key, hop)
	_, err = w.assume(t, session, target)
	wantCode(t, "the new role under the old name", err, "AccessDenied")

	theirs := w.iam(t, w.customer.Root)
	shown, err := theirs.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("target")})
	if err != nil {
		t.Fatal(err)
	}
	if document, _ := url.PathUnescape(*shown.Role.AssumeRolePolicyDocument); !strings.Contains(document, *old.Role.RoleId) || strings.Contains(document, hop) || !json.Valid([]byte(document)) {
		t.Errorf("the trust policy shows %s, want the id %s in place of the ARN", document, *old.Role.RoleId)
	}
	if _, err := theirs.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("target"), PolicyDocument: aws.String(openTrust(hop))}); err != nil {
		t.Fatal(err)
	}
	_, err = w.assume(t, session, target)
	wantCode(t, "after the policy was written again", err, "")
}

func TestChangesArriveAfterThePropagationDelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	target := w.role(t, w.customer, "target", openTrust(w.broker.ARN))
	w.SetPropagation(10 * time.Second)
	later := func(d time.Duration) { w.ahead.Add(int64(d)) }
	theirs := w.iam(t, w.customer.Root)

	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`
	if _, err := theirs.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("target"), PolicyDocument: &deny}); err != nil {
		t.Fatal(err)
	}
	shown, err := theirs.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("target")})
	if document, _ := url.PathUnescape(aws.ToString(shown.Role.AssumeRolePolicyDocument)); err != nil || document != deny {
		t.Errorf("IAM itself shows %s and %v, want the new policy at once", document, err)
	}
	_, err = w.assume(t, w.broker.Key, target)
	wantCode(t, "STS before the delay", err, "")
	later(9 * time.Second)
	_, err = w.assume(t, w.broker.Key, target)
	wantCode(t, "STS a second before its end", err, "")
	later(time.Second)
	_, err = w.assume(t, w.broker.Key, target)
	wantCode(t, "STS after the delay", err, "AccessDenied")

	hop := w.role(t, w.platform, "new", openTrust(w.broker.ARN))
	_, err = w.assume(t, w.broker.Key, hop)
	wantCode(t, "a role that is too new", err, "AccessDenied")
	_, err = theirs.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("target"), PolicyDocument: aws.String(openTrust(hop))})
	wantCode(t, "a trust policy that names it", err, "MalformedPolicyDocument")
	later(10 * time.Second)
	_, err = theirs.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("target"), PolicyDocument: aws.String(openTrust(hop))})
	wantCode(t, "the same after the delay", err, "")
	w.SetPropagation(0)
	if _, err := theirs.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("target"), PolicyDocument: aws.String(openTrust(w.broker.ARN))}); err != nil {
		t.Fatal(err)
	}
	_, err = w.assume(t, w.broker.Key, target)
	wantCode(t, "a change without delay does not overtake one with it", err, "AccessDenied")
	later(10 * time.Second)
	_, err = w.assume(t, w.broker.Key, target)
	wantCode(t, "both have arrived", err, "")
}

func TestUsersAndKeysComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	client := w.iam(t, w.customer.Root)
	name := aws.String("somebody")
	if _, err := client.CreateUser(ctx, &iam.CreateUserInput{UserName: name}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: name, PolicyName: aws.String("p"), PolicyDocument: aws.String(allowAssume)}); err != nil {
		t.Fatal(err)
	}
	made, err := client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		t.Fatal(err)
	}
	key := credentials.NewStaticCredentialsProvider(*made.AccessKey.AccessKeyId, *made.AccessKey.SecretAccessKey, "")
	role := w.role(t, w.customer, "target", openTrust("arn:aws:iam::"+customer+":user/somebody"))
	_, err = w.assume(t, key, role)
	wantCode(t, "AssumeRole with the new key", err, "")
	_, err = client.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name})
	wantCode(t, "DeleteUser with policy and key left", err, "DeleteConflict")
	if _, err := client.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: name, AccessKeyId: made.AccessKey.AccessKeyId}); err != nil {
		t.Fatal(err)
	}
	_, err = w.assume(t, key, role)
	wantCode(t, "AssumeRole with a key that is gone", err, "InvalidClientTokenId")
	if _, err := client.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: name, PolicyName: aws.String("p")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteUser(ctx, &iam.DeleteUserInput{UserName: name}); err != nil {
		t.Fatal(err)
	}
}

// TestStateSurvivesARestart covers keys, roles, trust, sessions, buckets and objects, and that the file is for its owner
// only.
func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keep := func(c *sandbox.Config) { c.Dir = dir }
	before, role := sink(t, keep)
	session := before.mustAssume(t, before.broker.Key, role, externalID(rightID))
	client := before.s3(t, session)
	for _, object := range [][2]string{{"a", "old"}, {"b", "other"}, {"c", "gone"}, {"a", "new"}} {
		if err := put(t, client, object[0], object[1]); err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.DeleteObject(t.Context(), deleteInput("c"))
	wantCode(t, "DeleteObject", err, "")
	before.stop()
	wantPrivate(t, dir)

	after := newWorld(t, keep)
	if after.customer.Root.ID != before.customer.Root.ID || after.broker.Key.Secret.Reveal() != before.broker.Key.Secret.Reveal() {
		t.Error("the keys are others")
	}
	client = after.s3(t, session)
	for key, want := range map[string]string{"a": "new", "b": "other"} {
		if got, err := get(t, client, key); err != nil || got != want {
			t.Errorf("object %s: got %q and %v, want %q", key, got, err, want)
		}
	}
	_, err = get(t, client, "c")
	wantCode(t, "the object that was removed", err, "NoSuchKey")
	_, err = after.assume(t, after.broker.Key, role, externalID("wrong"))
	wantCode(t, "a wrong external id", err, "AccessDenied")
	_, err = after.assume(t, after.broker.Key, role, externalID(rightID))
	wantCode(t, "the right external id", err, "")
}

func TestAConfigThatIsNotValidIsRefusedWithAllItsFaults(t *testing.T) {
	t.Parallel()
	_, err := sandbox.New(sandbox.Config{RolesPerAccount: 5001, Propagation: -1})
	if err == nil || !strings.Contains(err.Error(), "RolesPerAccount: 5001") || !strings.Contains(err.Error(), "Propagation: -1ns") {
		t.Errorf("got %v, want both faults", err)
	}
	s, err := sandbox.New(sandbox.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context(), "0.0.0.0:0"); err == nil {
		t.Error("it listens to everybody, want loopback only")
	}
	for _, id := range []string{"", "12345678901", "12345678901x"} {
		if _, err := s.AddAccount(id); err == nil {
			t.Errorf("account %q was made", id)
		}
	}
}

func TestASessionReadsItsOwnRoleOnlyIfItsRolePermitsThat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	self := "arn:aws:iam::" + w.customer.ID + ":role/open"
	allow := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetRole","Resource":"` + self + `"}}`
	w.role(t, w.customer, "open", openTrust(w.broker.ARN), allow)
	w.role(t, w.customer, "shut", openTrust(w.broker.ARN))
	read := func(as, name string) error {
		who := w.mustAssume(t, w.broker.Key, "arn:aws:iam::"+w.customer.ID+":role/"+as)
		got, err := w.iam(t, who).GetRole(t.Context(), &iam.GetRoleInput{RoleName: &name})
		if err == nil && *got.Role.RoleName != name {
			t.Errorf("%s reads %s: got %s", as, name, *got.Role.RoleName)
		}
		return err
	}
	wantCode(t, "a role that may read itself", read("open", "open"), "")
	wantCode(t, "another role", read("open", "shut"), "AccessDenied")
	wantCode(t, "a role without a policy", read("shut", "shut"), "AccessDenied")
}

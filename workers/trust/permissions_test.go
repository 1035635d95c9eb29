package trust_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/workers/trust"
)

func bucket(name, prefix string, a integration.Access) integration.Resource {
	return integration.Resource{S3: integration.S3Objects{Bucket: name, Prefix: prefix, Access: a}}
}

func dynamo(name, region string) integration.Resource {
	return integration.Resource{DynamoDB: integration.DynamoDBTable{Table: name, Region: region, Access: integration.AccessRead}}
}

// lake is a world whose customer trusts us and has the bucket lake; another account has the bucket foreign.
func lake(t *testing.T) (*awstest.World, *trust.Prover) {
	t.Helper()
	w := world(t)
	final, err := policy.FinalTrust(platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	w.Role(t, w.Customer, "customer", string(final.JSON()))
	for name, owner := range map[string]sandbox.Account{"lake": w.Customer, "foreign": w.Spare} {
		client := s3.New(s3.Options{
			Region: awstest.Region, Credentials: owner.Root, BaseEndpoint: sdk.String(w.Endpoint()), UsePathStyle: true,
			HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		})
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{
			Bucket: &name,
		}); err != nil {
			t.Fatal(err)
		}
	}
	return w, newProver(t, w.Client(t), prometheus.NewRegistry())
}

func permitData(t *testing.T, w *awstest.World, document string) {
	t.Helper()
	if _, err := w.IAM(t, w.Customer).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: sdk.String("customer"), PolicyName: sdk.String("data"), PolicyDocument: &document,
	}); err != nil {
		t.Fatal(err)
	}
}

func permissions(t *testing.T, p *trust.Prover, all ...integration.Resource) (integration.Check, integration.Report) {
	t.Helper()
	c := claim()
	c.Resources = all
	report := prove(t, p, c)
	return check(t, report, integration.CheckPermissions), report
}

func TestMissingPermissionsFailWithWhatToPasteAndNeverTouchTheVerdict(t *testing.T) {
	t.Parallel()
	w, p := lake(t)
	for _, a := range integration.Accesses() {
		permitData(t, w, `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*"}}`)
		got, report := permissions(t, p, bucket("lake", "raw", a))
		if got.Outcome != integration.Fail || got.Reason != "AccessDenied" || !strings.Contains(got.Detail, "S3 bucket lake under raw/") {
			t.Fatalf("%s, not permitted: got %+v", a, got)
		}
		if report.Verdict() != integration.VerdictClean || outcomes(report) != "PPPPPPPP" {
			t.Errorf("%s: missing permissions made the verdict %s", a, report.Verdict())
		}
		_, paste, _ := strings.Cut(got.Remedy, "\n")
		permitData(t, w, paste)
		if got, _ := permissions(t, p, bucket("lake", "raw", a)); got.Outcome != integration.Pass {
			t.Errorf("%s, with what the remedy says: got %+v", a, got)
		}
	}
}

func TestMissingAndForeignBucketsAreFailures(t *testing.T) {
	t.Parallel()
	w, p := lake(t)
	permitData(t, w, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	for _, a := range integration.Accesses() {
		got, _ := permissions(t, p, bucket("lake", "", a), bucket("nowhere", "", a))
		if got.Outcome != integration.Fail || got.Reason != "NoSuchBucket" || got.Detail != "S3 bucket nowhere: does not exist (NoSuchBucket)" ||
			strings.Contains(got.Remedy, "Statement") {
			t.Errorf("%s, no such bucket: got %+v", a, got)
		}
		got, report := permissions(t, p, bucket("foreign", "", a))
		if got.Outcome != integration.Fail || got.Reason != "AccessDenied" || report.Verdict() != integration.VerdictClean {
			t.Errorf("%s, another account's: got %+v, %s", a, got, report.Verdict())
		}
	}
}

func TestNothingNamedOrNoSessionIsSkipped(t *testing.T) {
	t.Parallel()
	w, p := lake(t)
	if got, _ := permissions(t, p); got.Outcome != integration.Skipped || got.Reason != trust.ReasonNoResources {
		t.Errorf("nothing named: got %+v", got)
	}
	w.Role(t, w.Customer, "customer", string(policy.FirstTrust().JSON()))
	if got, _ := permissions(t, p, bucket("lake", "", "read")); got.Outcome != integration.Skipped || got.Reason != string(integration.CheckWithExternalID) {
		t.Errorf("no session: got %+v", got)
	}
}

func TestAProofLooksAtSoManyResourcesAndSaysHowManyItLeftOut(t *testing.T) {
	t.Parallel()
	w, p := lake(t)
	permitData(t, w, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	c := claim()
	c.Resources, c.LeftOut = slices.Repeat([]integration.Resource{bucket("lake", "", "write")}, integration.MaxProbed+2), 3
	got := check(t, prove(t, p, c), integration.CheckPermissions)
	if n := w.Calls("GetBucketLocation"); n != integration.MaxProbed || got.Outcome != integration.Pass || !strings.HasPrefix(got.Detail, "5 more") {
		t.Errorf("got %d calls and %+v", n, got)
	}
}

// data is an AWS of which a test decides what S3 and DynamoDB answer, and sees where the calls went.
func data(t *testing.T, answer http.HandlerFunc) (*trust.Prover, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var hosts []string
	server := &sts{answer: right, conns: map[string]http.ConnState{}}
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "/sts/") || strings.Contains(r.Header.Get("Authorization"), "/iam/") {
			server.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		hosts = append(hosts, r.Host+r.URL.EscapedPath()+" "+r.Header.Get("X-Amz-Target"))
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(at.Close)
	client := open(t, aws.Config{Region: awstest.Region, Endpoint: at.URL, Credentials: awstest.Static("AKIABASEBASEBASEBASE", "base-secret")})
	return newProver(t, client, prometheus.NewRegistry()), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return hosts
	}
}

func TestHostileNamesAreNeverCalled(t *testing.T) {
	t.Parallel()
	p, calls := data(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for _, r := range []integration.Resource{
		bucket("evil.example/x", "", "write"), bucket("a@evil.example", "", "read"), bucket("../lake", "", "read"), bucket("lake?x=1", "", "read"),
		bucket("169.254.169.254", "", "write"), bucket("x#y", "", "write"), bucket("data--usw2-az1--x-s3", "", "read"), bucket("abc.mrap", "", "read"),
		bucket("data-s3alias", "", "write"), bucket("arn:aws:s3:us-east-1:222222222222:accesspoint/a", "", "read"),
		dynamo("orders", "evil.example/"), dynamo("orders", "eu-west-1.evil.example"), dynamo("orders", "eu-west-1#"), dynamo("arn:aws:dynamodb:x", "eu-west-1"),
	} {
		got, report := permissions(t, p, r)
		if got.Outcome != integration.Errored || got.Reason != "InvalidName" || report.Verdict() != integration.VerdictClean {
			t.Errorf("%+v: got %+v, %s", r, got, report.Verdict())
		}
	}
	if seen := calls(); len(seen) != 0 {
		t.Errorf("called %v, want nobody", seen)
	}
}

func TestATableIsDescribedAndWhatCannotBeTriedIsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status          int
		body            string
		outcome         integration.Outcome
		reason, inPaste string
	}{
		"reached":     {200, `{"Table":{}}`, integration.Pass, "", ""},
		"refused":     {400, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}`, integration.Fail, "AccessDeniedException", "table/orders/stream/*"},
		"missing":     {400, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no"}`, integration.Fail, "ResourceNotFoundException", ""},
		"bad session": {400, `{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"no"}`, integration.Errored, "UnrecognizedClientException", ""},
		"away":        {500, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"no"}`, integration.Errored, "InternalServerError", ""},
	} {
		p, calls := data(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		got, report := permissions(t, p, dynamo("orders", "eu-west-1"))
		if got.Outcome != c.outcome || got.Reason != c.reason || !strings.Contains(got.Remedy, c.inPaste) || report.Verdict() != integration.VerdictClean {
			t.Errorf("%s: got %+v, %s", name, got, report.Verdict())
		}
		if seen := calls(); len(seen) == 0 || !strings.HasSuffix(seen[0], ".DescribeTable") {
			t.Errorf("%s: called %v, want DescribeTable", name, seen)
		}
	}
}

func TestABucketIsFollowedToItsRegionAndNowhereElse(t *testing.T) {
	t.Parallel()
	for home, outcome := range map[string]integration.Outcome{
		"eu-west-1": integration.Pass, "evil.example": integration.Errored, "eu-west-1.evil.example": integration.Errored,
	} {
		p, calls := data(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/s3/") {
				_, _ = w.Write([]byte(`<ListBucketResult></ListBucketResult>`))
				return
			}
			w.Header().Set("X-Amz-Bucket-Region", home)
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(http.StatusMovedPermanently)
			_, _ = w.Write([]byte(`<Error><Code>PermanentRedirect</Code></Error>`))
		})
		got, _ := permissions(t, p, bucket("lake", "", "read"))
		if got.Outcome != outcome {
			t.Errorf("%s: got %+v, want %s after %v", home, got, outcome, calls())
		}
		if tries := 2 * int(trust.ProverDefaults().Tries); outcome != integration.Pass && len(calls()) >= tries {
			t.Errorf("%s: it was followed: %v", home, calls())
		}
	}
}

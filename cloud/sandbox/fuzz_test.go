package sandbox_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

// FuzzAnyRequestGetsAnAnswer: nobody who is not known gets in, and nothing panics.
func FuzzAnyRequestGetsAnAnswer(f *testing.F) {
	f.Add("GET", "/b/k?X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=5&X-Amz-Credential=a/20260101/r/s3/aws4_request&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host", "", "")
	f.Add("POST", "/", "AWS4-HMAC-SHA256 Credential=a/20260101/r/sts/aws4_request, SignedHeaders=host, Signature=00", "Action=AssumeRole")
	f.Add("PUT", "/b/k", "AWS4-HMAC-SHA256 Credential=a/20260101/r/s3/aws4_request, SignedHeaders=host;x, Signature=00", "5;x\r\n")
	s, err := sandbox.New(sandbox.Defaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, authorization, body string) {
		at, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		r := &http.Request{Method: method, URL: at, Header: http.Header{}, Host: "localhost", RemoteAddr: "127.0.0.1:1", Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", "20260101T000000Z")
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if isPage := method == http.MethodGet && at.Path == "/" && at.RawQuery == "" && authorization == ""; rec.Code < 400 && !isPage {
			t.Errorf("%s %s with %q: got %d, want a refusal", method, target, authorization, rec.Code)
		}
	})
}

// known is a sandbox, and the credentials of a customer's root in it.
func known(f *testing.F) (*sandbox.Sandbox, aws.Credentials) {
	f.Helper()
	s, err := sandbox.New(sandbox.Defaults())
	if err != nil {
		f.Fatal(err)
	}
	account, err := s.AddAccount(customer)
	if err != nil {
		f.Fatal(err)
	}
	who, err := account.Root.Retrieve(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return s, who
}

// FuzzASignedRequest: whatever somebody who is known asks of IAM and STS, the answer is XML and never our fault, and a refusal
// has a code.
func FuzzASignedRequest(f *testing.F) {
	s, who := known(f)
	trust := url.QueryEscape(trustOf("arn:aws:iam::" + customer + ":root"))
	for _, seed := range []string{
		"Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=" + trust, "Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=%7B&Tags.member.1.Key=k&Tags.member.1.Value=v",
		"Action=GetRole&RoleName=r", "Action=ListRoles&MaxItems=-1&PathPrefix=/", "Action=UpdateAssumeRolePolicy&RoleName=r&PolicyDocument=" + trust, "Action=PutRolePolicy&RoleName=r&PolicyName=p&PolicyDocument=%7B%7D",
		"Action=TagRole&RoleName=r&Tags.member.1.Key=k", "Action=DeleteRole&RoleName=r", "Action=AssumeRole&RoleArn=arn:aws:iam::" + customer + ":role/r&RoleSessionName=s&ExternalId=" + rightID + "&DurationSeconds=900",
		"Action=AssumeRole&DurationSeconds=1e9&Tags.member.99999999999.Key=k", "Action=GetCallerIdentity", "Action=%zz", "", "Action=AssumeRole&RoleArn=%00&Policy=%5B",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, form string, toIAM bool) {
		service := "sts"
		if toIAM {
			service = "iam"
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		sum := sha256.Sum256([]byte(form))
		if err := v4.NewSigner().SignHTTP(t.Context(), who, r, hex.EncodeToString(sum[:]), service, "eu-west-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		var said struct {
			Error struct{ Code string }
		}
		if err := xml.Unmarshal(rec.Body.Bytes(), &said); err != nil || rec.Code >= 500 || rec.Code >= 400 && said.Error.Code == "" {
			t.Fatalf("%s %q: got %d %s, %v", service, form, rec.Code, rec.Body, err)
		}
	})
}

// FuzzASignedObjectRequest: whatever somebody who is known asks of S3, the answer is never our fault, and a refusal with a body is XML with
// a code.
func FuzzASignedObjectRequest(f *testing.F) {
	s, who := known(f)
	ask := func(t testing.TB, method, path, query, tagging, body string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", strings.NewReader(body))
		r.Method, r.URL.Path, r.URL.RawQuery = method, "/"+path, query
		r.Header["X-Amz-Tagging"], r.Header["X-Amz-Copy-Source"] = []string{tagging}, []string{tagging}
		if tagging == "" {
			r.Header = http.Header{}
		}
		sum := sha256.Sum256([]byte(body))
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		if err := signer.SignHTTP(t.Context(), who, r, hex.EncodeToString(sum[:]), "s3", "eu-west-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		return rec
	}
	if got := ask(f, http.MethodPut, "bucket", "", "", ""); got.Code != http.StatusOK {
		f.Fatalf("no bucket: %d %s", got.Code, got.Body)
	}
	if got := ask(f, http.MethodPut, "bucket/key", "", "a=b", "text"); got.Code != http.StatusOK {
		f.Logf("no object: %d %s", got.Code, got.Body)
	}
	for _, seed := range [][5]string{
		{"GET", "bucket/key", "", "", ""},
		{"GET", "bucket", "list-type=2&prefix=k&max-keys=1&delimiter=/", "", ""},
		{"GET", "bucket", "location", "", ""},
		{"PUT", "bucket/a", "", "a=b&%zz", "x"},
		{"PUT", "bucket/b", "", "/bucket/key", ""},
		{"POST", "bucket/c", "uploads", "", ""},
		{"PUT", "bucket/c", "partNumber=1&uploadId=1", "", "x"},
		{"POST", "bucket", "delete", "", "<Delete><Object><Key>key</Key></Object></Delete>"},
		{"DELETE", "bucket/key", "", "", ""},
		{"HEAD", "bucket/key", "", "", ""},
		{"GET", "", "", "", ""},
		{"PUT", "bucket/key", "tagging", "", "<a"},
		{"\x00", "//", "%", "\xff", ""},
		{"GET", "bucket/../x", "max-keys=-1", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	f.Fuzz(func(t *testing.T, method, path, query, tagging, body string) {
		if method == http.MethodDelete && strings.Trim(path, "/") == "bucket" {
			return // the others need it
		}
		rec := ask(t, method, path, query, tagging, body)
		if rec.Code >= 500 && rec.Code != http.StatusNotImplemented {
			t.Fatalf("%s /%s?%s: got %d %s", method, path, query, rec.Code, rec.Body)
		}
		if rec.Code < 400 || rec.Body.Len() == 0 {
			return
		}
		var said struct{ Code string }
		if err := xml.Unmarshal(rec.Body.Bytes(), &said); err != nil || said.Code == "" {
			t.Fatalf("%s /%s?%s: got %d %s, %v", method, path, query, rec.Code, rec.Body, err)
		}
	})
}

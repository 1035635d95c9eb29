package sandbox_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

const bucket = "customer-data"

// sinkPolicy is what an S3 sink needs for everything under a prefix.
func sinkPolicy(prefix string) string {
	return `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":"arn:aws:s3:::` + bucket + `"},
		{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:DeleteObject","s3:AbortMultipartUpload","s3:ListMultipartUploadParts"],"Resource":"arn:aws:s3:::` + bucket + `/` + prefix + `*"}]}`
}

// sink is a world with a bucket and a role that may write into it.
func sink(t *testing.T, change ...func(*sandbox.Config)) (*world, string) {
	t.Helper()
	w := newWorld(t, change...)
	if err := w.AddBucket(customer, bucket); err != nil {
		t.Fatal(err)
	}
	role := w.role(t, w.customer, "sink", trustOf(w.broker.ARN), sinkPolicy(""))
	return w, role
}

func put(t *testing.T, client *s3.Client, key, body string) error {
	t.Helper()
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body)})
	return err
}

func get(t *testing.T, client *s3.Client, key string) (string, error) {
	t.Helper()
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key, ChecksumMode: s3types.ChecksumModeEnabled})
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Body.Close() }()
	text, err := io.ReadAll(out.Body)
	return string(text), err
}

func TestObjectsGoInAndOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.s3(t, w.customer.Root)
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"plain", "a/b/c", "a/b/d", "a/e", "strange key+%&=?ü/~"} {
		if err := put(t, client, key, "body of "+key); err != nil {
			t.Fatalf("PutObject %q: %v", key, err)
		}
		if got, err := get(t, client, key); err != nil || got != "body of "+key {
			t.Errorf("GetObject %q: got %q and %v", key, got, err)
		}
	}
	t.Run("a listing is cut at the delimiter and into pages", func(t *testing.T) {
		t.Parallel()
		var keys []string
		pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String("a/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Contents {
				keys = append(keys, *o.Key)
			}
			for _, p := range page.CommonPrefixes {
				keys = append(keys, *p.Prefix)
			}
		}
		if want := []string{"a/b/", "a/e"}; !slices.Equal(keys, want) {
			t.Errorf("got %v, want %v", keys, want)
		}
	})
	t.Run("a range, a head, a copy, a removal", func(t *testing.T) {
		t.Parallel()
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("plain"), Range: aws.String("bytes=5-6")})
		if err != nil {
			t.Fatal(err)
		}
		part, _ := io.ReadAll(out.Body)
		_ = out.Body.Close()
		if string(part) != "of" {
			t.Errorf("a range of two bytes: got %q, want %q", part, "of")
		}
		if _, err := client.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy"), CopySource: aws.String(bucket + "/plain")}); err != nil {
			t.Fatal(err)
		}
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy")})
		if err != nil || *head.ContentLength != int64(len("body of plain")) {
			t.Errorf("HeadObject: got %v and %v", head, err)
		}
		if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy")}); err != nil {
			t.Fatal(err)
		}
		_, err = get(t, client, "copy")
		wantCode(t, "GetObject of what was deleted", err, "NoSuchKey")
		_, err = client.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String(bucket)})
		wantCode(t, "DeleteBucket with objects in it", err, "BucketNotEmpty")
	})
	t.Run("parts become one object", func(t *testing.T) {
		t.Parallel()
		upload, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("big")})
		if err != nil {
			t.Fatal(err)
		}
		first, second := bytes.Repeat([]byte("x"), 5<<20), []byte("the end")
		var done []s3types.CompletedPart
		for i, body := range [][]byte{first, second} {
			part, err := client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: aws.String(bucket), Key: aws.String("big"), UploadId: upload.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(body)})
			if err != nil {
				t.Fatal(err)
			}
			done = append(done, s3types.CompletedPart{ETag: part.ETag, PartNumber: aws.Int32(int32(i + 1))})
		}
		if _, err := client.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("big"), UploadId: upload.UploadId, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: done}}); err != nil {
			t.Fatal(err)
		}
		if got, err := get(t, client, "big"); err != nil || len(got) != len(first)+len(second) || !strings.HasSuffix(got, "the end") {
			t.Errorf("got %d bytes and %v, want %d", len(got), err, len(first)+len(second))
		}
	})
	t.Run("a body that cannot be read twice is sent in chunks", func(t *testing.T) {
		t.Parallel()
		body := io.MultiReader(strings.NewReader(strings.Repeat("stream ", 300_000)))
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("stream"), Body: body, ContentLength: aws.Int64(2_100_000)},
			s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := get(t, client, "stream"); err != nil || len(got) != 2_100_000 {
			t.Errorf("got %d bytes and %v, want 2100000", len(got), err)
		}
	})
}

func TestABucketMayStandInTheHostName(t *testing.T) {
	t.Parallel()
	w, role := sink(t)
	cfg := w.config(t, w.mustAssume(t, w.broker.Key, role, externalID(rightID)))
	address := strings.TrimPrefix(w.endpoint, "http://")
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address) // not every machine resolves NAME.localhost
	}}
	t.Cleanup(transport.CloseIdleConnections)
	var hosts []string
	cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Hostname())
		return transport.RoundTrip(r)
	})}
	cfg.BaseEndpoint = aws.String("http://localhost:80")
	client := s3.NewFromConfig(cfg)
	if err := put(t, client, "a/b", "in the name"); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, w.s3(t, w.customer.Root), "a/b"); err != nil || got != "in the name" {
		t.Errorf("read by path: got %q and %v", got, err)
	}
	if want := []string{bucket + ".localhost"}; !slices.Equal(hosts, want) {
		t.Errorf("the client called %v, want %v", hosts, want)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTagsOfObjectsAndTheEndOfABucket(t *testing.T) {
	t.Parallel()
	w, _ := sink(t, func(c *sandbox.Config) { c.Dir = t.TempDir() })
	client := w.s3(t, w.customer.Root)
	if err := put(t, client, "k", "x"); err != nil {
		t.Fatal(err)
	}
	set := &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	if _, err := client.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("k"), Tagging: set}); err != nil {
		t.Fatal(err)
	}
	got, err := client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("k")})
	if err != nil || len(got.TagSet) != 1 || *got.TagSet[0].Value != "b" {
		t.Errorf("GetObjectTagging: got %+v and %v", got, err)
	}
	if _, err := client.DeleteObject(t.Context(), deleteInput("k")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "PutObject after that", put(t, client, "k", "x"), "NoSuchBucket")
	if _, err := w.s3(t, w.stranger.Root).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Errorf("the name is not free again: %v", err)
	}
}

func TestS3AdmitsOnlyTheBucketsAccountAndItsSessions(t *testing.T) {
	t.Parallel()
	w, role := sink(t)
	session := w.mustAssume(t, w.broker.Key, role, externalID(rightID))
	if err := put(t, w.s3(t, session), "in", "x"); err != nil {
		t.Fatalf("the sink's own session: %v", err)
	}
	keys, _ := session.Retrieve(t.Context())
	elsewhere := w.mustAssume(t, w.broker.Key, w.role(t, w.stranger, "sink", trustOf(w.broker.ARN), sinkPolicy("")), externalID(rightID))
	for name, c := range map[string]struct {
		who  aws.CredentialsProvider
		want string
	}{
		"another account's root":            {w.stranger.Root, "AccessDenied"},
		"another account's allowed session": {elsewhere, "AccessDenied"},
		"a user without S3 permissions":     {w.broker.Key, "AccessDenied"},
		"an unknown key":                    {credentials.NewStaticCredentialsProvider("AKIAAAAAAAAAAAAAAAAA", "x", ""), "InvalidAccessKeyId"},
		"a wrong secret":                    {credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey+"x", keys.SessionToken), "SignatureDoesNotMatch"},
		"no session token":                  {credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey, ""), "InvalidToken"},
		"a tampered session token":          {credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey, tampered(keys.SessionToken)), "InvalidToken"},
		"a token with a long-lived key":     {credentials.NewStaticCredentialsProvider(w.customer.Root.ID, w.customer.Root.Secret.Reveal(), keys.SessionToken), "InvalidToken"},
		"nobody":                            {aws.AnonymousCredentials{}, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := get(t, w.s3(t, c.who), "in")
			wantCode(t, "GetObject", err, c.want)
		})
	}
}

// tampered changes the last letter of a token, whichever it is.
func tampered(token string) string {
	last := "_"
	if strings.HasSuffix(token, last) {
		last = "-"
	}
	return token[:len(token)-1] + last
}

func TestAnExpiredSessionIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	w, role := sink(t)
	session := w.mustAssume(t, w.broker.Key, role, externalID(rightID))
	if n := w.ExpireSessions(); n != 1 {
		t.Fatalf("ended %d sessions, want 1", n)
	}
	wantCode(t, "PutObject", put(t, w.s3(t, session), "late", "x"), "ExpiredToken")
	_, err := w.sts(t, session).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	wantCode(t, "GetCallerIdentity", err, "ExpiredToken")
}

func TestASessionPolicyOnlyNarrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.AddBucket(customer, bucket); err != nil {
		t.Fatal(err)
	}
	role := w.role(t, w.customer, "sink", trustOf(w.broker.ARN), sinkPolicy("topics/"))
	narrow := func(prefix string) *s3.Client {
		return w.s3(t, w.mustAssume(t, w.broker.Key, role, externalID(rightID), func(in *sts.AssumeRoleInput) {
			in.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::` + bucket + `/` + prefix + `*"]}]}`)
		}))
	}
	orders := narrow("topics/orders/")
	wantCode(t, "inside of both", put(t, orders, "topics/orders/1", "x"), "")
	wantCode(t, "inside of the role's policy only", put(t, orders, "topics/payments/1", "x"), "AccessDenied")
	wantCode(t, "inside of the session policy only", put(t, narrow(""), "elsewhere/1", "x"), "AccessDenied")
	_, err := orders.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	wantCode(t, "a list, which the session policy leaves out", err, "AccessDenied")
}

func TestWhoMayNotListDoesNotLearnWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.AddBucket(customer, bucket); err != nil {
		t.Fatal(err)
	}
	role := w.role(t, w.customer, "reader", trustOf(w.broker.ARN), `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::`+bucket+`/*"}}`)
	client := w.s3(t, w.mustAssume(t, w.broker.Key, role, externalID(rightID)))
	_, err := get(t, client, "missing")
	wantCode(t, "without s3:ListBucket", err, "AccessDenied")
	_, err = get(t, w.s3(t, w.customer.Root), "missing")
	wantCode(t, "with it", err, "NoSuchKey")
}

func TestDeleteObjectsIsAuthorisedKeyByKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.AddBucket(customer, bucket); err != nil {
		t.Fatal(err)
	}
	owner := w.s3(t, w.customer.Root)
	for _, key := range []string{"mine/1", "yours/1"} {
		if err := put(t, owner, key, "x"); err != nil {
			t.Fatal(err)
		}
	}
	role := w.role(t, w.customer, "sink", trustOf(w.broker.ARN), sinkPolicy("mine/"))
	client := w.s3(t, w.mustAssume(t, w.broker.Key, role, externalID(rightID)))
	out, err := client.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{{Key: aws.String("mine/1")}, {Key: aws.String("yours/1")}}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Deleted) != 1 || len(out.Errors) != 1 || *out.Errors[0].Key != "yours/1" || *out.Errors[0].Code != "AccessDenied" {
		t.Errorf("got %d deleted and errors %+v, want yours/1 refused", len(out.Deleted), out.Errors)
	}
	if _, err := get(t, owner, "yours/1"); err != nil {
		t.Errorf("yours/1 is gone: %v", err)
	}
}

func TestACopyNeedsToReadItsSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.AddBucket(customer, bucket); err != nil {
		t.Fatal(err)
	}
	if err := put(t, w.s3(t, w.customer.Root), "secret/1", "x"); err != nil {
		t.Fatal(err)
	}
	role := w.role(t, w.customer, "sink", trustOf(w.broker.ARN), sinkPolicy("mine/"))
	client := w.s3(t, w.mustAssume(t, w.broker.Key, role, externalID(rightID)))
	for _, source := range []string{bucket + "/secret/1", "/" + bucket + "/secret%2F1", "/" + bucket + "/mine/..%2Fsecret/1"} {
		_, err := client.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("mine/1"), CopySource: &source})
		if err == nil {
			t.Errorf("a copy from %s was let through", source)
		}
	}
}

func TestAPresignedURLWorksUntilItExpires(t *testing.T) {
	t.Parallel()
	w, role := sink(t)
	client := w.s3(t, w.mustAssume(t, w.broker.Key, role, externalID(rightID)))
	if err := put(t, client, "k", "presigned"); err != nil {
		t.Fatal(err)
	}
	presigned, err := s3.NewPresignClient(client).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, presigned.URL); status != 200 || body != "presigned" {
		t.Errorf("got %d %q", status, body)
	}
	if status, _ := fetch(t, strings.Replace(presigned.URL, "/k?", "/other?", 1)); status != 403 {
		t.Errorf("for another object: got %d, want 403", status)
	}
	w.ahead.Store(int64(2 * time.Minute))
	if status, body := fetch(t, presigned.URL); status != 403 || !strings.Contains(body, "Request has expired") {
		t.Errorf("two minutes later: got %d %q, want 403", status, body)
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.Header.Get("X-Rolebridge-Sandbox") != sandbox.Banner {
		t.Errorf("%s: no banner in the header", url)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestOperationsThatTheSandboxDoesNotHaveAreRefused(t *testing.T) {
	t.Parallel()
	w, _ := sink(t)
	client := w.s3(t, w.customer.Root)
	_, err := client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: aws.String("{}")})
	wantCode(t, "PutBucketPolicy", err, "NotImplemented")
	_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), VersionId: aws.String("v1")})
	wantCode(t, "GetObject of a version", err, "NotImplemented")
}

func TestBucketsBelongToAnAccount(t *testing.T) {
	t.Parallel()
	w, _ := sink(t)
	_, err := w.s3(t, w.stranger.Root).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	wantCode(t, "CreateBucket under a name that is taken", err, "BucketAlreadyExists")
	_, err = w.s3(t, w.customer.Root).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	wantCode(t, "CreateBucket of one's own bucket", err, "BucketAlreadyOwnedByYou")
	for owner, want := range map[*sandbox.Account]int{&w.customer: 1, &w.stranger: 0} {
		out, err := w.s3(t, owner.Root).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		if err != nil || len(out.Buckets) != want {
			t.Errorf("ListBuckets of %s: got %d and %v, want %d", owner.ID, len(out.Buckets), err, want)
		}
	}
	if err := w.AddBucket(stranger, bucket); err == nil {
		t.Error("AddBucket gave somebody else's bucket away")
	}
	if err := w.AddBucket(customer, "../etc"); err == nil {
		t.Error("AddBucket took a path for a name")
	}
}

func TestARoleThatIsGoneTakesItsSessionsWithIt(t *testing.T) {
	t.Parallel()
	w, role := sink(t)
	client := w.s3(t, w.mustAssume(t, w.broker.Key, role, externalID(rightID)))
	owner := w.iam(t, w.customer.Root)
	if _, err := owner.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("sink"), PolicyName: aws.String("own")}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "without the role's policy", put(t, client, "k", "x"), "AccessDenied")
	if _, err := owner.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("sink")}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "without the role", put(t, client, "k", "x"), "InvalidToken")
}

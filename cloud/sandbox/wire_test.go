package sandbox_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func deleteInput(key string) *s3.DeleteObjectInput {
	return &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &key}
}

func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestItSaysThatItIsASandbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	status, body := fetch(t, w.endpoint+"/")
	if status != 200 || !strings.Contains(body, "It is not AWS") {
		t.Errorf("got %d %q", status, body)
	}
	if status, body := fetch(t, w.endpoint+"/some/object"); status != 403 || !strings.Contains(body, "<RequestId>sandbox-") {
		t.Errorf("without a signature: got %d %q, want 403 and a request id of the sandbox", status, body)
	}
}

func TestRequestsOfAnotherTimeAreRefused(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"16 minutes ago": 16 * time.Minute, "in 16 minutes": -16 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.ahead.Store(int64(ahead))
			_, err := w.sts(t, w.broker.Key).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			wantCode(t, "STS", err, "RequestExpired")
			_, err = w.s3(t, w.customer.Root).ListBuckets(t.Context(), &s3.ListBucketsInput{})
			wantCode(t, "S3", err, "RequestTimeTooSkewed")
		})
	}
}

// TestWhatIsSignedCannotBeChanged signs a request with the SDK's signer, changes it, and expects a refusal.
func TestWhatIsSignedCannotBeChanged(t *testing.T) {
	t.Parallel()
	w, _ := sink(t)
	for name, c := range map[string]struct {
		change func(r *http.Request)
		want   string
	}{
		"as signed":                {func(*http.Request) {}, ""},
		"another object":           {func(r *http.Request) { r.URL.Path += "x" }, "SignatureDoesNotMatch"},
		"another method":           {func(r *http.Request) { r.Method = http.MethodDelete }, "SignatureDoesNotMatch"},
		"another parameter":        {func(r *http.Request) { r.URL.RawQuery = "tagging=" }, "SignatureDoesNotMatch"},
		"another signed header":    {func(r *http.Request) { r.Header.Set("X-Amz-Storage-Class", "GLACIER") }, "SignatureDoesNotMatch"},
		"one more x-amz header":    {func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }, "AccessDenied"},
		"another body":             {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("BODY")) }, "XAmzContentSHA256Mismatch"},
		"a body declared unsigned": {func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, "SignatureDoesNotMatch"},
		"no Authorization":         {func(r *http.Request) { r.Header.Del("Authorization") }, "AccessDenied"},
		"an old signature":         {func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:abc") }, "InvalidRequest"},
		"half a signature":         {func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x/y") }, "IncompleteSignature"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.endpoint+"/"+bucket+"/"+url.PathEscape(name), strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			const hash = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5" // of "body"
			r.Header.Set("X-Amz-Content-Sha256", hash)
			r.Header.Set("X-Amz-Storage-Class", "STANDARD")
			sign(t, r, w.customer.Root, hash)
			c.change(r)
			wantAnswer(t, r, c.want)
		})
	}
}

func sign(t *testing.T, r *http.Request, key sandbox.AccessKey, hash string) aws.Credentials {
	t.Helper()
	who, _ := key.Retrieve(t.Context())
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(t.Context(), who, r, hash, "s3", "eu-west-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	return who
}

// wantAnswer sends r and compares the code of the answer, "" for success.
func wantAnswer(t *testing.T, r *http.Request, want string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	if _, rest, ok := strings.Cut(string(body), "<Code>"); ok {
		got, _, _ = strings.Cut(rest, "</Code>")
	}
	if got != want || (want == "") != (res.StatusCode < 300) {
		t.Errorf("got %d %q, want %q", res.StatusCode, got, want)
	}
}

// TestSignedChunksAreVerified sends what the Java and older SDKs send over plain HTTP: a body in chunks, each signed.
func TestSignedChunksAreVerified(t *testing.T) {
	t.Parallel()
	w, _ := sink(t)
	for name, c := range map[string]struct {
		change func(body []byte) []byte
		length string
		want   string
	}{
		"as signed":             {func(b []byte) []byte { return b }, "11", ""},
		"a changed byte":        {func(b []byte) []byte { return bytes.Replace(b, []byte("hello"), []byte("hellO"), 1) }, "11", "SignatureDoesNotMatch"},
		"chunks in other order": {func(b []byte) []byte { return bytes.Replace(b, []byte("6;"), []byte("5;"), 1) }, "11", "SignatureDoesNotMatch"},
		"a missing end":         {func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte("0;"))] }, "11", "IncompleteBody"},
		"another length":        {func(b []byte) []byte { return b }, "12", "IncompleteBody"},
		"a size that is none":   {func(b []byte) []byte { return append([]byte("zz"), b...) }, "11", "InvalidRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := roleName(name)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.endpoint+"/"+bucket+"/"+key, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			const kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
			r.Header.Set("X-Amz-Content-Sha256", kind)
			r.Header.Set("X-Amz-Decoded-Content-Length", c.length)
			r.Header.Set("Content-Encoding", "aws-chunked")
			who := sign(t, r, w.customer.Root, kind)
			body := c.change(signedChunks(t, r, who, "hello", " world", ""))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			wantAnswer(t, r, c.want)
			if c.want != "" {
				_, err := get(t, w.s3(t, w.customer.Root), key)
				wantCode(t, "GetObject of what was refused", err, "NoSuchKey")
			} else if got, err := get(t, w.s3(t, w.customer.Root), key); err != nil || got != "hello world" {
				t.Errorf("got %q and %v, want hello world", got, err)
			}
		})
	}
}

// signedChunks signs with the SDK's signer for streams, which with no headers of its own makes S3's chunk signatures.
func signedChunks(t *testing.T, r *http.Request, who aws.Credentials, parts ...string) []byte {
	t.Helper()
	_, seed, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	first, err := hex.DecodeString(seed)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	signer := v4.NewStreamSigner(who, "s3", "eu-west-1", first)
	var out bytes.Buffer
	for _, p := range parts {
		sum, err := signer.GetSignature(t.Context(), nil, []byte(p), at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%x;chunk-signature=%x\r\n%s\r\n", len(p), sum, p)
	}
	return out.Bytes()
}

func TestFaultsFireAndAreCounted(t *testing.T) {
	t.Parallel()
	w, role := sink(t)
	session := w.mustAssume(t, w.broker.Key, role, externalID(rightID))
	before := w.Calls("AssumeRole")
	assume := func() error {
		_, err := w.assume(t, w.broker.Key, role, externalID(rightID))
		return err
	}
	for name, c := range map[string]struct {
		fault sandbox.Fault
		do    func() error
		want  string
	}{
		"STS throttles":   {sandbox.Fault{Action: "AssumeRole", Trouble: sandbox.Throttle, Times: 1}, assume, "Throttling"},
		"STS breaks":      {sandbox.Fault{Service: "sts", Trouble: sandbox.Break, Times: 1}, assume, "InternalFailure"},
		"STS disconnects": {sandbox.Fault{Service: "sts", Action: "AssumeRole", Trouble: sandbox.Disconnect, Times: 1}, assume, "?"},
		"S3 slows down":   {sandbox.Fault{Service: "s3", Trouble: sandbox.Throttle, Times: 1}, func() error { return put(t, w.s3(t, session), "k", "x") }, "SlowDown"},
		"S3 breaks":       {sandbox.Fault{Action: "PutObject", Trouble: sandbox.Break, Times: 1}, func() error { return put(t, w.s3(t, session), "k", "x") }, "InternalError"},
		"it is only slow": {sandbox.Fault{Action: "AssumeRole", Latency: time.Millisecond, Times: 1}, assume, ""},
	} {
		injected := w.Inject(c.fault)
		wantCode(t, name, c.do(), c.want)
		if got := injected.Fired(); got != 1 {
			t.Errorf("%s: fired %d times, want 1", name, got)
		}
		wantCode(t, name+", once", c.do(), "")
		injected.Remove()
	}
	if got := w.Calls("AssumeRole") - before; got != 8 {
		t.Errorf("AssumeRole was called %d times, want 8", got)
	}
	if got := w.Calls("PutObject"); got != 4 {
		t.Errorf("PutObject was called %d times, want 4", got)
	}
}

func TestAFaultThatWasRemovedFiresNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	identity := func() error {
		_, err := w.sts(t, w.broker.Key).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		return err
	}
	f := w.Inject(sandbox.Fault{Trouble: sandbox.Throttle})
	wantCode(t, "with the fault", identity(), "Throttling")
	wantCode(t, "with the fault, again", identity(), "Throttling")
	f.Remove()
	wantCode(t, "without it", identity(), "")
	if got := f.Fired(); got != 2 {
		t.Errorf("fired %d times, want 2", got)
	}
}

// TestSlownessEndsWithTheClient makes sure that a latency holds nobody up who has gone.
func TestSlownessEndsWithTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.Inject(sandbox.Fault{Action: "GetCallerIdentity", Latency: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.sts(t, w.broker.Key).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err == nil {
		t.Error("got an answer, want none within 50 ms")
	}
	if got := f.Fired(); got != 1 {
		t.Errorf("fired %d times, want 1", got)
	}
}

func TestAStopEndsSlowness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.Inject(sandbox.Fault{Action: "GetCallerIdentity", Latency: time.Hour})
	client := w.sts(t, w.broker.Key)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = client.GetCallerIdentity(context.WithoutCancel(t.Context()), &sts.GetCallerIdentityInput{})
	}()
	for deadline := time.Now().Add(5 * time.Second); f.Fired() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the request did not arrive within 5 s")
		}
	}
	w.stop()
	select {
	case <-answered:
	case <-time.After(5 * time.Second):
		t.Error("the client still waits 5 s after the stop")
	}
}

// TestATrailingChecksumIsVerifiedAndKept sends what SDKs send over TLS: unsigned chunks and a checksum behind them.
func TestATrailingChecksumIsVerifiedAndKept(t *testing.T) {
	t.Parallel()
	w, _ := sink(t)
	for name, c := range map[string]struct{ trailer, want string }{
		"right":              {"x-amz-checksum-crc32:DUoRhQ==\r\n", ""}, // of "hello world"
		"wrong":              {"x-amz-checksum-crc32:AAAAAA==\r\n", "BadDigest"},
		"another":            {"x-amz-checksum-sha1:Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\n", "MalformedTrailerError"},
		"an ordinary header": {"x-amz-acl:public-read\r\n", "MalformedTrailerError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := roleName(name)
			body := "b\r\nhello world\r\n0\r\n" + c.trailer + "\r\n"
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.endpoint+"/"+bucket+"/"+key, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			const kind = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
			r.Header.Set("X-Amz-Content-Sha256", kind)
			r.Header.Set("X-Amz-Decoded-Content-Length", "11")
			r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
			r.Header.Set("Content-Encoding", "aws-chunked")
			sign(t, r, w.customer.Root, kind)
			wantAnswer(t, r, c.want)
			head, err := w.s3(t, w.customer.Root).HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &key, ChecksumMode: "ENABLED"})
			if (err == nil) != (c.want == "") {
				t.Fatalf("HeadObject: %v", err)
			}
			if err == nil && (aws.ToString(head.ChecksumCRC32) != "DUoRhQ==" || head.ContentEncoding != nil) {
				t.Errorf("got checksum %q and encoding %q", aws.ToString(head.ChecksumCRC32), aws.ToString(head.ContentEncoding))
			}
		})
	}
}

func TestServicesThatAreNotHereSaySo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.endpoint+"/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	who, _ := w.broker.Key.Retrieve(t.Context())
	if err := v4.NewSigner().SignHTTP(t.Context(), who, r, emptyHash, "dynamodb", "eu-west-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	if got := rec.Header().Get("X-Amzn-Errortype"); rec.Code != 400 || got != "UnknownOperationException" {
		t.Errorf("got %d %q", rec.Code, got)
	}
}

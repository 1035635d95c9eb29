package sandbox

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/rclone/gofakes3"
)

// newS3 is the S3 protocol behind our signature check and authorisation. It checks neither again.
func (s *Sandbox) newS3() http.Handler {
	return gofakes3.New(backend{s}, gofakes3.WithTimeSkewLimit(0)).Server()
}

// AddBucket makes a bucket for an account. One that the account has already is fine. Errors: an account or name that will
// not do, a bucket of somebody else, a folder that cannot be written.
func (s *Sandbox) AddBucket(accountID, name string) error {
	s.mu.RLock()
	_, known := s.state.Accounts[accountID]
	s.mu.RUnlock()
	if !known {
		return refuse(404, "NoSuchEntity", "no account %q", accountID)
	}
	if err := gofakes3.ValidateBucketName(name); err != nil {
		return refuse(400, "InvalidBucketName", "%q: %v", name, err)
	}
	taken, err := s.claim(accountID, name)
	if have, _ := s.bucket(name); taken && have.Account != accountID {
		return refuse(409, "BucketAlreadyExists", "bucket %q belongs to another account", name)
	}
	return err
}

// serveS3 finds out who asks and for what, decides, verifies the body, and only then hands over.
func (s *Sandbox) serveS3(w http.ResponseWriter, r *http.Request, id string, g signed, bad error) {
	w.Header().Set("X-Amz-Request-Id", id)
	fail := func(err error) { refuseS3(w, r, id, s3Refusal(err)) }
	target := r.Clone(r.Context())
	op, err := readS3(target)
	if op.name != "" {
		if fault, ok := s.faults.next("s3", op.name); ok && !fault.act(w, r, fail) {
			return
		}
	}
	if bad != nil {
		fail(bad)
		return
	}
	hash, hashErr := payloadHash(r, g)
	if hashErr != nil {
		fail(hashErr)
		return
	}
	who, authErr := s.authenticate(r, g, hash)
	if authErr != nil {
		fail(authErr)
		return
	}
	if err == nil {
		err = s.authorizeS3(who, op, r, g)
	}
	if err != nil {
		fail(err)
		return
	}
	discard, err := takeBody(target, g, who.secret, hash)
	defer s.tidy(r.Context(), discard)
	if err != nil {
		fail(err)
		return
	}
	call := s3Call{account: who.account, mayDelete: func(key string) bool {
		return who.allowed(s.askS3(s3Need{"s3:DeleteObject", "arn:aws:s3:::" + op.bucket + "/" + key}, who, r, g))
	}}
	target = target.WithContext(context.WithValue(r.Context(), s3CallKey{}, call))
	target.URL = &url.URL{Path: "/" + op.bucket + "/" + op.key, RawQuery: r.URL.RawQuery}
	s.s3.ServeHTTP(&relabelled{ResponseWriter: w, id: id}, target)
}

func (s *Sandbox) tidy(ctx context.Context, discard func() error) {
	if err := discard(); err != nil {
		s.log.WarnContext(ctx, "sandbox could not remove a spooled body", "error", err)
	}
}

// s3Refusal puts what is common to all services into S3's words.
func s3Refusal(err error) error {
	r := asRefusal(err)
	switch r.code {
	case "Throttling":
		return refuse(503, "SlowDown", "Please reduce your request rate.")
	case "InternalFailure":
		return refuse(500, "InternalError", "We encountered an internal error. Please try again.")
	case "IncompleteSignature":
		return refuse(400, "AuthorizationHeaderMalformed", "%s", r.message)
	}
	return r
}

// authorizeS3 decides by the caller's policies. The bucket must be of the caller's account: the sandbox has no bucket
// policies that could let others in.
func (s *Sandbox) authorizeS3(who caller, op s3Operation, r *http.Request, g signed) error {
	for _, need := range op.needs {
		if !who.allowed(s.askS3(need, who, r, g)) {
			return refuse(403, "AccessDenied", "User: %s is not authorized to perform: %s on resource: %q", who.arn, need.permission, need.resource)
		}
	}
	switch op.name {
	case "ListBuckets":
		return nil
	case "CreateBucket":
		switch have, exists := s.bucket(op.bucket); {
		case !exists:
			return nil
		case have.Account == who.account:
			return refuse(409, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
		default:
			return refuse(409, "BucketAlreadyExists", "The requested bucket name is not available.")
		}
	}
	for _, name := range []string{op.bucket, op.source} {
		have, exists := s.bucket(name)
		expected := r.Header.Get("X-Amz-Expected-Bucket-Owner")
		switch {
		case name == "":
		case !exists:
			return refuse(404, "NoSuchBucket", "The specified bucket does not exist")
		case have.Account != who.account, name == op.bucket && expected != "" && expected != have.Account:
			return refuse(403, "AccessDenied", "Access Denied")
		}
	}
	if op.name == "GetObject" || op.name == "HeadObject" {
		// Who may not list a bucket does not learn what is missing in it.
		_, found := s.objects.get(op.bucket, op.key)
		if !found && !who.allowed(s.askS3(s3Need{"s3:ListBucket", "arn:aws:s3:::" + op.bucket}, who, r, g)) {
			return refuse(403, "AccessDenied", "Access Denied")
		}
	}
	return nil
}

// askS3 adds S3's own condition keys (service authorization reference, Amazon S3, condition keys).
func (s *Sandbox) askS3(need s3Need, who caller, r *http.Request, g signed) ask {
	when := conditions(who, r, g)
	set := func(key, value string) {
		if value != "" {
			when[key] = []string{value}
		}
	}
	when["s3:signatureversion"] = []string{sigAlgorithm}
	when["s3:authType"] = []string{"REST-HEADER"}
	if g.presigned {
		when["s3:authType"] = []string{"REST-QUERY-STRING"}
	}
	query := r.URL.Query()
	for _, p := range []string{"prefix", "delimiter", "max-keys"} {
		if query.Has(p) {
			when["s3:"+p] = []string{query.Get(p)}
		}
	}
	for _, h := range []string{"x-amz-acl", "x-amz-copy-source", "x-amz-metadata-directive", "x-amz-server-side-encryption", "x-amz-storage-class"} {
		set("s3:"+h, r.Header.Get(h))
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(need.resource, "arn:aws:s3:::"), "/")
	if have, ok := s.bucket(bucket); ok {
		set("s3:ResourceAccount", have.Account)
		set("aws:ResourceAccount", have.Account)
	}
	if tagging, err := url.ParseQuery(r.Header.Get("X-Amz-Tagging")); err == nil && len(tagging) > 0 {
		for k, v := range tagging {
			when["s3:RequestObjectTag/"+k] = v
		}
		for k := range maps.Keys(tagging) {
			when["s3:RequestObjectTagKeys"] = append(when["s3:RequestObjectTagKeys"], k)
		}
	}
	return ask{action: need.permission, resource: need.resource, when: when, now: s.now()}
}

// relabelled puts the sandbox's request id, and name, in place of what the S3 library writes.
type relabelled struct {
	http.ResponseWriter
	id     string
	theirs string
	status int
}

// WriteHeader corrects the header before it goes out.
func (w *relabelled) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		h := w.Header()
		w.theirs = h.Get("X-Amz-Request-Id")
		h.Set("X-Amz-Request-Id", w.id)
		h.Set("Server", "rolebridge-sandbox")
		h.Del("X-Amz-Id-2")
		h.Del("Access-Control-Allow-Origin") // no web page has business here
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write corrects the request id inside of an error, which is small and written at once.
func (w *relabelled) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.status >= 400 && w.theirs != "" {
		_, err := w.ResponseWriter.Write(bytes.ReplaceAll(p, []byte(w.theirs), []byte(w.id)))
		return len(p), err
	}
	return w.ResponseWriter.Write(p)
}

// Flush and the like reach the connection through this.
func (w *relabelled) Unwrap() http.ResponseWriter { return w.ResponseWriter }

package sandbox

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// s3Rule is an operation and the permission that it needs (service authorization reference, Amazon S3).
type s3Rule struct{ operation, permission string }

// Operations by method and sub-resource. What is not here is refused before anything is authorised, so that an operation
// can never run under the permission of another.
var (
	bucketRules = map[string]s3Rule{
		"GET":                   {"ListObjects", "s3:ListBucket"},
		"HEAD":                  {"HeadBucket", "s3:ListBucket"},
		"PUT":                   {"CreateBucket", "s3:CreateBucket"},
		"DELETE":                {"DeleteBucket", "s3:DeleteBucket"},
		"POST delete":           {"DeleteObjects", ""}, // key by key: s3:DeleteObject
		"GET location":          {"GetBucketLocation", "s3:GetBucketLocation"},
		"GET versioning":        {"GetBucketVersioning", "s3:GetBucketVersioning"},
		"GET versions":          {"ListObjectVersions", "s3:ListBucketVersions"},
		"GET uploads":           {"ListMultipartUploads", "s3:ListBucketMultipartUploads"},
		"GET acl":               {"GetBucketAcl", "s3:GetBucketAcl"},
		"GET policy":            {"GetBucketPolicy", "s3:GetBucketPolicy"},
		"GET tagging":           {"GetBucketTagging", "s3:GetBucketTagging"},
		"GET encryption":        {"GetBucketEncryption", "s3:GetEncryptionConfiguration"},
		"GET publicAccessBlock": {"GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"},
		"GET ownershipControls": {"GetBucketOwnershipControls", "s3:GetBucketOwnershipControls"},
		"GET lifecycle":         {"GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"},
		"GET object-lock":       {"GetObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration"},
	}
	objectRules = map[string]s3Rule{
		"GET":             {"GetObject", "s3:GetObject"},
		"HEAD":            {"HeadObject", "s3:GetObject"},
		"PUT":             {"PutObject", "s3:PutObject"},
		"DELETE":          {"DeleteObject", "s3:DeleteObject"},
		"GET attributes":  {"GetObjectAttributes", "s3:GetObjectAttributes"},
		"GET tagging":     {"GetObjectTagging", "s3:GetObjectTagging"},
		"PUT tagging":     {"PutObjectTagging", "s3:PutObjectTagging"},
		"DELETE tagging":  {"DeleteObjectTagging", "s3:DeleteObjectTagging"},
		"GET acl":         {"GetObjectAcl", "s3:GetObjectAcl"},
		"POST uploads":    {"CreateMultipartUpload", "s3:PutObject"},
		"PUT uploadId":    {"UploadPart", "s3:PutObject"},
		"POST uploadId":   {"CompleteMultipartUpload", "s3:PutObject"},
		"DELETE uploadId": {"AbortMultipartUpload", "s3:AbortMultipartUpload"},
		"GET uploadId":    {"ListParts", "s3:ListMultipartUploadParts"},
	}

	// subResources are all query parameters by which S3 tells operations apart, ours or not.
	subResources = []string{
		"accelerate", "acl", "analytics", "attributes", "cors", "delete", "encryption", "intelligent-tiering", "inventory",
		"legal-hold", "lifecycle", "location", "logging", "metadataTable", "metadataConfiguration", "metrics", "notification",
		"object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock", "renameObject", "replication",
		"requestPayment", "restore", "retention", "select", "session", "tagging", "torrent", "uploadId", "uploads", "versioning",
		"versions", "website",
	}
)

// s3Need is one permission on one resource.
type s3Need struct{ permission, resource string }

// s3Operation is what a request wants of S3.
type s3Operation struct {
	name, bucket, key string
	needs             []s3Need
	source            string // the bucket that is copied from
}

// readS3 says what a request wants. It changes r so that path and copy source are read the same way by everybody after it.
func readS3(r *http.Request) (s3Operation, error) {
	var op s3Operation
	op.bucket, op.key = bucketAndKey(r)
	query := r.URL.Query()
	var sub string
	for _, s := range subResources {
		if !query.Has(s) {
			continue
		}
		if sub != "" {
			return op, refuse(400, "InvalidRequest", "Conflicting query string parameters: %s, %s", sub, s)
		}
		sub = s
	}
	if v := query.Get("versionId"); v != "" && v != "null" {
		return op, refuse(501, "NotImplemented", "the sandbox does not keep versions")
	}
	at := strings.TrimSpace(r.Method + " " + sub)
	switch {
	case op.bucket == "" && op.key == "" && at == "GET":
		op.name, op.needs = "ListBuckets", []s3Need{{"s3:ListAllMyBuckets", "*"}}
		return op, nil
	case op.bucket == "":
		return op, refuse(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	rules, resource := bucketRules, "arn:aws:s3:::"+op.bucket
	if op.key != "" {
		rules, resource = objectRules, resource+"/"+op.key
	}
	rule, ok := rules[at]
	if !ok {
		return op, refuse(501, "NotImplemented", "the sandbox does not have %s", at)
	}
	op.name = rule.operation
	if rule.permission != "" {
		op.needs = append(op.needs, s3Need{rule.permission, resource})
	}
	if op.name == "ListObjects" && query.Get("list-type") == "2" {
		op.name = "ListObjectsV2"
	}
	if op.name == "PutObject" || op.name == "CreateMultipartUpload" {
		if r.Header.Get("X-Amz-Tagging") != "" {
			op.needs = append(op.needs, s3Need{"s3:PutObjectTagging", resource})
		}
		if r.Header.Get("X-Amz-Acl") != "" {
			op.needs = append(op.needs, s3Need{"s3:PutObjectAcl", resource})
		}
	}
	err := op.readCopy(r)
	return op, err
}

func (op *s3Operation) readCopy(r *http.Request) error {
	source := r.Header.Get("X-Amz-Copy-Source")
	if source == "" || (op.name != "PutObject" && op.name != "UploadPart") {
		r.Header.Del("X-Amz-Copy-Source")
		return nil
	}
	path, version, _ := strings.Cut(source, "?")
	if version != "" && version != "versionId=null" {
		return refuse(501, "NotImplemented", "the sandbox does not keep versions")
	}
	path, err := url.QueryUnescape(path)
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if err != nil || !ok || bucket == "" || key == "" {
		return refuse(400, "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	op.name += "Copy"
	if op.name == "PutObjectCopy" {
		op.name = "CopyObject"
	}
	op.source = bucket
	op.needs = append(op.needs, s3Need{"s3:GetObject", "arn:aws:s3:::" + bucket + "/" + key})
	r.Header.Set("X-Amz-Copy-Source", bucket+"/"+url.QueryEscape(key))
	return nil
}

// bucketAndKey understands path style, and BUCKET.localhost and BUCKET.s3.localhost, the virtual host style that works
// without a name server.
func bucketAndKey(r *http.Request) (bucket, key string) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if bucket, ok := strings.CutSuffix(host, ".localhost"); ok && bucket != "s3" {
		return strings.TrimSuffix(bucket, ".s3"), path
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

package policy

import "strings"

// What connectors do, action by action (Service Authorization Reference); the policies of a role and of a session are
// made of the same.
var (
	locateBucket = []string{"s3:GetBucketLocation"}
	listBucket   = []string{"s3:ListBucket"}
	readObjects  = []string{"s3:GetObject"}
	writeObjects = []string{"s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
	writeItems   = []string{"dynamodb:DescribeTable", "dynamodb:BatchWriteItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
	readTable    = []string{"dynamodb:DescribeTable", "dynamodb:Scan"}
	readStream   = []string{"dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"}
	findStreams  = []string{"dynamodb:ListStreams"} // knows no resources
)

// S3 names what an S3 connector works on.
type S3 struct {
	Partition string // aws, aws-cn, aws-us-gov
	Bucket    string
	// Prefix is where the objects are, "" for the whole bucket. A slash at its end is added when it lacks one, so that
	// "topics" does not open "topics2".
	Prefix string
}

func (s S3) check() error {
	return firstError(checkPartition(s.Partition), checkBucket(s.Bucket), checkPrefix(s.Prefix))
}

func (s S3) bucket() string { return "arn:" + s.Partition + ":s3:::" + s.Bucket }

// Folder is the prefix with its slash; empty for the whole bucket.
func (s S3) Folder() string {
	if s.Prefix == "" || strings.HasSuffix(s.Prefix, "/") {
		return s.Prefix
	}
	return s.Prefix + "/"
}

func (s S3) objects() string { return s.bucket() + "/" + s.Folder() + "*" }

// Connectors are the kinds of connectors whose [Permissions] are known.
func Connectors() []string {
	return []string{"s3-sink", "s3-source", "dynamodb-sink", "dynamodb-source"}
}

// Permissions is the policy of one of [Connectors], which works on the objects or on the table. The error is a *FieldError.
func Permissions(connector string, s S3, d DynamoDB) (Document, error) {
	switch connector {
	case "s3-sink":
		return S3Sink(s)
	case "s3-source":
		return S3Source(s)
	case "dynamodb-sink":
		return DynamoDBSink(d)
	case "dynamodb-source":
		return DynamoDBSource(d)
	}
	return Document{}, &FieldError{"connector", connector, "one of " + strings.Join(Connectors(), ", ")}
}

// S3Sink lets a connector write objects under the prefix, in one piece or in parts, tag them, read them back, and find
// its bucket. Listing the bucket is not narrowed to the prefix: HeadBucket is the same permission and names no prefix.
// The error is a *FieldError.
func S3Sink(s S3) (Document, error) {
	if err := s.check(); err != nil {
		return Document{}, err
	}
	return Document{Kind: Identity, Statements: []Grant{
		{Sid: "FindBuckets", Effect: Allow, Actions: []string{"s3:ListAllMyBuckets"}, Resources: []string{"*"}},
		{
			Sid: "Bucket", Effect: Allow, Resources: []string{s.bucket()},
			Actions: []string{"s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"},
		},
		{
			Sid: "WriteObjects", Effect: Allow, Resources: []string{s.objects()},
			Actions: []string{"s3:PutObject", "s3:PutObjectTagging", "s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"},
		},
	}}, nil
}

// S3Source lets a connector list and read the objects under the prefix, and nothing else of the bucket. Without a prefix
// it may list the whole bucket. The error is a *FieldError.
func S3Source(s S3) (Document, error) {
	if err := s.check(); err != nil {
		return Document{}, err
	}
	list := Grant{Sid: "ListObjects", Effect: Allow, Actions: listBucket, Resources: []string{s.bucket()}}
	if s.Prefix != "" {
		list.When = []When{{"StringLike", "s3:prefix", []string{s.Folder() + "*"}}}
	}
	return Document{Kind: Identity, Statements: []Grant{
		{Sid: "Bucket", Effect: Allow, Actions: locateBucket, Resources: []string{s.bucket()}},
		list,
		{Sid: "ReadObjects", Effect: Allow, Actions: readObjects, Resources: []string{s.objects()}},
	}}, nil
}

// DynamoDB names the table that a DynamoDB connector works on.
type DynamoDB struct {
	Partition, Region, Account, Table string
}

func (d DynamoDB) check() error {
	return firstError(checkPartition(d.Partition), checkRegion(d.Region, d.Partition), checkAccount(d.Account), checkTable(d.Table))
}

func (d DynamoDB) table() string {
	return ARN{d.Partition, "dynamodb", d.Region, d.Account, "table/" + d.Table}.String()
}

// DynamoDBSink lets a connector write, change and delete items of the table, singly and in batches. It cannot create the
// table, nor read it. The error is a *FieldError.
func DynamoDBSink(d DynamoDB) (Document, error) {
	if err := d.check(); err != nil {
		return Document{}, err
	}
	return Document{Kind: Identity, Statements: []Grant{{
		Sid: "WriteItems", Effect: Allow, Resources: []string{d.table()},
		Actions: writeItems,
	}}}, nil
}

// DynamoDBSource lets a connector take a snapshot of the table and follow its streams. ListStreams knows no resources
// (Service Authorization Reference). The error is a *FieldError.
func DynamoDBSource(d DynamoDB) (Document, error) {
	if err := d.check(); err != nil {
		return Document{}, err
	}
	return Document{Kind: Identity, Statements: []Grant{
		{Sid: "Snapshot", Effect: Allow, Resources: []string{d.table()}, Actions: readTable},
		{
			Sid: "Stream", Effect: Allow, Resources: []string{d.table() + "/stream/*"},
			Actions: readStream,
		},
		{Sid: "FindStreams", Effect: Allow, Actions: findStreams, Resources: []string{"*"}},
	}}, nil
}

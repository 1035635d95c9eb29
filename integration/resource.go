package integration

// Resource is a part of the customer's cloud that a session may reach. Exactly one of its kinds is set.
type Resource struct {
	S3       S3Objects     `json:"s3,omitzero"`
	DynamoDB DynamoDBTable `json:"dynamodb,omitzero"`
}

// S3Objects are the objects of a bucket under a prefix.
type S3Objects struct {
	Bucket string `json:"bucket"`
	// Prefix ends at a slash, which is added when it lacks one; empty is the whole bucket.
	Prefix string `json:"prefix,omitempty"`
	Access Access `json:"access"`
}

// DynamoDBTable is a table in the account of the customer's role.
type DynamoDBTable struct {
	Table  string `json:"table"`
	Region string `json:"region"`
	Access Access `json:"access"`
}

// Access is what a session may do with a resource.
type Access string

// The accesses.
const (
	AccessRead      Access = "read"
	AccessWrite     Access = "write"
	AccessReadWrite Access = "read-write"
)

// Accesses lists every [Access].
func Accesses() []Access { return []Access{AccessRead, AccessWrite, AccessReadWrite} }

// MaxSessionPolicy is the longest policy that narrows a session, in characters (STS API reference, AssumeRole).
const MaxSessionPolicy = 2048

// check leaves the names to whoever knows the cloud.
func (r Resource) check(at string) *Refusal {
	s3, table := r.S3 != (S3Objects{}), r.DynamoDB != (DynamoDBTable{})
	switch {
	case s3 == table:
		return refuseField(at, "want either s3 or dynamodb")
	case s3:
		return r.S3.Access.check(at + "/s3/access")
	default:
		return r.DynamoDB.Access.check(at + "/dynamodb/access")
	}
}

func (a Access) check(at string) *Refusal {
	switch a {
	case AccessRead, AccessWrite, AccessReadWrite:
		return nil
	}
	return refuseField(at, "want one of %v", Accesses())
}

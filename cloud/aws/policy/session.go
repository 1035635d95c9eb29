package policy

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Part is a resource that a session is narrowed to, and what may be done with it. Exactly one of S3 and DynamoDB is set.
type Part struct {
	S3          *S3
	DynamoDB    *DynamoDB
	Read, Write bool
}

// Check says what is wrong with the names of p. The error is a *FieldError.
func (p Part) Check() error {
	if p.S3 != nil {
		return p.S3.check()
	}
	return p.DynamoDB.check()
}

// SessionTo is the session policy that leaves nothing but the parts: of a bucket the objects under the prefix, of a table
// its items, and for reading its streams. Who only writes cannot read back or list, and who reads under a prefix lists
// that prefix only, so HeadBucket, which names none, is refused. What S3 and DynamoDB do with a customer's keys on the
// session's behalf stays allowed: through these services the session reaches the parts alone. The error is a *FieldError.
func SessionTo(parts ...Part) (Document, error) {
	for _, p := range parts {
		if err := p.Check(); err != nil {
			return Document{}, err
		}
	}
	d := Document{Kind: Session, Statements: slices.Concat(s3Parts(parts), dynamoParts(parts))}
	if k, ok := keysOf(parts); ok {
		d.Statements = append(d.Statements, k)
	}
	return d, nil
}

// Compact prints the document without white space, for AssumeRole, which counts it.
func (d Document) Compact() string {
	var b bytes.Buffer
	if err := json.Compact(&b, d.JSON()); err != nil {
		panic(err) // what we print is JSON
	}
	return b.String()
}

// resources collects what of each part may be named in one statement, each once.
func resources(parts []Part, of func(Part) string) (all []string) {
	for _, p := range parts {
		if arn := of(p); arn != "" && !slices.Contains(all, arn) {
			all = append(all, arn)
		}
	}
	return all
}

// grants is a statement for what is there, none for nothing.
func grants(actions, resources []string) []Grant {
	if len(resources) == 0 {
		return nil
	}
	return []Grant{{Effect: Allow, Actions: actions, Resources: resources}}
}

func s3Parts(parts []Part) []Grant {
	objects := func(write bool) []string {
		return resources(parts, func(p Part) string {
			if p.S3 == nil || write && !p.Write || !write && !p.Read {
				return ""
			}
			return p.S3.objects()
		})
	}
	buckets := resources(parts, func(p Part) string {
		if p.S3 == nil {
			return ""
		}
		return p.S3.bucket()
	})
	all := grants(locateBucket, buckets)
	for _, bucket := range buckets {
		all = append(all, lists(parts, bucket)...)
	}
	all = append(all, grants(readObjects, objects(false))...)
	return append(all, grants(writeObjects, objects(true))...)
}

// lists lets a session list what it may read of one bucket.
func lists(parts []Part, bucket string) []Grant {
	var prefixes []string
	for _, p := range parts {
		switch {
		case p.S3 == nil || !p.Read || p.S3.bucket() != bucket:
		case p.S3.Prefix == "":
			return grants(listBucket, []string{bucket})
		default:
			prefixes = append(prefixes, p.S3.Folder()+"*")
		}
	}
	if len(prefixes) == 0 {
		return nil
	}
	return []Grant{{
		Effect: Allow, Actions: listBucket, Resources: []string{bucket}, When: []When{{"StringLike", "s3:prefix", prefixes}},
	}}
}

func dynamoParts(parts []Part) []Grant {
	tables := func(write bool, below string) []string {
		return resources(parts, func(p Part) string {
			if p.DynamoDB == nil || write && !p.Write || !write && !p.Read {
				return ""
			}
			return p.DynamoDB.table() + below
		})
	}
	all := slices.Concat(grants(writeItems, tables(true, "")), grants(readTable, tables(false, "")), grants(readStream, tables(false, "/stream/*")))
	if len(tables(false, "")) > 0 {
		all = append(all, grants(findStreams, []string{"*"})...)
	}
	return all
}

// keysOf lets S3 and DynamoDB use the keys that the parts are encrypted with.
func keysOf(parts []Part) (Grant, bool) {
	var via, keys []string
	actions := []string{"kms:Decrypt"}
	for _, p := range parts {
		service, partition := "s3", ""
		if p.S3 != nil {
			partition = p.S3.Partition
		} else {
			service, partition = "dynamodb", p.DynamoDB.Partition
		}
		name := service + ".*.amazonaws.com"
		if partition == "aws-cn" {
			name += ".cn"
		}
		via, keys = append(via, name), append(keys, "arn:"+partition+":kms:*:*:key/*")
		if p.Write && len(actions) == 1 {
			actions = append(actions, "kms:GenerateDataKey")
		}
	}
	return Grant{
		Effect: Allow, Actions: actions, Resources: distinct(keys), When: []When{{"StringLike", "kms:ViaService", distinct(via)}},
	}, len(parts) > 0
}

// distinct is sorted, each value once.
func distinct(values []string) []string {
	slices.Sort(values)
	return slices.Compact(values)
}

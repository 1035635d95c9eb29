package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// FieldError says which input was refused and what is allowed. A document is made of inputs that passed these checks only:
// nothing in them can end a string, or be read as a wildcard or a variable, in any of the formats.
type FieldError struct{ Field, Value, Want string }

// Error reads as field: value: what is allowed.
func (e *FieldError) Error() string {
	return e.Field + ": " + quote(e.Value) + ": want " + e.Want
}

func isLower(r rune) bool { return r >= 'a' && r <= 'z' }
func isDigit(r rune) bool { return r >= '0' && r <= '9' }
func isAlnum(r rune) bool { return isLower(r) || isDigit(r) || r >= 'A' && r <= 'Z' }

// consists reports whether s has only runes that allowed takes, and between low and high bytes.
func consists(s string, low, high int, allowed func(rune) bool) bool {
	return len(s) >= low && len(s) <= high && !strings.ContainsFunc(s, func(r rune) bool { return !allowed(r) })
}

func isIdentity(r rune) bool { return isAlnum(r) || strings.ContainsRune("_+=,.@-", r) }

// checkRole accepts a role's ARN as IAM makes them.
func checkRole(field, arn string) error {
	a, err := ParseARN(arn)
	if err != nil || a.Service != "iam" || a.Region != "" || !partitions[a.Partition] || !isAccount(a.Account) ||
		!strings.HasPrefix(a.Resource, "role/") || !identityResource(a.Resource) {
		return &FieldError{field, arn, "the ARN of a role, arn:PARTITION:iam::ACCOUNT:role/NAME"}
	}
	return nil
}

// identityResource checks "role/…" and "user/…": path segments and a name of at most 64 characters [\w+=,.@-], the whole
// at most 512 (IAM API reference, Path and RoleName).
func identityResource(resource string) bool {
	head, rest, _ := strings.Cut(resource, "/")
	if head != "role" && head != "user" || len(rest) > 512 {
		return false
	}
	steps := strings.Split(rest, "/")
	for i, step := range steps {
		if !consists(step, 1, 512, isIdentity) || i == len(steps)-1 && len(step) > 64 {
			return false
		}
	}
	return true
}

// longestExternalID is the most that STS takes (STS API reference, AssumeRole), in characters.
const longestExternalID = 1224

// checkExternalID accepts what STS accepts: 2 to 1,224 of [\w+=,.@:/-] (STS API reference, AssumeRole).
func checkExternalID(id string) error {
	if !consists(id, 2, longestExternalID, func(r rune) bool { return isIdentity(r) || r == ':' || r == '/' }) {
		return &FieldError{"external ID", id, "2 to 1,224 letters, digits and _+=,.@:/-"}
	}
	return nil
}

func checkPartition(partition string) error {
	switch partition {
	case "aws", "aws-cn", "aws-us-gov":
		return nil
	}
	return &FieldError{"partition", partition, "aws, aws-cn or aws-us-gov"}
}

// checkBucket follows the naming rules of general purpose buckets (S3 User Guide).
func checkBucket(bucket string) error {
	ends := func(b byte) bool { return isLower(rune(b)) || isDigit(rune(b)) }
	_, err := netip.ParseAddr(bucket)
	if !consists(bucket, 3, 63, func(r rune) bool { return isLower(r) || isDigit(r) || r == '.' || r == '-' }) ||
		!ends(bucket[0]) || !ends(bucket[len(bucket)-1]) || strings.Contains(bucket, "..") || err == nil || reserved(bucket) {
		return &FieldError{"bucket", bucket, "3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends, no address or alias"}
	}
	return nil
}

// reserved reports whether S3 keeps the name for what is no general purpose bucket: clients go to other hosts for these.
func reserved(bucket string) bool {
	return strings.HasSuffix(bucket, "-s3alias") || strings.HasSuffix(bucket, ".mrap") ||
		strings.HasSuffix(bucket, "-s3") && strings.Contains(bucket, "--") // --x-s3, --ol-s3, --op-s3, --table-s3
}

// checkPrefix accepts a part of the characters that S3 calls safe in keys: those that mean nothing to IAM, to a shell or
// to a template. A segment of dots alone is none: HTTP clients and proxies on the way take it out of the path, and so reach
// other objects than the policy names.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if !consists(prefix, 1, 512, func(r rune) bool { return isAlnum(r) || strings.ContainsRune("/_.-=+@:,", r) }) ||
		strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "//") {
		return &FieldError{"prefix", prefix, "up to 512 letters, digits and /_.-=+@:, without a slash in front or two in a row"}
	}
	if segments := strings.Split(prefix, "/"); slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return &FieldError{"prefix", prefix, "no . or .. between slashes"}
	}
	return nil
}

// checkTable follows DynamoDB's naming rules.
func checkTable(table string) error {
	if !consists(table, 3, 255, func(r rune) bool { return isAlnum(r) || strings.ContainsRune("_.-", r) }) {
		return &FieldError{"table", table, "3 to 255 letters, digits and _.-"}
	}
	return nil
}

// checkRegion accepts a region's form ("eu-west-1"), in the partition it belongs to. New regions need no change here.
func checkRegion(region, partition string) error {
	part := strings.Split(region, "-")
	ok := len(part) >= 3 && consists(region, 7, 32, func(r rune) bool { return isLower(r) || isDigit(r) || r == '-' }) &&
		len(part[0]) == 2 && consists(part[len(part)-1], 1, 2, isDigit)
	home := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		home = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		home = "aws-us-gov"
	}
	if !ok || home != partition {
		return &FieldError{"region", region, "a region of partition " + partition + ", for example eu-west-1, cn-north-1, us-gov-west-1"}
	}
	return nil
}

func checkAccount(account string) error {
	if !isAccount(account) {
		return &FieldError{"account", account, "twelve digits"}
	}
	return nil
}

func checkName(field, name string, most int) error {
	if !consists(name, 1, most, isIdentity) {
		return &FieldError{field, name, "a name of letters, digits and _+=,.@-"}
	}
	return nil
}

// firstError is the first that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

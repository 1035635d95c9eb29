package policy

import "strings"

// keyTrait is what is known about a condition key.
type keyTrait byte

const (
	// known: AWS has the key; whether a request carries it depends on the request.
	known keyTrait = 1 << iota
	// derived: Request says everything about it, so its absence there is a fact.
	derived
	// many: the key may have several values and needs a set operator.
	many
)

// globalKeys are the keys of every service, those of STS, and those of the services that we render policies for
// (Service Authorization Reference). In lower case, as keys have none.
var globalKeys = map[string]keyTrait{
	"sts:externalid":        known | derived,
	"sts:rolesessionname":   known | derived,
	"sts:sourceidentity":    known | derived,
	"sts:transitivetagkeys": known | derived | many,
	"sts:durationseconds":   known,
	"sts:authorizationtype": known,
	"sts:requestcontext":    known, "sts:requestcontextproviders": known | many, "sts:taskpolicyarn": known,
	"sts:awsservicename": known, "sts:identitytokenaudience": known | many, "sts:signingalgorithm": known,

	"aws:tagkeys":                   known | derived | many,
	"aws:principalarn":              known | derived,
	"aws:principalaccount":          known | derived,
	"aws:principaltype":             known | derived,
	"aws:principalisawsservice":     known | derived,
	"aws:principalservicename":      known | derived,
	"aws:username":                  known | derived,
	"aws:userid":                    known,
	"aws:viaawsservice":             known | derived,
	"aws:resourceaccount":           known | derived,
	"aws:currenttime":               known,
	"aws:epochtime":                 known,
	"aws:principalservicenameslist": known | many,
	"aws:principalorgid":            known,
	"aws:principalorgpaths":         known | many,
	"aws:calledvia":                 known | many,
	"aws:calledviafirst":            known,
	"aws:calledvialast":             known,
	"aws:sourceip":                  known,
	"aws:sourcevpc":                 known,
	"aws:sourcevpcarn":              known,
	"aws:sourcevpce":                known,
	"aws:vpcsourceip":               known,
	"aws:vpceaccount":               known,
	"aws:vpceorgid":                 known,
	"aws:vpceorgpaths":              known | many,
	"aws:securetransport":           known,
	"aws:multifactorauthpresent":    known,
	"aws:multifactorauthage":        known,
	"aws:tokenissuetime":            known,
	"aws:requestedregion":           known,
	"aws:resourceorgid":             known,
	"aws:resourceorgpaths":          known | many,
	"aws:sourceaccount":             known,
	"aws:sourcearn":                 known,
	"aws:sourceorgid":               known,
	"aws:sourceorgpaths":            known | many,
	"aws:sourceidentity":            known,
	"aws:federatedprovider":         known,
	"aws:referer":                   known,
	"aws:useragent":                 known,
	"aws:chatbotsourcearn":          known,
	"aws:assumedroot":               known,
	"aws:ec2instancesourcevpc":      known, "aws:ec2instancesourceprivateipv4": known,
	"ec2:sourceinstancearn": known, "ec2:roledelivery": known,
	"lambda:sourcefunctionarn": known, "glue:credentialissuingservice": known, "codebuild:buildarn": known,

	"s3:prefix": known, "s3:delimiter": known, "s3:max-keys": known, "s3:x-amz-acl": known, "s3:signatureversion": known,
	"s3:x-amz-server-side-encryption": known, "s3:x-amz-server-side-encryption-aws-kms-key-id": known, "s3:authtype": known,
	"s3:resourceaccount": known, "s3:tlsversion": known, "s3:versionid": known, "s3:locationconstraint": known,
	"s3:x-amz-storage-class": known, "s3:requestobjecttagkeys": known | many, "s3:x-amz-content-sha256": known,
	"dynamodb:leadingkeys": known | many, "dynamodb:attributes": known | many, "dynamodb:select": known,
	"dynamodb:returnvalues": known, "dynamodb:returnconsumedcapacity": known, "dynamodb:enclosingoperation": known,
	"dynamodb:fulltablescan": known, "iam:passedtoservice": known, "iam:permissionsboundary": known, "iam:policyarn": known,
	"kms:viaservice": known, "kms:calleraccount": known,
}

// taggedKeys are the keys that end in a tag's name.
var taggedKeys = []struct {
	prefix string
	trait  keyTrait
}{
	{"aws:requesttag/", known | derived},
	{"aws:principaltag/", known | derived},
	{"aws:resourcetag/", known},
	{"iam:resourcetag/", known},
	{"s3:existingobjecttag/", known},
	{"s3:requestobjecttag/", known},
	{"ec2:resourcetag/", known},
	{"sts:requestcontext/", known},
	{"dynamodb:resourcetag/", known},
}

// trait looks a key up; key is in lower case. Zero means that we know no such key.
func trait(key string) keyTrait {
	if t, ok := globalKeys[key]; ok {
		return t
	}
	for _, t := range taggedKeys {
		if strings.HasPrefix(key, t.prefix) && len(key) > len(t.prefix) {
			return t.trait
		}
	}
	// The claims of an identity provider's token: "accounts.google.com:aud", "oidc.eks.…/id/…:sub", "saml:aud".
	vendor, _, _ := strings.Cut(key, ":")
	if strings.Contains(vendor, ".") || vendor == "saml" {
		return known
	}
	return 0
}

// canonicalKeys gives a key's documented spelling for the ones that remedies name.
var canonicalKeys = []string{
	"sts:ExternalId", "sts:RoleSessionName", "sts:SourceIdentity", "sts:TransitiveTagKeys", "aws:PrincipalArn", "aws:PrincipalAccount",
	"aws:PrincipalOrgID", "aws:SourceIp", "aws:SourceArn", "aws:SourceAccount", "aws:TagKeys", "aws:PrincipalType", "aws:CurrentTime",
	"aws:MultiFactorAuthPresent", "aws:SecureTransport", "aws:RequestedRegion", "aws:username", "aws:userid", "aws:SourceVpc",
	"aws:SourceVpce", "aws:EpochTime",
}

// suggestKey finds the known key nearest to a misspelt one, "" when none is near.
func suggestKey(key string) string {
	_, name, _ := strings.Cut(strings.ToLower(key), ":")
	name = strings.ReplaceAll(name, "-", "")
	best, distance := "", 4
	for _, c := range canonicalKeys {
		_, canonical, _ := strings.Cut(strings.ToLower(c), ":")
		if d := editDistance(name, canonical); d < distance {
			best, distance = c, d
		}
	}
	return best
}

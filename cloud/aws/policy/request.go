package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Caller is who makes a request. Build it with NewCaller, Session or ServiceCaller, then fill in what is known.
type Caller struct {
	// ARN is the caller as GetCallerIdentity shows it: a user, the account root, a role's session
	// (arn:…:sts::…:assumed-role/ROLE/SESSION), or a role's own ARN when its session has no known name.
	ARN string
	// UniqueID is the AIDA… or AROA… id, "" when not known. It serves aws:userid and principals that were deleted.
	UniqueID string
	// Tags are the caller's principal tags.
	Tags map[string]string
	// Service is a service's name (ec2.amazonaws.com), Federated an identity provider's ARN or name; ARN is then "".
	Service   string
	Federated string

	account, partition string
	role               ARN  // of a session or a role
	pathKnown          bool // role.Resource has the role's path
	session            string
}

// NewCaller reads a caller's ARN: a role stands for a session of that role; a session's role is known by name only, and
// a role's name is unique in its account whatever its path. An account id stands for its root.
func NewCaller(arn string) (Caller, error) {
	if isAccount(arn) {
		arn = "arn:aws:iam::" + arn + ":root"
	}
	a, err := ParseARN(arn)
	if err != nil {
		return Caller{}, err
	}
	if !isAccount(a.Account) || !partitions[a.Partition] {
		return Caller{}, fmt.Errorf("%s names no partition and account that could make a request", quote(arn))
	}
	c := Caller{ARN: arn, account: a.Account, partition: a.Partition}
	head, rest, _ := strings.Cut(a.Resource, "/")
	switch {
	case a.Service == "iam" && a.Resource == "root", a.Service == "iam" && head == "user" && rest != "", a.Service == "sts" && head == "federated-user" && rest != "":
	case a.Service == "iam" && head == "role" && rest != "":
		c.role, c.pathKnown = a, true
	case a.Service == "sts" && head == "assumed-role":
		name, session, ok := strings.Cut(rest, "/")
		if !ok || name == "" || session == "" || strings.Contains(session, "/") {
			return Caller{}, fmt.Errorf("%s is not a session: want assumed-role/ROLE/SESSION", quote(arn))
		}
		c.role, c.session = ARN{a.Partition, "iam", "", a.Account, "role/" + name}, session
	default:
		return Caller{}, fmt.Errorf("%s is not a user, role, session or account root", quote(arn))
	}
	return c, nil
}

// SessionCaller is a session of the role with that ARN, its path included.
func SessionCaller(roleARN, session string) (Caller, error) {
	c, err := NewCaller(roleARN)
	if err != nil {
		return Caller{}, err
	}
	name, ok := roleName(c.role.Resource)
	if !ok || c.session != "" {
		return Caller{}, fmt.Errorf("%s is not a role", quote(roleARN))
	}
	if session != "" {
		c.session = session
		c.ARN = ARN{c.partition, "sts", "", c.account, "assumed-role/" + name + "/" + session}.String()
	}
	return c, nil
}

// ServiceCaller is an AWS service, for example ec2.amazonaws.com.
func ServiceCaller(service string) Caller { return Caller{Service: service} }

// FederatedCaller is somebody whom an identity provider vouches for. Its actions are sts:AssumeRoleWithSAML and
// sts:AssumeRoleWithWebIdentity; the token's claims go into the request's Context.
func FederatedCaller(provider string) Caller { return Caller{Federated: provider} }

// Account is the caller's account, "" for services and providers.
func (c *Caller) Account() string { return c.account }

// RoleARN is the role of a session, "" for others. Without a known path it is the ARN of a role at path "/".
func (c *Caller) RoleARN() string {
	if c.role.Resource == "" {
		return ""
	}
	return c.role.String()
}

// isRole compares with a role's resource part.
func (c *Caller) isRole(resource string) bool {
	if c.pathKnown {
		return c.role.Resource == resource
	}
	name, ok := roleName(resource)
	return ok && c.role.Resource == "role/"+name
}

// Own is what the caller's own identity policies say about the request. In another account, or when a policy names only
// the caller's account, they must allow it too (IAM User Guide, cross-account policy evaluation).
type Own int

// What a caller's own policies may say. The zero value suits whoever asks about the other side's policy only.
const (
	OwnAllows Own = iota
	OwnSilent
	OwnDenies
)

// Request is one call to decide. Fields that are empty are absent from the request's context.
type Request struct {
	Caller Caller
	// Action is service:Name, in any case.
	Action string
	// Resource is the ARN of what the call is about: for a trust policy the role.
	Resource string
	// ExternalID, SessionName, SourceIdentity and the tags are AssumeRole's parameters.
	ExternalID     string
	SessionName    string
	SourceIdentity string
	Tags           map[string]string
	TransitiveTags []string
	// Context has further condition keys, whatever their case; they win over what the other fields give.
	Context map[string][]string
	// Now gives aws:CurrentTime and aws:EpochTime; the zero time leaves them unknown.
	Now time.Time
	Own Own
}

// context has every condition key of the request in lower case.
func (r *Request) context() map[string][]string {
	ctx := make(map[string][]string, 16+2*len(r.Tags)+len(r.Context))
	one := func(key, value string) {
		if value != "" {
			ctx[key] = []string{value}
		}
	}
	c := &r.Caller
	one("sts:externalid", r.ExternalID)
	one("sts:rolesessionname", r.SessionName)
	one("sts:sourceidentity", r.SourceIdentity)
	if len(r.TransitiveTags) > 0 {
		ctx["sts:transitivetagkeys"] = r.TransitiveTags
	}
	for key, value := range r.Tags {
		ctx["aws:requesttag/"+strings.ToLower(key)] = []string{value}
	}
	if len(r.Tags) > 0 {
		ctx["aws:tagkeys"] = slices.Sorted(maps.Keys(r.Tags))
	}
	for key, value := range c.Tags {
		ctx["aws:principaltag/"+strings.ToLower(key)] = []string{value}
	}
	one("aws:principalaccount", c.account)
	one("aws:principalarn", c.principalARN())
	one("aws:principaltype", c.kind())
	one("aws:principalisawsservice", strconv.FormatBool(c.Service != ""))
	one("aws:principalservicename", c.Service)
	one("aws:viaawsservice", "false")
	if c.UniqueID != "" {
		one("aws:userid", c.UniqueID)
		if c.session != "" {
			one("aws:userid", c.UniqueID+":"+c.session)
		}
	}
	if a, err := ParseARN(c.ARN); err == nil && strings.HasPrefix(a.Resource, "user/") {
		one("aws:username", a.Resource[strings.LastIndexByte(a.Resource, '/')+1:])
	}
	if a, err := ParseARN(r.Resource); err == nil {
		one("aws:resourceaccount", a.Account)
	}
	if !r.Now.IsZero() {
		one("aws:currenttime", r.Now.UTC().Format(time.RFC3339))
		one("aws:epochtime", strconv.FormatInt(r.Now.Unix(), 10))
	}
	for key, values := range r.Context {
		ctx[strings.ToLower(key)] = values
	}
	return ctx
}

// principalARN is aws:PrincipalArn: for a session its role, never the session.
func (c *Caller) principalARN() string {
	if c.role.Resource != "" {
		return c.role.String()
	}
	return c.ARN
}

// kind is aws:PrincipalType.
func (c *Caller) kind() string {
	switch {
	case c.Service != "":
		return "Service"
	case c.role.Resource != "":
		return "AssumedRole"
	case strings.HasSuffix(c.ARN, ":root"):
		return "Account"
	case strings.Contains(c.ARN, ":federated-user/"):
		return "FederatedUser"
	case strings.Contains(c.ARN, ":user/"):
		return "User"
	}
	return ""
}

// check refuses a request that nobody could make.
func (r *Request) check() error {
	service, name, ok := strings.Cut(r.Action, ":")
	if !ok || service == "" || name == "" || strings.ContainsAny(r.Action, "*?") {
		return fmt.Errorf("%s is not the action of a request: want service:Name without wildcards", quote(r.Action))
	}
	if n := r.size(); n > mostOfRequest {
		return fmt.Errorf("the request has %d bytes of parameters and context; at most %d are looked at", n, mostOfRequest)
	}
	c := &r.Caller
	switch {
	case c.Service != "" || c.Federated != "":
		return nil
	case c.ARN == "":
		return errors.New("the request names no caller")
	case c.account == "":
		full, err := NewCaller(c.ARN)
		if err != nil {
			return err
		}
		full.UniqueID, full.Tags = c.UniqueID, c.Tags
		r.Caller = full
	}
	return nil
}

// mostOfRequest bounds what a request may hold, in bytes: STS takes 50 tags of 128 and 256 characters, and an external ID
// of 1,224.
const mostOfRequest = 64 << 10

func (r *Request) size() int {
	n := len(r.ExternalID) + len(r.SessionName) + len(r.SourceIdentity) + len(r.Resource) + len(r.Action) + len(r.Caller.ARN)
	for _, tags := range []map[string]string{r.Tags, r.Caller.Tags} {
		for k, v := range tags {
			n += len(k) + len(v)
		}
	}
	for _, k := range r.TransitiveTags {
		n += len(k)
	}
	for k, values := range r.Context {
		n += len(k)
		for _, v := range values {
			n += len(v) + 1
		}
	}
	return n
}

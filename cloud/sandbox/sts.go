package sandbox

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of AssumeRole (STS API reference).
const (
	shortestSession = 900  // seconds
	longestChained  = 3600 // seconds, when the caller is a role's session
	maxPackedPolicy = 2048 // bytes; see packedSize
	maxPolicyText   = 2048 // characters
)

var stsActions = map[string]action{
	"AssumeRole":        assumeRole,
	"GetCallerIdentity": getCallerIdentity,
}

var (
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]*$`) // 2 to 1,224 characters
)

// getCallerIdentity works for everybody who is authenticated; no policy can forbid it.
func getCallerIdentity(c call) (any, error) {
	return struct {
		ARN     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string
	}{c.who.arn, c.who.userID, c.who.account}, nil
}

// assumption is an AssumeRole whose form is right.
type assumption struct {
	roleARN, name, externalID, policy, source string
	seconds                                   int
	tags                                      map[string]string // of the request
	transitive                                []string          // of the request
	packed                                    int               // percent
}

func (c call) readAssumption() (assumption, error) {
	in := assumption{
		roleARN: c.params.get("RoleArn"), name: c.params.get("RoleSessionName"), externalID: c.params.get("ExternalId"),
		policy: c.params.get("Policy"), source: c.params.get("SourceIdentity"),
	}
	if n := len(in.roleARN); n < 20 || n > 2048 {
		return in, invalid("roleArn", in.roleARN, "Member must have length between 20 and 2048")
	}
	if !sessionName.MatchString(in.name) {
		return in, invalid("roleSessionName", in.name, `Member must satisfy regular expression pattern: [\w+=,.@-]*, length between 2 and 64`)
	}
	if n := len(in.externalID); c.params.has("ExternalId") && (n < 2 || n > 1224 || !externalID.MatchString(in.externalID)) {
		return in, invalid("externalId", in.externalID, `Member must satisfy regular expression pattern: [\w+=,.@:\/-]*, length between 2 and 1224`)
	}
	if c.params.has("SourceIdentity") && (!sessionName.MatchString(in.source) || strings.HasPrefix(strings.ToLower(in.source), "aws:")) {
		return in, invalid("sourceIdentity", in.source, `Member must satisfy regular expression pattern: [\w+=,.@-]*, length between 2 and 64`)
	}
	for _, p := range []string{"PolicyArns.member.1.arn", "SerialNumber", "TokenCode", "ProvidedContexts.member.1.ProviderArn"} {
		if c.params.has(p) {
			return in, refuse(400, "ValidationError", "the sandbox does not have %s", strings.Split(p, ".")[0])
		}
	}
	var err error
	if in.seconds, err = c.params.number("DurationSeconds", 3600); err != nil {
		return in, err
	}
	if in.seconds < shortestSession || in.seconds > longestSession {
		return in, invalid("durationSeconds", c.params.get("DurationSeconds"), "Member must have value between 900 and 43200")
	}
	if c.who.session != nil && in.seconds > longestChained {
		return in, refuse(400, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	if err := c.readSessionTags(&in); err != nil {
		return in, err
	}
	if in.policy != "" {
		if utf8.RuneCountInString(in.policy) > maxPolicyText {
			return in, invalid("policy", "(too long)", "Member must have length less than or equal to 2048")
		}
		if err := checkSessionPolicy(in.policy); err != nil {
			return in, err
		}
	}
	size := packedSize(in.policy, in.tags, c.who.inherited())
	in.packed = (size*100 + maxPackedPolicy - 1) / maxPackedPolicy
	if size > maxPackedPolicy {
		return in, refuse(400, "PackedPolicyTooLarge", "Packed size of session policies and session tags consumes %d%% of the allotted space.", in.packed)
	}
	return in, nil
}

func invalid(member, value, constraint string) error {
	return refuse(400, "ValidationError", "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, member, constraint)
}

// readSessionTags reads the tags of the request and checks them against those that a chained session inherits (IAM user
// guide, "Passing session tags").
func (c call) readSessionTags(in *assumption) error {
	tags := c.params.tags("Tags")
	if len(tags) > maxTags {
		return invalid("tags", "(a list)", "Member must have length less than or equal to 50")
	}
	in.tags = make(map[string]string, len(tags))
	known := map[string]bool{}
	for _, t := range tags {
		if err := checkTag(t); err != nil {
			return err
		}
		if known[strings.ToLower(t.Key)] {
			return refuse(400, "InvalidParameterValue", "Duplicate tag keys found. Please note that tag keys are case insensitive.")
		}
		known[strings.ToLower(t.Key)] = true
		in.tags[t.Key] = t.Value
	}
	in.transitive = c.params.list("TransitiveTagKeys")
	for _, k := range in.transitive {
		if !known[strings.ToLower(k)] {
			return refuse(400, "InvalidParameterValue", "The transitive tag key %s is not among the session tags", k)
		}
	}
	if v := c.who.session; v != nil {
		for _, k := range v.Transitive {
			if known[strings.ToLower(k)] {
				return refuse(400, "InvalidParameterValue", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
			}
		}
		if v.Source != "" && in.source != "" && in.source != v.Source {
			return refuse(403, "AccessDenied", "The source identity of a session cannot be changed")
		}
	}
	return nil
}

// packedSize estimates the packed binary format of policy and tags, whose recipe AWS keeps to itself, by deflate.
func packedSize(policy string, tags ...map[string]string) int {
	var text bytes.Buffer
	if policy != "" && json.Compact(&text, []byte(policy)) != nil {
		text.WriteString(policy)
	}
	for _, some := range tags {
		for _, k := range slices.Sorted(maps.Keys(some)) {
			text.WriteString("\x00" + k + "\x00" + some[k])
		}
	}
	if text.Len() == 0 {
		return 0
	}
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestCompression) // the level is valid
	_, _ = w.Write(text.Bytes())
	_ = w.Close()
	return packed.Len()
}

func assumeRole(c call) (any, error) {
	in, err := c.readAssumption()
	if err != nil {
		return nil, err
	}
	if c.who.root {
		return nil, refuse(403, "AccessDenied", "Roles may not be assumed by root accounts.")
	}
	c.s.mu.RLock()
	a, role, found := c.s.visibleRole(in.roleARN)
	trust := ""
	if found {
		trust = c.s.current(role.Trust)
	}
	c.s.mu.RUnlock()
	for _, action := range c.actions(in) {
		// A role that does not exist is refused in the same words: who may not assume a role learns nothing about it.
		if !found || !c.who.mayAssume(trust, c.askAssume(action, in, role)) {
			return nil, refuse(403, "AccessDenied", "User: %s is not authorized to perform: %s on resource: %s", c.who.arn, action, in.roleARN)
		}
	}
	if in.seconds > role.MaxSession {
		return nil, refuse(400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	v, token := c.begin(a.ID, role, in)
	return assumed(v, token, in.packed), nil
}

// actions are what an AssumeRole needs to be allowed. Transitive tags and the source identity of a chained session count
// as if they were passed again: a role of the chain that does not allow sts:TagSession cannot be reached with them.
func (c call) actions(in assumption) []string {
	var old session
	if c.who.session != nil {
		old = *c.who.session
	}
	needed := []string{"sts:AssumeRole"}
	if len(in.tags) > 0 || len(old.Transitive) > 0 {
		needed = append(needed, "sts:TagSession")
	}
	if in.source != "" || old.Source != "" {
		needed = append(needed, "sts:SetSourceIdentity")
	}
	return needed
}

func (c call) askAssume(action string, in assumption, role view) ask {
	when := maps.Clone(c.when)
	for k, v := range role.Tags {
		when["aws:ResourceTag/"+k] = []string{v}
		when["iam:ResourceTag/"+k] = []string{v}
	}
	source := in.source
	if source == "" && c.who.session != nil {
		source = c.who.session.Source
	}
	return ask{
		action: action, resource: in.roleARN, when: when, now: c.s.now(),
		externalID: in.externalID, sessionName: in.name, source: source, tags: in.tags, transitive: in.transitive,
	}
}

// begin makes the session and remembers it. Sessions are saved with the next change or within a second.
func (c call) begin(accountID string, role view, in assumption) (*session, string) {
	now := c.s.now()
	token := "sandbox" + newRandom(192)
	v := &session{
		Key: newUniqueID("ASIA"), Secret: newRandom(30), TokenHash: hashToken(token), Account: accountID,
		RoleARN: role.ARN, RoleID: role.ID, Name: in.name, Policy: in.policy, Tags: in.tags, Transitive: in.transitive, Source: in.source,
		Issued: now, Expires: now.Add(time.Duration(in.seconds) * time.Second).Truncate(time.Second),
	}
	if old := c.who.session; old != nil {
		if v.Source == "" {
			v.Source = old.Source
		}
		maps.Copy(v.Tags, c.who.inherited())
		v.Transitive = append(slices.Clone(v.Transitive), old.Transitive...)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.state.Sessions[v.Key] = v
	c.s.disk.touch()
	return v, token
}

type assumedXML struct {
	SourceIdentity  string `xml:",omitempty"`
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		ARN           string `xml:"Arn"`
	}
	Credentials struct {
		AccessKeyID                               string `xml:"AccessKeyId"`
		SecretAccessKey, SessionToken, Expiration string
	}
	PackedPolicySize int `xml:",omitempty"`
}

func assumed(v *session, token string, packed int) assumedXML {
	out := assumedXML{SourceIdentity: v.Source, PackedPolicySize: packed}
	out.AssumedRoleUser.AssumedRoleID, out.AssumedRoleUser.ARN = v.RoleID+":"+v.Name, v.arn()
	out.Credentials.AccessKeyID, out.Credentials.SecretAccessKey = v.Key, v.Secret
	out.Credentials.SessionToken, out.Credentials.Expiration = token, timestamp(v.Expires)
	return out
}

// ExpireSessions ends every session handed out so far, as if its time were over, and returns how many. For tests of what
// clients do then.
func (s *Sandbox) ExpireSessions() int {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for k, v := range s.state.Sessions {
		if now.Before(v.Expires) {
			over := *v
			over.Expires = now
			s.state.Sessions[k] = &over
			n++
		}
	}
	s.disk.touch()
	return n
}

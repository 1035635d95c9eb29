package sandbox

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	defaultMaxSession = 3600  // seconds; a role's MaxSessionDuration unless it says otherwise
	longestSession    = 43200 // seconds; 12 hours

	maxInlinePolicies = 10240 // characters without white space, all inline policies of a role together (IAM quotas)
	maxUserPolicies   = 2048  // the same of a user
	maxTags           = 50
)

var iamActions = map[string]action{
	"CreateRole":               createRole,
	"GetRole":                  getRole,
	"ListRoles":                listRoles,
	"DeleteRole":               deleteRole,
	"UpdateRole":               updateRole,
	"UpdateAssumeRolePolicy":   updateAssumeRolePolicy,
	"PutRolePolicy":            putRolePolicy,
	"GetRolePolicy":            getRolePolicy,
	"DeleteRolePolicy":         deleteRolePolicy,
	"ListRolePolicies":         listRolePolicies,
	"ListAttachedRolePolicies": listAttachedRolePolicies,
	"TagRole":                  tagRole,
	"UntagRole":                untagRole,
	"ListRoleTags":             listRoleTags,
	"CreateUser":               createUser,
	"GetUser":                  getUser,
	"DeleteUser":               deleteUser,
	"PutUserPolicy":            putUserPolicy,
	"DeleteUserPolicy":         deleteUserPolicy,
	"CreateAccessKey":          createAccessKey,
	"DeleteAccessKey":          deleteAccessKey,
	"ListAccessKeys":           listAccessKeys,
}

var (
	// Characters of names and paths (IAM quotas, "IAM name requirements").
	namePattern = regexp.MustCompile(`^[\w+=,.@-]+$`)
	pathPattern = regexp.MustCompile(`^/([\x21-\x7e]{1,510}/)?$`)
)

func goodName(name string, longest int) bool {
	return len(name) <= longest && namePattern.MatchString(name)
}

// name reads and checks a name parameter.
func (c call) name(parameter string, longest int) (string, error) {
	v := c.params.get(parameter)
	if !goodName(v, longest) {
		at := strings.ToLower(parameter[:1]) + parameter[1:]
		return "", refuse(400, "ValidationError", "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: %s, length at most %d", v, at, namePattern, longest)
	}
	return v, nil
}

// born reads and checks how a role or a user that is made is called, and where it stands.
func (c call) born(parameter string) (name, path string, err error) {
	if name, err = c.name(parameter, 64); err != nil {
		return "", "", err
	}
	path = cmp.Or(c.params.get("Path"), "/")
	if !pathPattern.MatchString(path) || strings.Contains(path, "//") {
		return "", "", refuse(400, "ValidationError", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	if c.params.has("PermissionsBoundary") {
		return "", "", refuse(400, "InvalidInput", "the sandbox has no permissions boundaries")
	}
	return name, path, nil
}

// change runs f under the write lock and saves before the answer, so that whoever was told of a change finds it after a
// restart.
func (c call) change(f func(a *account) error) error {
	c.s.mu.Lock()
	err := f(c.s.state.Accounts[c.who.account])
	if err == nil {
		c.s.disk.touch()
	}
	c.s.mu.Unlock()
	if err != nil {
		return err
	}
	return c.s.save()
}

// read runs f under the read lock.
func (c call) read(f func(a *account) error) error {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	return f(c.s.state.Accounts[c.who.account])
}

// may refuses what the caller's policies do not allow on a resource. tags are the resource's.
func (c call) may(resource string, tags map[string]string) error {
	when := maps.Clone(c.when)
	for k, v := range tags {
		when["aws:ResourceTag/"+k] = []string{v}
		when["iam:ResourceTag/"+k] = []string{v}
	}
	if c.who.allowed(ask{action: "iam:" + c.action, resource: resource, when: when, now: c.s.now()}) {
		return nil
	}
	return refuse(403, "AccessDenied", "User: %s is not authorized to perform: iam:%s on resource: %s", c.who.arn, c.action, resource)
}

// page cuts a sorted list to what Marker and MaxItems ask for. The marker is the last name of the page before.
func page[T any](c call, all []T, name func(T) string) (list []T, more bool, marker string, _ error) {
	limit, err := c.params.number("MaxItems", 100)
	if err != nil || limit < 1 || limit > 1000 {
		return nil, false, "", refuse(400, "ValidationError", "MaxItems must be 1 to 1000")
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	if after := c.params.get("Marker"); after != "" {
		all = slices.DeleteFunc(all, func(v T) bool { return name(v) <= after })
	}
	if len(all) <= limit {
		return all, false, "", nil
	}
	return all[:limit], true, name(all[limit-1]), nil
}

// readTags checks tags on IAM resources and merges them into have, whose keys are told apart without regard to case.
func readTags(have map[string]string, tags []tag) (map[string]string, error) {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]string{}
	}
	seen := map[string]bool{}
	for _, t := range tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		lower := strings.ToLower(t.Key)
		if seen[lower] {
			return nil, refuse(400, "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[lower] = true
		maps.DeleteFunc(out, func(k, _ string) bool { return strings.EqualFold(k, t.Key) })
		out[t.Key] = t.Value
	}
	if len(out) > maxTags {
		return nil, refuse(409, "LimitExceeded", "The number of tags has reached the maximum limit.")
	}
	return out, nil
}

var (
	tagKey   = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$`)
	tagValue = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$`)
)

func checkTag(t tag) error {
	if !tagKey.MatchString(t.Key) || !tagValue.MatchString(t.Value) {
		return refuse(400, "ValidationError", "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", tagKey)
	}
	if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
		return refuse(400, "InvalidInput", "Tag keys that begin with aws: are reserved")
	}
	return nil
}

func sortedTags(tags map[string]string) []tag {
	out := make([]tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, tag{k, tags[k]})
	}
	return out
}

func noSuchRole(name string) error {
	return refuse(404, "NoSuchEntity", "The role with name %s cannot be found.", name)
}

package sandbox

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

type roleXML struct {
	Path                     string
	RoleName                 string
	RoleID                   string `xml:"RoleId"`
	ARN                      string `xml:"Arn"`
	CreateDate               string
	AssumeRolePolicyDocument string
	Description              string        `xml:",omitempty"`
	MaxSessionDuration       int           `xml:",omitempty"`
	Tags                     *members[tag] `xml:",omitempty"`
}

// show needs the read lock.
func (c call) show(a *account, r *role) roleXML {
	out := roleXML{
		Path: r.Path, RoleName: r.Name, RoleID: r.ID, ARN: a.roleARN(r), CreateDate: timestamp(r.Created),
		AssumeRolePolicyDocument: escapeDocument(c.s.current(r.Trust)), Description: r.Description, MaxSessionDuration: r.MaxSession,
	}
	if len(r.Tags) > 0 {
		out.Tags = &members[tag]{sortedTags(r.Tags)}
	}
	return out
}

// escapeDocument is how IAM returns policies: percent-encoded (RFC 3986).
func escapeDocument(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// role finds the role that a request names, once the caller may do what it asks for.
func (c call) role(a *account) (*role, error) {
	name, err := c.name("RoleName", 64)
	if err != nil {
		return nil, err
	}
	r, ok := a.Roles[strings.ToLower(name)]
	if !ok {
		if err := c.may("arn:aws:iam::"+a.ID+":role/"+name, nil); err != nil {
			return nil, err
		}
		return nil, noSuchRole(name)
	}
	return r, c.may(a.roleARN(r), r.Tags)
}

func createRole(c call) (any, error) {
	name, path, err := c.born("RoleName")
	if err != nil {
		return nil, err
	}
	maxSession, err := c.maxSession(defaultMaxSession)
	if err != nil {
		return nil, err
	}
	if len(c.params.get("Description")) > 1000 {
		return nil, refuse(400, "ValidationError", "the description may have 1000 characters")
	}
	tags, err := readTags(nil, c.params.tags("Tags"))
	if err != nil {
		return nil, err
	}
	r := &role{Name: name, Path: path, Description: c.params.get("Description"), MaxSession: maxSession, Tags: tags, Policies: map[string]string{}}
	var out roleXML
	err = c.change(func(a *account) error {
		if err := c.may(a.roleARN(r), nil); err != nil {
			return err
		}
		if _, exists := a.Roles[strings.ToLower(name)]; exists {
			return refuse(409, "EntityAlreadyExists", "Role with name %s already exists.", name)
		}
		if len(a.Roles) >= c.s.roleQuota {
			return refuse(409, "LimitExceeded", "Cannot exceed quota for RolesPerAccount: %d.", c.s.roleQuota)
		}
		if r.Trust, err = c.s.bindTrust(c.params.get("AssumeRolePolicyDocument")); err != nil {
			return err
		}
		r.ID, r.Created = newUniqueID("AROA"), c.s.now()
		a.Roles[strings.ToLower(name)] = r
		c.s.publish(a, name)
		out = c.show(a, r)
		return nil
	})
	return struct{ Role roleXML }{out}, err
}

func (c call) maxSession(without int) (int, error) {
	seconds, err := c.params.number("MaxSessionDuration", without)
	if err != nil {
		return 0, err
	}
	if seconds < 3600 || seconds > longestSession {
		return 0, refuse(400, "ValidationError", "1 validation error detected: Value '%d' at 'maxSessionDuration' failed to satisfy constraint: Member must have value between 3600 and 43200", seconds)
	}
	return seconds, nil
}

// withoutSpace counts characters as IAM's quotas do.
func withoutSpace(text string) int {
	n := 0
	for _, c := range text {
		if !strings.ContainsRune(" \t\r\n", c) {
			n++
		}
	}
	return n
}

func getRole(c call) (any, error) {
	var out roleXML
	err := c.readRole(func(a *account, r *role) error {
		out = c.show(a, r)
		return nil
	})
	return struct{ Role roleXML }{out}, err
}

func listRoles(c call) (any, error) {
	var out struct {
		Roles       members[roleXML]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}
	err := c.read(func(a *account) error {
		if err := c.may("arn:aws:iam::"+a.ID+":role/", nil); err != nil {
			return err
		}
		all := slices.Collect(maps.Values(a.Roles))
		all = slices.DeleteFunc(all, func(r *role) bool { return !strings.HasPrefix(r.Path, c.params.get("PathPrefix")) })
		list, more, marker, err := page(c, all, func(r *role) string { return r.Name })
		if err != nil {
			return err
		}
		for _, r := range list {
			shown := c.show(a, r)
			shown.Tags = nil // ListRoles leaves the tags out, as at AWS
			out.Roles.Member = append(out.Roles.Member, shown)
		}
		out.IsTruncated, out.Marker = more, marker
		return nil
	})
	return out, err
}

func deleteRole(c call) (any, error) {
	return nil, c.change(func(a *account) error {
		r, err := c.role(a)
		if err != nil {
			return err
		}
		if len(r.Policies) > 0 {
			return refuse(409, "DeleteConflict", "Cannot delete entity, must delete policies first.")
		}
		delete(a.Roles, strings.ToLower(r.Name))
		c.s.publish(a, r.Name)
		return nil
	})
}

// readRole looks at the role that the request names.
func (c call) readRole(f func(a *account, r *role) error) error {
	return c.read(func(a *account) error {
		r, err := c.role(a)
		if err != nil {
			return err
		}
		return f(a, r)
	})
}

// alterRole changes the role that the request names in place, and publishes it.
func (c call) alterRole(f func(r *role) error) error {
	return c.change(func(a *account) error {
		r, err := c.role(a)
		if err != nil {
			return err
		}
		if err := f(r); err != nil {
			return err
		}
		c.s.publish(a, r.Name)
		return nil
	})
}

func updateRole(c call) (any, error) {
	return struct{}{}, c.alterRole(func(r *role) error {
		seconds, err := c.maxSession(r.MaxSession)
		if err != nil {
			return err
		}
		r.MaxSession = seconds
		if c.params.has("Description") {
			r.Description = c.params.get("Description")
		}
		return nil
	})
}

func updateAssumeRolePolicy(c call) (any, error) {
	return nil, c.alterRole(func(r *role) error {
		trust, err := c.s.bindTrust(c.params.get("PolicyDocument"))
		if err == nil {
			r.Trust = trust
		}
		return err
	})
}

func tagRole(c call) (any, error) {
	return nil, c.alterRole(func(r *role) error {
		tags, err := readTags(r.Tags, c.params.tags("Tags"))
		if err == nil {
			r.Tags = tags
		}
		return err
	})
}

func untagRole(c call) (any, error) {
	return nil, c.alterRole(func(r *role) error {
		r.Tags = maps.Clone(r.Tags)
		for _, gone := range c.params.list("TagKeys") {
			maps.DeleteFunc(r.Tags, func(k, _ string) bool { return strings.EqualFold(k, gone) })
		}
		return nil
	})
}

func listRoleTags(c call) (any, error) {
	var out struct {
		Tags        members[tag]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}
	err := c.readRole(func(_ *account, r *role) (err error) {
		out.Tags.Member, out.IsTruncated, out.Marker, err = page(c, sortedTags(r.Tags), func(t tag) string { return t.Key })
		return err
	})
	return out, err
}

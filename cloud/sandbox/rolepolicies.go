package sandbox

import (
	"maps"
	"slices"
)

// putPolicy checks the inline policy of the request and puts it to owner's. quota is for all of them together.
func (c call) putPolicy(policies *map[string]string, quota int, owner string) error {
	name, err := c.name("PolicyName", 128)
	if err != nil {
		return err
	}
	text := c.params.get("PolicyDocument")
	if err := checkIdentityPolicy(text); err != nil {
		return err
	}
	out := maps.Clone(*policies) // what was read stays as it is
	out[name] = text
	size := 0
	for _, text := range out {
		size += withoutSpace(text)
	}
	if size > quota {
		return refuse(409, "LimitExceeded", "Maximum policy size of %d bytes exceeded for %s", quota, owner)
	}
	*policies = out
	return nil
}

// dropPolicy takes the inline policy that the request names away.
func (c call) dropPolicy(policies *map[string]string) error {
	name, err := c.name("PolicyName", 128)
	if err != nil {
		return err
	}
	if _, ok := (*policies)[name]; !ok {
		return noSuchPolicy(name)
	}
	out := maps.Clone(*policies)
	delete(out, name)
	*policies = out
	return nil
}

func noSuchPolicy(name string) error {
	return refuse(404, "NoSuchEntity", "The policy with name %s cannot be found.", name)
}

func putRolePolicy(c call) (any, error) {
	return nil, c.alterRole(func(r *role) error { return c.putPolicy(&r.Policies, maxInlinePolicies, "role "+r.Name) })
}

func deleteRolePolicy(c call) (any, error) {
	return nil, c.alterRole(func(r *role) error { return c.dropPolicy(&r.Policies) })
}

func getRolePolicy(c call) (any, error) {
	var out struct{ RoleName, PolicyName, PolicyDocument string }
	err := c.readRole(func(_ *account, r *role) error {
		name, err := c.name("PolicyName", 128)
		if err != nil {
			return err
		}
		text, ok := r.Policies[name]
		if !ok {
			return noSuchPolicy(name)
		}
		out.RoleName, out.PolicyName, out.PolicyDocument = r.Name, name, escapeDocument(text)
		return nil
	})
	return out, err
}

func listRolePolicies(c call) (any, error) {
	var out struct {
		PolicyNames members[string]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}
	err := c.readRole(func(_ *account, r *role) (err error) {
		names := slices.Collect(maps.Keys(r.Policies))
		out.PolicyNames.Member, out.IsTruncated, out.Marker, err = page(c, names, func(n string) string { return n })
		return err
	})
	return out, err
}

// listAttachedRolePolicies is always empty: the sandbox has no managed policies. Tools ask before they delete a role.
func listAttachedRolePolicies(c call) (any, error) {
	var out struct {
		AttachedPolicies members[string]
		IsTruncated      bool
	}
	return out, c.readRole(func(*account, *role) error { return nil })
}

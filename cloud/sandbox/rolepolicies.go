package sandbox

import (
	"maps"
	"slices"
)

// putPolicy checks an inline policy and returns policies with it. quota is for all of them together.
func (c call) putPolicy(policies map[string]string, quota int, owner string) (map[string]string, error) {
	name, err := c.name("PolicyName", 128)
	if err != nil {
		return nil, err
	}
	text := c.params.get("PolicyDocument")
	if err := checkIdentityPolicy(text); err != nil {
		return nil, err
	}
	out := maps.Clone(policies)
	out[name] = text
	size := 0
	for _, text := range out {
		size += withoutSpace(text)
	}
	if size > quota {
		return nil, refuse(409, "LimitExceeded", "Maximum policy size of %d bytes exceeded for %s", quota, owner)
	}
	return out, nil
}

// dropPolicy returns policies without the one that the request names.
func (c call) dropPolicy(policies map[string]string) (map[string]string, error) {
	name, err := c.name("PolicyName", 128)
	if err != nil {
		return nil, err
	}
	if _, ok := policies[name]; !ok {
		return nil, noSuchPolicy(name)
	}
	out := maps.Clone(policies)
	delete(out, name)
	return out, nil
}

func noSuchPolicy(name string) error {
	return refuse(404, "NoSuchEntity", "The policy with name %s cannot be found.", name)
}

func putRolePolicy(c call) (any, error) {
	return nil, c.alter(func(r *role) error {
		policies, err := c.putPolicy(r.Policies, maxInlinePolicies, "role "+r.Name)
		if err == nil {
			r.Policies = policies
		}
		return err
	})
}

func deleteRolePolicy(c call) (any, error) {
	return nil, c.alter(func(r *role) error {
		policies, err := c.dropPolicy(r.Policies)
		if err == nil {
			r.Policies = policies
		}
		return err
	})
}

func getRolePolicy(c call) (any, error) {
	var out struct{ RoleName, PolicyName, PolicyDocument string }
	err := c.read(func(a *account) error {
		r, err := c.role(a)
		if err != nil {
			return err
		}
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
	err := c.read(func(a *account) error {
		r, err := c.role(a)
		if err != nil {
			return err
		}
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
	return out, c.read(func(a *account) error {
		_, err := c.role(a)
		return err
	})
}

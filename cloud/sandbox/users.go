package sandbox

import (
	"slices"
	"strings"
)

// maxAccessKeys is per user (IAM quotas).
const maxAccessKeys = 2

type userXML struct {
	Path       string
	UserName   string
	UserID     string `xml:"UserId"`
	ARN        string `xml:"Arn"`
	CreateDate string
}

func showUser(a *account, u *user) userXML {
	return userXML{u.Path, u.Name, u.ID, a.userARN(u), timestamp(u.Created)}
}

// user finds the user that a request names, or the caller, once the caller may do what it asks for.
func (c call) user(a *account) (*user, error) {
	name := c.who.user
	if c.params.has("UserName") || name == "" {
		var err error
		if name, err = c.name("UserName", 64); err != nil {
			return nil, err
		}
	}
	u, ok := a.Users[strings.ToLower(name)]
	if !ok {
		if err := c.may("arn:aws:iam::"+a.ID+":user/"+name, nil); err != nil {
			return nil, err
		}
		return nil, refuse(404, "NoSuchEntity", "The user with name %s cannot be found.", name)
	}
	return u, c.may(a.userARN(u), nil)
}

func createUser(c call) (any, error) {
	name, path, err := c.born("UserName")
	if err != nil {
		return nil, err
	}
	u := &user{Name: name, Path: path, Policies: map[string]string{}}
	var out userXML
	err = c.change(func(a *account) error {
		if err := c.may(a.userARN(u), nil); err != nil {
			return err
		}
		if _, exists := a.Users[strings.ToLower(name)]; exists {
			return refuse(409, "EntityAlreadyExists", "User with name %s already exists.", name)
		}
		u.ID, u.Created = newUniqueID("AIDA"), c.s.now()
		a.Users[strings.ToLower(name)] = u
		out = showUser(a, u)
		return nil
	})
	return struct{ User userXML }{out}, err
}

func getUser(c call) (any, error) {
	var out userXML
	err := c.read(func(a *account) error {
		u, err := c.user(a)
		if err == nil {
			out = showUser(a, u)
		}
		return err
	})
	return struct{ User userXML }{out}, err
}

// alterUser changes the user that the request names, or the caller.
func (c call) alterUser(f func(a *account, u *user) error) error {
	return c.change(func(a *account) error {
		u, err := c.user(a)
		if err != nil {
			return err
		}
		return f(a, u)
	})
}

func deleteUser(c call) (any, error) {
	return nil, c.alterUser(func(a *account, u *user) error {
		if len(u.Policies) > 0 || len(u.Keys) > 0 {
			return refuse(409, "DeleteConflict", "Cannot delete entity, must delete policies and access keys first.")
		}
		delete(a.Users, strings.ToLower(u.Name))
		return nil
	})
}

func putUserPolicy(c call) (any, error) {
	return nil, c.alterUser(func(_ *account, u *user) error { return c.putPolicy(&u.Policies, maxUserPolicies, "user "+u.Name) })
}

func deleteUserPolicy(c call) (any, error) {
	return nil, c.alterUser(func(_ *account, u *user) error { return c.dropPolicy(&u.Policies) })
}

type accessKeyXML struct {
	UserName        string
	AccessKeyID     string `xml:"AccessKeyId"`
	Status          string
	SecretAccessKey string `xml:",omitempty"`
	CreateDate      string
}

func createAccessKey(c call) (any, error) {
	var out accessKeyXML
	err := c.alterUser(func(a *account, u *user) error {
		if len(u.Keys) >= maxAccessKeys {
			return refuse(409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
		}
		k := c.s.newKey(a.ID, strings.ToLower(u.Name))
		u.Keys = append(u.Keys, k.ID)
		out = accessKeyXML{u.Name, k.ID, "Active", k.Secret, timestamp(k.Created)}
		return nil
	})
	return struct{ AccessKey accessKeyXML }{out}, err
}

func deleteAccessKey(c call) (any, error) {
	return nil, c.alterUser(func(_ *account, u *user) error {
		id := c.params.get("AccessKeyId")
		at := slices.Index(u.Keys, id)
		if at < 0 {
			return refuse(404, "NoSuchEntity", "The Access Key with id %s cannot be found.", id)
		}
		u.Keys = slices.Delete(u.Keys, at, at+1)
		delete(c.s.state.Keys, id)
		return nil
	})
}

func listAccessKeys(c call) (any, error) {
	var out struct {
		UserName          string
		AccessKeyMetadata members[accessKeyXML]
		IsTruncated       bool
	}
	err := c.read(func(a *account) error {
		u, err := c.user(a)
		if err != nil {
			return err
		}
		out.UserName = u.Name
		for _, id := range u.Keys {
			out.AccessKeyMetadata.Member = append(out.AccessKeyMetadata.Member, accessKeyXML{u.Name, id, "Active", "", timestamp(c.s.state.Keys[id].Created)})
		}
		return nil
	})
	return out, err
}

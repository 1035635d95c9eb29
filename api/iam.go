package api

import (
	"net/http"
	"net/url"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// collections are the paths of the kinds of objects about access.
var collections = map[string]string{
	wire.KindUser: "users", wire.KindServiceAccount: "service-accounts", wire.KindAPIKey: "api-keys", wire.KindRoleBinding: "role-bindings",
}

func iamPath(kind string) string { return "/" + wire.IAM + "/" + collections[kind] }

// iamSelf is where an object about access is.
func (s *Server) iamSelf(r *http.Request, kind, id string) string {
	return s.link(r, iamPath(kind)+"/"+url.PathEscape(id))
}

// iamMeta says where an object about access is and what it is called.
func (s *Server) iamMeta(c *call, kind, id string) wire.AccessMeta {
	return wire.AccessMeta{
		Self:         s.iamSelf(c.Request, kind, id),
		ResourceName: s.crnOrganization(c.Organization) + "/" + singular[kind] + "=" + id,
	}
}

// singular is how resource names call the kinds.
var singular = map[string]string{
	wire.KindUser: "user", wire.KindServiceAccount: "service-account", wire.KindAPIKey: "api-key", wire.KindRoleBinding: "role-binding",
}

// iamPage cuts a page out of all, which is ordered by id. filters are the parameters that the links keep.
func iamPage[T any](s *Server, c *call, kind string, all []T, id func(T) string, filters ...string) ([]T, wire.ListMeta, error) {
	q := c.URL.Query()
	page, err := readPage(q, kind)
	if err != nil {
		return nil, wire.ListMeta{}, err
	}
	link := func(token string) string {
		other := url.Values{}
		for _, name := range append(filters, "page_size") {
			for _, v := range q[name] {
				other.Add(name, v)
			}
		}
		if token != "" {
			other.Set("page_token", token)
		}
		to := iamPath(kind)
		if len(other) > 0 {
			to += "?" + other.Encode()
		}
		return s.link(c.Request, to)
	}
	part, next := cut(page, all, id)
	meta := wire.ListMeta{First: link(""), TotalSize: len(all)}
	if next != "" {
		meta.Next = link(next)
	}
	return append(make([]T, 0, len(part)), part...), meta, nil
}

// administers reports whether the caller may see and change the accounts of others.
func (c *call) administers() bool {
	return c.organization.Permits(c.Principal, integration.OpAccounts, integration.Scope{})
}

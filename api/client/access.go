package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rolebridge/rolebridge/api/wire"
)

// Collections of accounts.
const (
	Users           = "/iam/v2/users"
	ServiceAccounts = "/iam/v2/service-accounts"
)

const (
	apiKeys      = "/iam/v2/api-keys" //nolint:gosec // a path
	roleBindings = "/iam/v2/role-bindings"
)

// Organization returns the caller's organization.
func (c *Client) Organization(ctx context.Context) (o wire.Organization, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: "/rolebridge/v1/organization"}, &o)
	return o, err
}

// Configure changes settings of the caller's organization.
func (c *Client) Configure(ctx context.Context, r wire.OrganizationUpdate) (o wire.Organization, err error) {
	err = c.do(ctx, request{method: http.MethodPatch, path: "/rolebridge/v1/organization", body: r}.once(), &o)
	return o, err
}

// Accounts returns all accounts of a collection, by id.
func (c *Client) Accounts(ctx context.Context, of string) ([]wire.Account, error) {
	return every[wire.Account](ctx, c, of, url.Values{})
}

// CreateAccount makes an account of a collection.
func (c *Client) CreateAccount(ctx context.Context, of string, r wire.AccountRequest) (a wire.Account, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: of, body: r}.once(), &a)
	return a, err
}

// Account returns an account.
func (c *Client) Account(ctx context.Context, of, id string) (a wire.Account, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: of + "/" + url.PathEscape(id)}, &a)
	return a, err
}

// UpdateAccount changes what r names of an account.
func (c *Client) UpdateAccount(ctx context.Context, of, id string, r wire.AccountRequest) (a wire.Account, err error) {
	err = c.do(ctx, request{method: http.MethodPatch, path: of + "/" + url.PathEscape(id), body: r}.once(), &a)
	return a, err
}

// DeleteAccount removes an account with its keys and roles.
func (c *Client) DeleteAccount(ctx context.Context, of, id string) error {
	return c.do(ctx, request{method: http.MethodDelete, path: of + "/" + url.PathEscape(id)}.once(), nil)
}

// CreateAPIKey makes an API key. It is tried once: a second answer could not show the secret again.
func (c *Client) CreateAPIKey(ctx context.Context, r wire.APIKeyRequest) (k wire.APIKey, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: apiKeys, body: r}, &k)
	return k, err
}

// APIKeys returns all API keys, of one account unless that is empty.
func (c *Client) APIKeys(ctx context.Context, account string) ([]wire.APIKey, error) {
	q := url.Values{}
	if account != "" {
		q.Set("spec.owner", account)
	}
	return every[wire.APIKey](ctx, c, apiKeys, q)
}

// APIKey returns an API key.
func (c *Client) APIKey(ctx context.Context, id string) (k wire.APIKey, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: apiKeys + "/" + url.PathEscape(id)}, &k)
	return k, err
}

// DeleteAPIKey takes an API key away.
func (c *Client) DeleteAPIKey(ctx context.Context, id string) error {
	return c.do(ctx, request{method: http.MethodDelete, path: apiKeys + "/" + url.PathEscape(id)}.once(), nil)
}

// CreateRoleBinding gives a role.
func (c *Client) CreateRoleBinding(ctx context.Context, r wire.RoleBindingRequest) (b wire.RoleBinding, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: roleBindings, body: r}.once(), &b)
	return b, err
}

// RoleBindings returns the role bindings of a principal and of a role; an empty one is any.
func (c *Client) RoleBindings(ctx context.Context, principal, role string) ([]wire.RoleBinding, error) {
	q := url.Values{}
	for name, value := range map[string]string{"principal": principal, "role_name": role} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return every[wire.RoleBinding](ctx, c, roleBindings, q)
}

// RoleBinding returns a role binding.
func (c *Client) RoleBinding(ctx context.Context, id string) (b wire.RoleBinding, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: roleBindings + "/" + url.PathEscape(id)}, &b)
	return b, err
}

// DeleteRoleBinding takes a role away.
func (c *Client) DeleteRoleBinding(ctx context.Context, id string) error {
	return c.do(ctx, request{method: http.MethodDelete, path: roleBindings + "/" + url.PathEscape(id)}.once(), nil)
}

package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rolebridge/rolebridge/api/wire"
)

const pim = "/pim/v2/integrations"

func one(id string) string { return pim + "/" + url.PathEscape(id) }

func native(id, rest string) string {
	return "/rolebridge/v1/integrations/" + url.PathEscape(id) + rest
}

func in(environment string) url.Values { return url.Values{"environment": {environment}} }

// Create makes an integration, or without the customer's identity a draft.
func (c *Client) Create(ctx context.Context, r wire.IntegrationRequestV2) (i wire.IntegrationV2, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: pim, body: r}.once(), &i)
	return i, err
}

// Update gives a draft its customer identity.
func (c *Client) Update(ctx context.Context, id string, r wire.IntegrationUpdateV2) (i wire.IntegrationV2, err error) {
	err = c.do(ctx, request{method: http.MethodPatch, path: one(id), body: r}.once(), &i)
	return i, err
}

// Read returns an integration.
func (c *Client) Read(ctx context.Context, environment, id string) (i wire.IntegrationV2, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: one(id), query: in(environment)}, &i)
	return i, err
}

// Delete removes an integration; with force, also one that connectors are bound to.
func (c *Client) Delete(ctx context.Context, environment, id string, force bool) error {
	q := in(environment)
	if force {
		q.Set("force", "true")
	}
	return c.do(ctx, request{method: http.MethodDelete, path: one(id), query: q}.once(), nil)
}

// List returns all integrations of an environment by id, of one provider unless that is empty.
func (c *Client) List(ctx context.Context, environment, provider string) ([]wire.IntegrationV2, error) {
	return every[wire.IntegrationV2](ctx, c, pim, listed(environment, provider))
}

// Count returns how many integrations List would, with one request.
func (c *Client) Count(ctx context.Context, environment, provider string) (int, error) {
	q := listed(environment, provider)
	q.Set("page_size", "1")
	var page wire.IntegrationListV2
	err := c.do(ctx, request{method: http.MethodGet, path: pim, query: q}, &page)
	return page.Metadata.TotalSize, err
}

func listed(environment, provider string) url.Values {
	q := in(environment)
	if provider != "" {
		q.Set("provider", provider)
	}
	return q
}

// mostPages bounds a list: an organization has at most 100,000 integrations.
const mostPages = 1001

// every returns all pages of a list.
func every[T any](ctx context.Context, c *Client, path string, q url.Values) ([]T, error) {
	var all []T
	q.Set("page_size", "100")
	for range mostPages {
		var page struct {
			Metadata wire.ListMeta `json:"metadata"`
			Data     []T           `json:"data"`
		}
		if err := c.do(ctx, request{method: http.MethodGet, path: path, query: q}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if page.Metadata.Next == "" {
			return all, nil
		}
		if err := follow(q, page.Metadata.Next); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the list does not end")
}

// follow asks for the page of a link.
func follow(q url.Values, link string) error {
	next, err := url.Parse(link)
	if err == nil {
		q.Set("page_token", next.Query().Get("page_token"))
	}
	return err
}

// Validate asks for a proof of trust and waits for it up to wait, at most 30 s.
func (c *Client) Validate(ctx context.Context, id string, wait time.Duration) (v wire.Validation, err error) {
	q := url.Values{"wait": {waiting(wait)}}
	err = c.do(ctx, request{method: http.MethodPost, path: native(id, "/validation"), query: q}.once(), &v)
	return v, err
}

// waiting writes a wait as the API reads it.
func waiting(d time.Duration) string { return d.Truncate(time.Millisecond).String() }

// Validation returns what is known about trust, once there is a version later than after, or when wait has passed.
func (c *Client) Validation(ctx context.Context, id string, after int64, wait time.Duration) (v wire.Validation, err error) {
	q := url.Values{}
	if wait > 0 {
		q.Set("after", strconv.FormatInt(after, 10))
		q.Set("wait", waiting(wait))
	}
	err = c.do(ctx, request{method: http.MethodGet, path: native(id, "/validation"), query: q}, &v)
	return v, err
}

// DryRun proves a configuration that is not saved; without one, the saved one.
func (c *Client) DryRun(ctx context.Context, id string, config *wire.ConfigRequest) (d wire.DryRun, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: native(id, "/validation:dry-run"), body: wire.DryRunRequest{Config: config}}, &d)
	return d, err
}

// Bind lets a connector have sessions. It is tried once: a second answer could not show the token again.
func (c *Client) Bind(ctx context.Context, id string, r wire.ConnectorRequest) (b wire.Bound, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: native(id, "/connectors"), body: r}, &b)
	return b, err
}

// RotateToken gives a connector a new token. It is tried once, as Bind is.
func (c *Client) RotateToken(ctx context.Context, id, connector string, r wire.TokenRotationRequest) (b wire.Bound, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: native(id, "/connectors/"+url.PathEscape(connector)+"/token:rotate"), body: r}, &b)
	return b, err
}

// Connector returns what a connector is bound with.
func (c *Client) Connector(ctx context.Context, id, connector string) (w wire.Connector, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: native(id, "/connectors/"+url.PathEscape(connector))}, &w)
	return w, err
}

// Unbind takes a connector's sessions away.
func (c *Client) Unbind(ctx context.Context, id, connector string) error {
	return c.do(ctx, request{method: http.MethodDelete, path: native(id, "/connectors/"+url.PathEscape(connector))}.once(), nil)
}

// Connectors returns what uses an integration, by id.
func (c *Client) Connectors(ctx context.Context, id string) ([]wire.Connector, error) {
	var l wire.ConnectorList
	err := c.do(ctx, request{method: http.MethodGet, path: native(id, "/connectors")}, &l)
	return l.Data, err
}

// Revoke makes all sessions handed out so far unreachable.
func (c *Client) Revoke(ctx context.Context, id string) (r wire.Revocation, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: native(id, "/sessions:revoke")}.once(), &r)
	return r, err
}

// Rotation returns how far the exchange of the external ID has come.
func (c *Client) Rotation(ctx context.Context, id string) (r wire.Rotation, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: native(id, "/rotation")}, &r)
	return r, err
}

// Rotate begins to replace the external ID.
func (c *Client) Rotate(ctx context.Context, id string) (r wire.Rotation, err error) {
	err = c.do(ctx, request{method: http.MethodPost, path: native(id, "/rotation")}.once(), &r)
	return r, err
}

// AbortRotation drops the next external ID, while it is not in use.
func (c *Client) AbortRotation(ctx context.Context, id string) (r wire.Rotation, err error) {
	err = c.do(ctx, request{method: http.MethodDelete, path: native(id, "/rotation")}.once(), &r)
	return r, err
}

// History returns the events of an integration, oldest first. gap says that older ones are kept no longer.
func (c *Client) History(ctx context.Context, id string) (all []wire.Event, gap bool, err error) {
	q := url.Values{"page_size": {"100"}}
	for range mostPages {
		var page wire.EventList
		if err := c.do(ctx, request{method: http.MethodGet, path: native(id, "/events"), query: q}, &page); err != nil {
			return nil, false, err
		}
		all, gap = append(all, page.Data...), gap || page.Metadata.Gap
		if page.Metadata.Next == "" {
			return all, gap, nil
		}
		if err := follow(q, page.Metadata.Next); err != nil {
			return nil, false, err
		}
	}
	return nil, false, errors.New("the history does not end")
}

// Policies returns the documents to paste; the query asks for a connector's permissions, as openapi.yaml says.
func (c *Client) Policies(ctx context.Context, id string, query url.Values) (p wire.Policies, err error) {
	err = c.do(ctx, request{method: http.MethodGet, path: native(id, "/policies"), query: query}, &p)
	return p, err
}

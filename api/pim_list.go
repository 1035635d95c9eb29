package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// list answers one page of an environment's integrations: those of them that the caller may read.
func (p pim) list(c *call) (answer, error) {
	e, err := environment(c)
	if err != nil {
		return answer{}, err
	}
	q := c.URL.Query()
	page, err := readPage(q, integration.IDPrefix)
	if err != nil {
		return answer{}, err
	}
	wanted, err := p.filter(q)
	if err != nil {
		return answer{}, err
	}
	all := slices.DeleteFunc(p.replica.List(c.organization.ID, e), func(i *integration.Integration) bool {
		return !wanted(i) || !c.mayRead(i.Environment, i.ID)
	})
	part, next := cut(page, all, func(i *integration.Integration) string { return string(i.ID) })
	list := wire.List[wire.Integration]{
		APIVersion: p.name(), Kind: wire.KindIntegrationList,
		Metadata: wire.ListMeta{First: p.page(c, q, ""), TotalSize: len(all)},
		Data:     make([]wire.Integration, 0, len(part)),
	}
	if next != "" {
		list.Metadata.Next = p.page(c, q, next)
	}
	for _, i := range part {
		list.Data = append(list.Data, p.object(c, i))
	}
	return answer{status: http.StatusOK, body: list}, nil
}

// page is the link to another page of the same list.
func (p pim) page(c *call, q url.Values, token string) string {
	other := url.Values{}
	for _, name := range []string{"environment", "provider", "display_name", "status", "page_size"} {
		if v := q.Get(name); v != "" {
			other.Set(name, v)
		}
	}
	if token != "" {
		other.Set("page_token", token)
	}
	return p.link(c.Request, p.path()+"?"+other.Encode())
}

// filter makes a condition of the query: provider and status match exactly, the name in part, none of them by case.
func (p pim) filter(q url.Values) (func(*integration.Integration) bool, error) {
	var kind integration.Kind
	if text := q.Get("provider"); text != "" {
		var ok bool
		if kind, ok = integration.KindOf(text); !ok {
			return nil, failParameter("provider", "want aws, gcp or azure")
		}
	}
	var name, status string
	if p.version > 1 {
		name, status = strings.ToLower(q.Get("display_name")), strings.ToUpper(q.Get("status"))
	}
	switch integration.Status(status) {
	case "", integration.StatusDraft, integration.StatusCreated, integration.StatusActive:
	default:
		return nil, failParameter("status", "want DRAFT, CREATED or ACTIVE")
	}
	return func(i *integration.Integration) bool {
		return (kind == "" || i.Config.Kind == kind) && (status == "" || string(i.Status()) == status) &&
			strings.Contains(strings.ToLower(i.Name), name)
	}, nil
}

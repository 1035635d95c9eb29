package api

import (
	"net/http"
	"net/url"
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
	page, err := readPage(q, wire.KindIntegration)
	if err != nil {
		return answer{}, err
	}
	wanted, err := p.filter(q)
	if err != nil {
		return answer{}, err
	}
	part, next, total := p.turn(c, e, page, wanted)
	meta := wire.ListMeta{First: p.page(c, q, ""), TotalSize: total}
	if next != "" {
		meta.Next = p.page(c, q, next)
	}
	if p.version == 1 {
		return answer{status: http.StatusOK, body: wire.IntegrationListV1{
			APIVersion: wire.V1, Kind: wire.KindIntegrationList, Metadata: meta, Data: showAll(c, part, p.first),
		}}, nil
	}
	return answer{status: http.StatusOK, body: wire.IntegrationListV2{
		APIVersion: wire.V2, Kind: wire.KindIntegrationList, Metadata: meta, Data: showAll(c, part, p.second),
	}}, nil
}

// showAll shows the integrations of a page.
func showAll[T any](c *call, part []*integration.Integration, show func(*call, *integration.Integration) T) []T {
	shown := make([]T, len(part))
	for n, i := range part {
		shown[n] = show(c, i)
	}
	return shown
}

// turn returns a page, the token of the next one, and how many there are on all pages. To who may read the whole environment
// and wants no more of some than of others, a page costs the same however many there are.
func (p pim) turn(c *call, e integration.EnvironmentID, at page, wanted filter) (part []*integration.Integration, next string, total int) {
	all := c.organization.Permits(c.Principal, integration.OpRead, integration.Scope{Environment: e})
	counted, from := all && wanted == filter{}, integration.ID("")
	if counted {
		total, from = p.replica.Listed(c.organization.ID, e), integration.ID(at.after)
	}
	for i := range p.replica.List(c.organization.ID, e, from) {
		if !wanted.matches(i) || !all && !c.mayRead(i.Environment, i.ID) {
			continue
		}
		if !counted {
			total++
		}
		switch {
		case string(i.ID) <= at.after:
		case len(part) < at.size:
			part = append(part, i)
		case next == "":
			next = at.token(string(part[len(part)-1].ID))
		}
		if counted && next != "" {
			break
		}
	}
	return part, next, total
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

// filter is what is wanted of a list: provider and status match exactly, the name in part, none of them by case. The zero
// filter wants everything.
type filter struct {
	kind         integration.Kind
	name, status string
}

func (p pim) filter(q url.Values) (f filter, err error) {
	if text := q.Get("provider"); text != "" {
		var ok bool
		if f.kind, ok = integration.KindOf(text); !ok {
			return f, failParameter("provider", "want aws, gcp or azure")
		}
	}
	if p.version > 1 {
		f.name, f.status = strings.ToLower(q.Get("display_name")), strings.ToUpper(q.Get("status"))
	}
	switch integration.Status(f.status) {
	case "", integration.StatusDraft, integration.StatusCreated, integration.StatusActive:
	default:
		return f, failParameter("status", "want DRAFT, CREATED or ACTIVE")
	}
	return f, nil
}

func (f filter) matches(i *integration.Integration) bool {
	return (f.kind == "" || i.Config.Kind == f.kind) && (f.status == "" || string(i.Status()) == f.status) &&
		(f.name == "" || strings.Contains(strings.ToLower(i.Name), f.name))
}

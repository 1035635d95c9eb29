package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// Events are those of all organizations. An [events.Feed] is one.
type Events interface {
	Read(ctx context.Context, o integration.OrganizationID, from int64, most int, wanted func(integration.Event) bool) (events.Stretch, error)
	Wait(ctx context.Context, o integration.OrganizationID, from int64) error
	End(o integration.OrganizationID) (int64, error)
	Since(ctx context.Context, o integration.OrganizationID, at time.Time) (int64, error)
}

var _ Events = (*events.Feed)(nil)

// WithEvents offers histories and the watch of events. Without it they are answered with 501.
func WithEvents(e Events) Option { return func(s *Server) { s.events = e } }

func noEvents() *failure { return fail(codeNotOffered, "this installation shows no events") }

// lookedFor bounds the time that one page of a history takes; it may then be short although more follow.
const lookedFor = 3 * time.Second

// before is how much earlier than its creation an integration's first event is looked for: clocks differ.
const before = time.Minute

// history shows the events of an integration, oldest first, as far back as the topic keeps them.
func (s *Server) history(c *call) (answer, error) {
	if s.events == nil {
		return answer{}, noEvents()
	}
	i, err := s.find(c, integration.ID(c.PathValue("id")), "")
	if err != nil {
		return answer{}, err
	}
	page, err := readPage(c.URL.Query(), eventsOf+string(i.ID))
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(c.Context(), lookedFor)
	defer cancel()
	from, ok := readPlace(page.after)
	if page.after == "" {
		if from, err = s.events.Since(ctx, c.Organization, i.CreatedAt.Add(-before)); err != nil {
			return answer{}, away()
		}
	} else if !ok {
		return answer{}, failParameter("page_token", "want the token of an earlier answer")
	}
	list := wire.EventList{Data: []wire.Event{}}
	for more := true; more && len(list.Data) < page.size; {
		got, err := s.events.Read(ctx, c.Organization, from, page.size-len(list.Data), func(e integration.Event) bool { return e.Integration == i.ID })
		if err != nil && (ctx.Err() == nil || from == 0) {
			return answer{}, away()
		} else if err != nil {
			break
		}
		for _, e := range got.Entries {
			list.Data = append(list.Data, event(e))
		}
		list.Metadata.Gap = list.Metadata.Gap || got.Gap
		from, more = got.Next, !got.End
		if !more {
			return answer{status: http.StatusOK, body: list}, nil
		}
	}
	q := url.Values{"page_size": {strconv.Itoa(page.size)}, "page_token": {page.token(strconv.FormatInt(from, 10))}}
	list.Metadata.Next = s.link(c.Request, c.URL.Path+"?"+q.Encode())
	return answer{status: http.StatusOK, body: list}, nil
}

// eventsOf and the integration's id are the list that a history is.
const eventsOf = "Events/"

// readPlace reads an offset: digits alone.
func readPlace(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err == nil // 63 bits
}

func away() *failure {
	return fail(integration.CodeUnavailable, "the events cannot be read")
}

// kept are fields of events that nobody needs who is not the broker.
var kept = []string{"token_sha256", "token_proof", "tokens_sha256"}

// event shows an event.
func event(e events.Entry) wire.Event {
	out := wire.Event{
		ID: strconv.FormatInt(e.Offset, 10), Type: e.Event.Fact.Type(), Time: e.Event.Time, Integration: string(e.Event.Integration), Version: e.Event.Version,
	}
	if e.Event.Answers != nil {
		out.Command = e.Event.Answers.ID
	}
	text, err := json.Marshal(e.Event.Fact)
	if err == nil {
		err = json.Unmarshal(text, &out.Data)
	}
	if err != nil { // facts are structs
		out.Data = map[string]any{}
	}
	for _, field := range kept {
		delete(out.Data, field)
	}
	return out
}

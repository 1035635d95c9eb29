package apitest

import (
	"context"
	"time"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// history is a control plane's events, as an [events.Feed] has them. It reads a few at a time, so that readers have to go
// on as they would with Kafka.
type history struct{ c *ControlPlane }

// Events are the control plane's.
func (c *ControlPlane) Events() api.Events { return history{c} }

// aFew is how many events are looked at in one read.
const aFew = 7

// Forget drops the first events, as a topic does with the oldest.
func (c *ControlPlane) Forget(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgot = n
}

func (h history) Read(
	_ context.Context, o integration.OrganizationID, from int64, most int, wanted func(integration.Event) bool,
) (s events.Stretch, err error) {
	h.c.mu.Lock()
	if h.c.down != nil {
		h.c.mu.Unlock()
		return s, h.c.down
	}
	all, first := h.c.log, int64(h.c.forgot)
	h.c.mu.Unlock() // wanted may ask the control plane
	end := int64(len(all))
	s.Gap = from < first || from > end
	begin := min(max(from, first), end)
	at := begin
	for ; at < end && at < begin+aFew && len(s.Entries) < most; at++ {
		if e := all[at]; e.Organization == o && wanted(e) {
			s.Entries = append(s.Entries, events.Entry{Offset: at, Event: e})
		}
	}
	s.Next, s.End = at, at >= end
	return s, nil
}

func (h history) Wait(ctx context.Context, _ integration.OrganizationID, from int64) error {
	return h.c.until(ctx, func() bool { return int64(len(h.c.log)) > from })
}

func (h history) End(integration.OrganizationID) (int64, error) {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	return int64(len(h.c.log)), nil
}

func (h history) Since(_ context.Context, _ integration.OrganizationID, at time.Time) (int64, error) {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	for n, e := range h.c.log {
		if !e.Time.Before(at) {
			return int64(n), h.c.down
		}
	}
	return int64(len(h.c.log)), h.c.down
}

package audit

import (
	"context"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// refusal is what makes two refusals equal.
type refusal struct {
	organization integration.OrganizationID
	integration  integration.ID
	connector    integration.ConnectorID
	code         integration.Code
	message      string
}

// login is what makes two failed logins equal.
type login struct {
	organization     integration.OrganizationID
	source, way, key string
	code             integration.Code
}

// foldLogin counts a failed login in the present window.
func (t *Trail) foldLogin(ctx context.Context, a events.Audit, r events.LoginRefused) {
	key := login{a.Organization, r.Source, r.Way, r.Key, r.Code}
	if have, ok := t.logins[key]; ok {
		have.Count++
		return
	}
	if len(t.logins) >= maxRefusals {
		t.endRefusals(ctx)
	}
	r.Count, r.Since = 1, a.Time
	t.logins[key] = &r
}

// maxRefusals bounds the different refusals of one window; a window with more ends early.
const maxRefusals = 10_000

// fold counts a refusal in the present window.
func (t *Trail) fold(ctx context.Context, a events.Audit, r events.CredentialsRefused) {
	key := refusal{a.Organization, a.Integration, r.Connector, r.Code, r.Message}
	if have, ok := t.refusals[key]; ok {
		have.Count++
		return
	}
	if len(t.refusals) >= maxRefusals {
		t.endRefusals(ctx)
	}
	r.Count, r.Since = 1, a.Time
	t.refusals[key] = &r
}

// endRefusals writes the refusals of the window.
func (t *Trail) endRefusals(ctx context.Context) {
	now := time.Now()
	for key, r := range t.refusals {
		t.write(ctx, events.Audit{Organization: key.organization, Integration: key.integration, Time: now, Note: *r}, r.Count)
	}
	clear(t.refusals)
	for key, r := range t.logins {
		t.write(ctx, events.Audit{Organization: key.organization, Time: now, Note: *r}, r.Count)
	}
	clear(t.logins)
}

package creds

import (
	"errors"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// Trail is told who got which session, and who got none. Note must not block.
type Trail interface {
	Note(a events.Audit)
}

// WithTrail tells t of each session that is handed out, once for each binding and replica, and of each refusal; the
// default tells nobody.
func WithTrail(t Trail) Option { return func(o *options) { o.trail = t } }

type noTrail struct{}

func (noTrail) Note(events.Audit) {}

// noteIssued notes that a session was read for the first time.
func (b *Broker) noteIssued(of events.Binding, r Recipe, session *prepared, level Level) {
	b.trail.Note(events.Audit{
		Organization: r.Organization, Integration: r.Integration, Time: time.Now(),
		Note: events.CredentialsIssued{
			Environment: of.Integration.Environment, Connector: r.Connector, SessionName: r.SessionName, ExpiresAt: session.Expires.UTC(),
			Level: string(level), Epoch: r.Epoch,
		},
	})
}

// noteRefused notes that a binding, or nobody known, was given nothing. A caller that went away was not refused.
func (b *Broker) noteRefused(of events.Binding, err error, now time.Time) {
	refusal, ok := errors.AsType[*integration.Refusal](err)
	if !ok {
		return
	}
	a, note := events.Audit{Time: now}, events.CredentialsRefused{Code: refusal.Code, Message: refusal.Message, Count: 1, Since: now}
	if i := of.Integration; i != nil {
		a.Organization, a.Integration = i.Organization, i.ID
		note.Environment, note.Connector = i.Environment, of.Connector
	}
	a.Note = note
	b.trail.Note(a)
}

package events

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

// SourceBroker is the source of audit records, as a CloudEvents attribute; a replica's name may follow.
const SourceBroker = "/rolebridge/broker"

// Audit is one record of the audit topic: who got which credential and who got none, who failed to log in at the api, and
// who asked it for which change. It never holds a secret.
type Audit struct {
	// Organization and Integration are empty when a credential was presented that nobody knows.
	Organization integration.OrganizationID
	Integration  integration.ID
	Time         time.Time
	Note         Note
}

// Note is the content of an [Audit].
type Note interface {
	// Type is the name on the wire, e.g. "credentials.issued".
	Type() string
}

// Notes lists one zero value of every kind of [Note].
func Notes() []Note {
	return []Note{CredentialsIssued{}, CredentialsRefused{}, LoginRefused{}, ChangeAsked{}, AuditDropped{}}
}

// CredentialsIssued says that a connector was given a session by this replica for the first time; reading it again until
// it is renewed adds nothing. The session's name is what the customer finds in the cloud's own audit log.
type CredentialsIssued struct {
	Environment integration.EnvironmentID `json:"environment"`
	Connector   integration.ConnectorID   `json:"connector"`
	SessionName string                    `json:"session_name"`
	ExpiresAt   time.Time                 `json:"expires_at"`
	// Level is where the session came from when it was read: memory, store or cloud.
	Level string `json:"level"`
	Epoch int64  `json:"epoch"`
}

// CredentialsRefused says that a connector, or somebody unknown, was given nothing. Equal refusals that follow each other
// closely are one record.
type CredentialsRefused struct {
	Environment integration.EnvironmentID `json:"environment,omitempty"`
	Connector   integration.ConnectorID   `json:"connector,omitempty"`
	Code        integration.Code          `json:"code"`
	Message     string                    `json:"message"`
	// Count is how many refusals the record stands for, Since the moment of the first; the record's time is when counting
	// ended.
	Count int64     `json:"count"`
	Since time.Time `json:"since"`
}

// LoginRefused says that somebody showed the api credentials that prove nobody. Equal ones that follow each other closely are
// one record. The organization is that of the key, if there is such a key.
type LoginRefused struct {
	// Source is the network that the request came from.
	Source string `json:"source"`
	// Way is key or token.
	Way string `json:"way"`
	// Key is the id that was shown, if some account has a key of that id; what nobody has may be a secret.
	Key   string           `json:"key,omitempty"`
	Code  integration.Code `json:"code"`
	Count int64            `json:"count"`
	Since time.Time        `json:"since"`
}

// ChangeAsked says who asked the api for something else than to read, and the answer. Bodies are not kept: they may hold
// secrets.
type ChangeAsked struct {
	Principal integration.Principal `json:"principal"`
	// Credential is what proved the principal: an API key's id, or the account's token.
	Credential string `json:"credential"`
	Method     string `json:"method"`
	Route      string `json:"route"`
	// Resource is the id in the path, or of what was made.
	Resource string `json:"resource,omitempty"`
	Status   int    `json:"status"`
	// Code is ok, or why not.
	Code    string `json:"code"`
	Request string `json:"request_id"`
	Command string `json:"command_id,omitempty"`
}

// AuditDropped says that the trail has a gap: so many notes of this replica could not be written.
type AuditDropped struct {
	Count int64     `json:"count"`
	Since time.Time `json:"since"`
}

// Type implements [Note].
func (CredentialsIssued) Type() string { return "credentials.issued" }

// Type implements [Note].
func (CredentialsRefused) Type() string { return "credentials.refused" }

// Type implements [Note].
func (LoginRefused) Type() string { return "login.refused" }

// Type implements [Note].
func (ChangeAsked) Type() string { return "change.asked" }

// Type implements [Note].
func (AuditDropped) Type() string { return "audit.dropped" }

// AuditRecord writes an audit record. source is [SourceAPI] or [SourceBroker], or a path below.
func (c *Codec) AuditRecord(source string, a Audit) (*kgo.Record, error) {
	e := event.New()
	e.SetSource(source)
	e.SetID(rand.Text())
	e.SetTime(a.Time)
	if a.Integration != "" {
		e.SetSubject(string(a.Integration))
	}
	return c.record(e, c.topics.Audit(), a.Organization, a.Note)
}

// Audit reads a record of the audit topic, and who wrote it.
func (c *Codec) Audit(r *kgo.Record) (a Audit, source string, err error) {
	e, err := readEnvelope(r)
	if err != nil {
		return Audit{}, "", err
	}
	note, err := c.data(c.notes, e.Type(), e.Data())
	if err != nil {
		return Audit{}, "", err
	}
	kept, ok := note.(Note)
	if !ok {
		return Audit{}, "", fmt.Errorf("%w: %q", ErrUnknownType, e.Type())
	}
	return Audit{
		Organization: integration.OrganizationID(attribute(e, extOrganization)), Integration: integration.ID(e.Subject()),
		Time: e.Time(), Note: kept,
	}, e.Source(), nil
}

package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

// Keys of the state topic open with what they hold: an organization, one of its integrations or accounts, the receipt of a
// command, or the cursor of a partition. Parts are escaped as in a URL's path, so any identifier fits.
const (
	keyOrganization = "organization"
	keyIntegration  = "integration"
	keyAccount      = "account"
	keyReceipt      = "receipt"
	keyCursor       = "cursor"
)

// Cursor says up to where a partition's input topics are decided: the next offset by topic. It is written in the same
// transaction as the decisions, so unlike committed offsets it cannot be lost without them.
type Cursor map[string]int64

func key(parts ...string) []byte {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return []byte(strings.Join(parts, "/"))
}

// OrganizationRecord writes an organization to the state topic.
func (t Topics) OrganizationRecord(o integration.Organization) (*kgo.Record, error) {
	return t.stored(o.ID, o, keyOrganization, string(o.ID))
}

// IntegrationRecord writes an integration to the state topic; nil is its tombstone.
func (t Topics) IntegrationRecord(o integration.OrganizationID, id integration.ID, i *integration.Integration) (*kgo.Record, error) {
	if i == nil {
		return t.stored(o, nil, keyIntegration, string(o), string(id))
	}
	return t.stored(o, i, keyIntegration, string(o), string(id))
}

// AccountRecord writes an account to the state topic; nil is its tombstone.
func (t Topics) AccountRecord(o integration.OrganizationID, p integration.Principal, a *integration.Account) (*kgo.Record, error) {
	if a == nil {
		return t.stored(o, nil, keyAccount, string(o), string(p))
	}
	return t.stored(o, a, keyAccount, string(o), string(p))
}

// ReceiptRecord writes a receipt to the state topic; nil is its tombstone.
func (t Topics) ReceiptRecord(o integration.OrganizationID, a integration.Asker, r *integration.Receipt) (*kgo.Record, error) {
	if r == nil {
		return t.stored(o, nil, keyReceipt, string(o), a.Source, a.ID)
	}
	return t.stored(o, r, keyReceipt, string(o), a.Source, a.ID)
}

// CursorRecord writes a partition's cursor to the state topic.
func (t Topics) CursorRecord(partition int32, c Cursor) (*kgo.Record, error) {
	text, err := json.Marshal(c)
	return &kgo.Record{Topic: t.State(), Partition: partition, Key: []byte(keyCursor), Value: text}, err
}

// StoredRecord writes what s says: one of its aggregates, or a receipt.
func (t Topics) StoredRecord(s Stored) (*kgo.Record, error) {
	switch {
	case s.Organization != nil:
		return t.OrganizationRecord(*s.Organization)
	case s.Integration != nil:
		return t.IntegrationRecord(s.OrganizationID, s.IntegrationID, s.Integration)
	case s.Account != nil:
		return t.AccountRecord(s.OrganizationID, s.AccountID, s.Account)
	case s.Receipt != nil:
		return t.ReceiptRecord(s.OrganizationID, s.Asker, s.Receipt)
	}
	return nil, errStored
}

func (t Topics) stored(o integration.OrganizationID, value any, parts ...string) (*kgo.Record, error) {
	r := &kgo.Record{Topic: t.State(), Partition: t.Home(o), Key: key(parts...)}
	if value == nil {
		return r, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", r.Key, err)
	}
	r.Value = text
	return r, nil
}

// Stored is what one record of the state topic says. Exactly one of Organization, Integration, Account, Receipt and
// Cursor is set; for a tombstone none, and the identifying fields say what is gone.
type Stored struct {
	OrganizationID integration.OrganizationID
	IntegrationID  integration.ID
	AccountID      integration.Principal
	Asker          integration.Asker

	Organization *integration.Organization
	Integration  *integration.Integration
	Account      *integration.Account
	Receipt      *integration.Receipt
	Cursor       Cursor
}

var errStored = errors.New("not a record of the state topic")

// ReadStored reads one record of the state topic.
func ReadStored(r *kgo.Record) (Stored, error) {
	parts := strings.Split(string(r.Key), "/")
	for i, p := range parts {
		var err error
		if parts[i], err = url.PathUnescape(p); err != nil {
			return Stored{}, fmt.Errorf("%w: key %q", errStored, r.Key)
		}
	}
	var s Stored
	var into any
	switch {
	case parts[0] == keyCursor && len(parts) == 1:
		into = &s.Cursor
	case parts[0] == keyOrganization && len(parts) == 2:
		s.OrganizationID = integration.OrganizationID(parts[1])
		into = &s.Organization
	case parts[0] == keyIntegration && len(parts) == 3:
		s.OrganizationID, s.IntegrationID = integration.OrganizationID(parts[1]), integration.ID(parts[2])
		into = &s.Integration
	case parts[0] == keyAccount && len(parts) == 3:
		s.OrganizationID, s.AccountID = integration.OrganizationID(parts[1]), integration.Principal(parts[2])
		into = &s.Account
	case parts[0] == keyReceipt && len(parts) == 4:
		s.OrganizationID = integration.OrganizationID(parts[1])
		s.Asker = integration.Asker{Source: parts[2], ID: parts[3]}
		into = &s.Receipt
	default:
		return Stored{}, fmt.Errorf("%w: key %q", errStored, r.Key)
	}
	if r.Value == nil {
		return s, nil
	}
	if err := json.Unmarshal(r.Value, into); err != nil {
		return Stored{}, fmt.Errorf("state of %s: %w", r.Key, err)
	}
	return s, nil
}

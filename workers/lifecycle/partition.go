package lifecycle

import (
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// partition is the state of one partition: the organizations that live on it and how far its inputs are decided.
// Owned by the worker's loop; between batches it is exactly what is committed.
type partition struct {
	id     int32
	orgs   map[integration.OrganizationID]*integration.State
	cursor events.Cursor
	due    timers
	// answered holds receipts in the order in which they expire, or nearly so.
	answered []expiring
}

type expiring struct {
	at           time.Time
	organization integration.OrganizationID
	asker        integration.Asker
}

func newPartition(id int32) *partition {
	return &partition{id: id, orgs: map[integration.OrganizationID]*integration.State{}, cursor: events.Cursor{}}
}

// org returns the state of an organization; for one that is new, an empty state that is not kept: anybody may name any
// organization in a record.
func (p *partition) org(o integration.OrganizationID) *integration.State {
	if s, ok := p.orgs[o]; ok {
		return s
	}
	return integration.NewState()
}

// own returns the state of an organization to be written to.
func (p *partition) own(o integration.OrganizationID) *integration.State {
	s, ok := p.orgs[o]
	if !ok {
		s = integration.NewState()
		p.orgs[o] = s
	}
	return s
}

// merge takes what was decided about an organization over. What then holds nothing is forgotten.
func (p *partition) merge(o integration.OrganizationID, f *integration.State) {
	s := p.own(o)
	s.Merge(f)
	if s.Empty() {
		delete(p.orgs, o)
	}
}

// load applies one record of the state topic.
func (p *partition) load(r *kgo.Record) error {
	s, err := events.ReadStored(r)
	if err != nil {
		return err
	}
	switch {
	case s.Cursor != nil:
		p.cursor = maps.Clone(s.Cursor)
	case s.OrganizationID == "":
	case s.Asker != (integration.Asker{}):
		if s.Receipt == nil {
			p.own(s.OrganizationID).DropReceipt(s.Asker)
			return nil
		}
		// The key is what was asked; a value could only repeat it.
		s.Receipt.Source, s.Receipt.ID = s.Asker.Source, s.Asker.ID
		p.own(s.OrganizationID).SetReceipt(*s.Receipt)
		p.remember(s.OrganizationID, *s.Receipt)
	case s.IntegrationID != "":
		if s.Integration == nil {
			p.own(s.OrganizationID).RemoveIntegration(s.IntegrationID)
			return nil
		}
		p.own(s.OrganizationID).SetIntegration(*s.Integration)
	case s.AccountID != "":
		if s.Account == nil {
			p.own(s.OrganizationID).RemoveAccount(s.AccountID)
			return nil
		}
		p.own(s.OrganizationID).SetAccount(*s.Account)
	case s.Organization == nil:
		delete(p.orgs, s.OrganizationID)
	default:
		p.own(s.OrganizationID).SetOrganization(*s.Organization)
	}
	return nil
}

func (p *partition) remember(o integration.OrganizationID, r integration.Receipt) {
	p.answered = append(p.answered, expiring{
		at: r.At.Add(integration.ReceiptLife), organization: o, asker: integration.Asker{Source: r.Source, ID: r.ID},
	})
}

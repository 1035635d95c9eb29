package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// Replica is the state in memory, with the answers to commands. An [events.Table] with receipts is one.
type Replica interface {
	Ready() <-chan struct{}
	Organization(integration.OrganizationID) (*integration.Organization, bool)
	Integration(integration.ID) (*integration.Integration, bool)
	List(o integration.OrganizationID, e integration.EnvironmentID, after integration.ID) iter.Seq[*integration.Integration]
	Listed(integration.OrganizationID, integration.EnvironmentID) int
	Answer(integration.OrganizationID, integration.Asker) (integration.Receipt, bool)
	WaitAnswer(context.Context, integration.OrganizationID, integration.Asker) (integration.Receipt, error)
	WaitUntil(ctx context.Context, id integration.ID, done func(*integration.Integration) bool) error
	Used(integration.OrganizationID) int
	Account(integration.OrganizationID, integration.Principal) (*integration.Account, bool)
	Accounts(integration.OrganizationID) []*integration.Account
	KeyOwners(integration.KeyID) []*integration.Account
	TokenOwners(events.TokenHolder) []*integration.Account
}

var _ Replica = (*events.Table)(nil)

// Commands takes commands for the decider. Send returns nil once the command is safe, and a [integration.Refusal]
// otherwise; it does so within a bound of its own, and a command that it refused may still be decided.
type Commands interface {
	Send(context.Context, integration.Command) error
}

// headerKey makes a write safe to repeat: the same key, principal and request is one command.
const headerKey = "Idempotency-Key"

// change asks for a change and returns the decision. check looks whether it is worth asking; it is not called when the
// very same request was answered before, so that a client that lost the answer to a deletion gets it again.
func (s *Server) change(c *call, ask integration.Ask, check func() error) (r integration.Receipt, command string, err error) {
	cmd, err := c.command(ask)
	if err != nil {
		return r, "", err
	}
	asker := integration.Asker{Source: cmd.Source, ID: cmd.ID}
	r, known := s.replica.Answer(cmd.Organization, asker)
	if !known {
		if err := check(); err != nil {
			return r, "", err
		}
		c.sent = cmd.ID
		if err := s.commands.Send(c.Context(), cmd); err != nil {
			return r, cmd.ID, err
		}
		ctx, cancel := context.WithTimeout(c.Context(), s.config.AnswerWithin)
		defer cancel()
		switch r, err = s.replica.WaitAnswer(ctx, cmd.Organization, asker); {
		case err != nil && c.Context().Err() != nil:
			return r, cmd.ID, context.Canceled
		case errors.Is(err, context.DeadlineExceeded):
			return r, cmd.ID, fail(integration.CodeTimeout, "command %s has no answer yet; it may still be decided", cmd.ID)
		case err != nil:
			return r, cmd.ID, err
		}
	}
	switch {
	case r.Digest != cmd.Digest:
		return r, cmd.ID, fail(integration.CodeConflict, "the %s was used for another request", headerKey)
	case r.Refusal != nil:
		return r, cmd.ID, r.Refusal
	}
	return r, cmd.ID, nil
}

// alter asks for a change of an integration that the caller may read; an empty environment is any.
func (s *Server) alter(c *call, ask integration.Ask, e integration.EnvironmentID) (integration.Receipt, string, error) {
	return s.change(c, ask, func() error {
		_, err := s.find(c, ask.About(), e)
		return err
	})
}

// altered asks for a change of an integration that the caller may read, and returns it as it is then.
func (s *Server) altered(c *call, ask integration.Ask) (i *integration.Integration, command string, err error) {
	r, command, err := s.alter(c, ask, "")
	if err != nil {
		return nil, command, err
	}
	i, err = s.changed(c, r)
	return i, command, err
}

// command makes a command of an ask.
func (c *call) command(ask integration.Ask) (integration.Command, error) {
	cmd := integration.Command{
		Source: events.SourceAPI, ID: "r." + c.id, Organization: c.organization.ID, Actor: c.Principal, Time: time.Now(), Ask: ask,
	}
	if keys, given := c.Header[http.CanonicalHeaderKey(headerKey)]; given {
		key := strings.Join(keys, ",")
		if key == "" || len(key) > 255 {
			return cmd, failParameter(headerKey, "want 1 to 255 characters")
		}
		// Hashed, so that any key will do as an attribute of a CloudEvent; with the principal, so that nobody finds
		// another's command.
		sum := sha256.Sum256([]byte(string(c.Principal) + "\n" + key))
		cmd.ID = "k." + hex.EncodeToString(sum[:])
	}
	var err error
	cmd.Digest, err = events.Digest(cmd)
	return cmd, err
}

// changed returns the integration that a decision was about.
func (s *Server) changed(c *call, r integration.Receipt) (*integration.Integration, error) {
	i, ok := s.replica.Integration(r.Integration)
	if !ok || i.Organization != r.Organization || i.Deleting() || !c.mayRead(i.Environment, i.ID) {
		return nil, noIntegration(r.Integration) // a repeated request; since then it was deleted, or a role was taken away
	}
	return i, nil
}

// mapped waits, within the bound, until the platform's identity is made or could not be made, and returns the
// integration as it is then.
func (s *Server) mapped(ctx context.Context, c *call, r integration.Receipt) (*integration.Integration, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.MappedWithin)
	defer cancel()
	// Out of time is fine: the identity is empty then, and a later read has it.
	_ = s.replica.WaitUntil(ctx, r.Integration, func(i *integration.Integration) bool {
		return i == nil || i.Mapping.Status != integration.MappingRequested
	})
	return s.changed(c, r)
}

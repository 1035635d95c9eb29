package api

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// tokenPrefix lets scanners of source code and logs find tokens that leaked.
const tokenPrefix = "rbc_"

// newToken makes a connector's token of 256 random bits.
func newToken() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
}

// bind lets a connector have sessions and shows its token, once. A repeated request cannot be given the token again: it
// is refused, and the way out is to rotate the token.
func (s *Server) bind(c *call) (answer, error) {
	var body wire.ConnectorRequest
	if err := s.bodies.read(c.Request, bodyConnector, &body); err != nil {
		return answer{}, err
	}
	id, connector := integration.ID(c.PathValue("id")), integration.ConnectorID(body.Connector)
	ask := integration.Bind{Integration: id, Connector: connector, Terms: integration.Terms{
		Workloads: body.Workloads, Resources: body.Resources, SourceIdentity: body.SourceIdentity,
	}}
	token := ""
	if with := body.Token; with == nil && len(body.Workloads) == 0 || with != nil && *with {
		token = newToken()
		ask.TokenClaim = integration.ClaimToken(c.organization.ID, id, connector, token)
	} else if len(body.Workloads) == 0 {
		return answer{}, &integration.Refusal{Code: integration.CodeInvalid, Field: "/token", Message: "a connector needs a token or a workload identity"}
	}
	ask.ExpiresAt = body.TokenExpiresAt
	a, err := s.withToken(c, ask, connector, token)
	a.status = http.StatusCreated
	a.location = s.link(c.Request, "/rolebridge/v1/integrations/"+url.PathEscape(string(id))+"/connectors/"+url.PathEscape(string(connector)))
	return a, err
}

// rotateToken gives a connector a new token and shows it, once. Whoever loses the answer rotates again.
func (s *Server) rotateToken(c *call) (answer, error) {
	var body wire.TokenRotationRequest
	if err := s.bodies.read(c.Request, bodyRotation, &body); err != nil {
		return answer{}, err
	}
	id, connector := integration.ID(c.PathValue("id")), integration.ConnectorID(c.PathValue("connector"))
	token := newToken()
	ask := integration.RotateToken{
		Integration: id, Connector: connector, TokenClaim: integration.ClaimToken(c.organization.ID, id, connector, token), Overlap: body.OverlapSeconds,
	}
	ask.ExpiresAt = body.TokenExpiresAt
	return s.withToken(c, ask, connector, token)
}

// withToken makes a change that brings a connector a token, and shows the connector with it.
func (s *Server) withToken(c *call, ask integration.Ask, connector integration.ConnectorID, token string) (answer, error) {
	i, command, err := s.altered(c, ask)
	if err != nil {
		return answer{command: command}, err
	}
	b := s.connector(i, connector)
	return answer{status: http.StatusOK, command: command, body: wire.Bound{
		Connector: b.Connector, Integration: b.Integration, ResourceName: b.ResourceName, BoundAt: b.BoundAt, BoundBy: b.BoundBy,
		Tokens: b.Tokens, Workloads: b.Workloads, Resources: b.Resources, SourceIdentity: b.SourceIdentity,
		Token: token, CredentialsURL: s.config.CredentialsURL,
	}}, nil
}

// readConnector shows one connector.
func (s *Server) readConnector(c *call) (answer, error) {
	i, err := s.find(c, integration.ID(c.PathValue("id")), "")
	if err != nil {
		return answer{}, err
	}
	connector := integration.ConnectorID(c.PathValue("connector"))
	if _, bound := i.Connectors[connector]; !bound {
		return answer{}, fail(integration.CodeNotFound, "%s is not bound to %s", connector, i.ID)
	}
	return answer{status: http.StatusOK, body: s.connector(i, connector)}, nil
}

// listConnectors shows what uses an integration. One has at most [integration.MaxConnectors], so there are no pages.
func (s *Server) listConnectors(c *call) (answer, error) {
	i, err := s.find(c, integration.ID(c.PathValue("id")), "")
	if err != nil {
		return answer{}, err
	}
	list := wire.ConnectorList{Data: make([]wire.Connector, 0, len(i.Connectors))}
	for _, name := range slices.Sorted(maps.Keys(i.Connectors)) {
		list.Data = append(list.Data, s.connector(i, name))
	}
	return answer{status: http.StatusOK, body: list}, nil
}

// unbind takes a connector's sessions away.
func (s *Server) unbind(c *call) (answer, error) {
	ask := integration.Unbind{Integration: integration.ID(c.PathValue("id")), Connector: integration.ConnectorID(c.PathValue("connector"))}
	_, command, err := s.alter(c, ask, "")
	return answer{status: http.StatusNoContent, command: command}, err
}

func (s *Server) connector(i *integration.Integration, name integration.ConnectorID) wire.Connector {
	b := i.Connectors[name]
	out := wire.Connector{
		Connector: string(name), Integration: string(i.ID), ResourceName: s.connectorCRN(i, name),
		BoundAt: b.BoundAt, BoundBy: string(b.BoundBy), Tokens: make([]wire.Token, 0, len(b.Tokens)),
		Workloads: b.Workloads, Resources: b.Resources, SourceIdentity: b.SourceIdentity,
	}
	for _, t := range b.Tokens {
		out.Tokens = append(out.Tokens, wire.Token{AddedAt: t.AddedAt, ExpiresAt: t.ExpiresAt})
	}
	return out
}

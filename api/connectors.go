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
// is refused, and the way out is to unbind and bind.
func (s *Server) bind(c *call) (answer, error) {
	var body wire.ConnectorRequest
	if err := s.bodies.read(c.Request, bodyConnector, &body); err != nil {
		return answer{}, err
	}
	id, connector := integration.ID(c.PathValue("id")), integration.ConnectorID(body.Connector)
	token := newToken()
	claim := integration.ClaimToken(c.organization.ID, id, connector, token)
	r, command, err := s.change(c, integration.Bind{Integration: id, Connector: connector, TokenClaim: claim}, func() error {
		_, err := s.find(c, id, "")
		return err
	})
	if err != nil {
		return answer{command: command}, err
	}
	i, err := s.changed(c, r)
	if err != nil {
		return answer{command: command}, err
	}
	return answer{
		status: http.StatusCreated, command: command,
		body:     wire.Bound{Connector: s.connector(i, connector), Token: token, CredentialsURL: s.config.CredentialsURL},
		location: s.link(c.Request, "/rolebridge/v1/integrations/"+url.PathEscape(string(id))+"/connectors/"+url.PathEscape(string(connector))),
	}, nil
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
	id := integration.ID(c.PathValue("id"))
	ask := integration.Unbind{Integration: id, Connector: integration.ConnectorID(c.PathValue("connector"))}
	_, command, err := s.change(c, ask, func() error {
		_, err := s.find(c, id, "")
		return err
	})
	return answer{status: http.StatusNoContent, command: command}, err
}

func (s *Server) connector(i *integration.Integration, name integration.ConnectorID) wire.Connector {
	b := i.Connectors[name]
	return wire.Connector{
		Connector: string(name), Integration: string(i.ID), ResourceName: s.connectorCRN(i, name),
		BoundAt: b.BoundAt, BoundBy: string(b.BoundBy),
	}
}

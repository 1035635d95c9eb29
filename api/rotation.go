package api

import (
	"encoding/json"
	"net/http"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// readRotation shows how far the exchange of an external ID has come, and the trust policy that is to be set now.
func (s *Server) readRotation(c *call) (answer, error) {
	i, err := s.find(c, integration.ID(c.PathValue("id")), "")
	if err != nil {
		return answer{}, err
	}
	return rotationOf(i, http.StatusOK, "")
}

// rotate begins to replace the external ID.
func (s *Server) rotate(c *call) (answer, error) {
	a, err := s.turn(c, integration.RotateExternalID{Integration: integration.ID(c.PathValue("id"))}, http.StatusCreated)
	if err == nil {
		a.location = s.link(c.Request, c.URL.EscapedPath())
	}
	return a, err
}

// abortRotation drops the next external ID, while it is not in use.
func (s *Server) abortRotation(c *call) (answer, error) {
	return s.turn(c, integration.AbortRotation{Integration: integration.ID(c.PathValue("id"))}, http.StatusOK)
}

func (s *Server) turn(c *call, ask integration.Ask, status int) (answer, error) {
	i, command, err := s.altered(c, ask)
	if err != nil {
		return answer{command: command}, err
	}
	return rotationOf(i, status, command)
}

func rotationOf(i *integration.Integration, status int, command string) (answer, error) {
	out := wire.Rotation{
		Integration: string(i.ID), Version: i.Version, Phase: wire.RotationNone, ExternalID: i.ExternalID,
		NextExternalID: i.NextExternalID(), FormerExternalID: i.FormerExternalID(),
	}
	if n := i.Rotation; n != nil {
		out.Phase, out.StartedAt, out.Since = string(n.Phase), n.StartedAt, n.Since
		out.AdmittedSince, out.RefusedSince = n.AdmittedSince, n.RefusedSince
	}
	if i.Config.Kind == integration.KindAWS && i.Mapping.Platform != "" {
		document, err := policy.FinalTrust(i.Mapping.Platform, i.AcceptedExternalIDs()...)
		if err != nil {
			return answer{}, err // both are ours
		}
		out.TrustPolicy = json.RawMessage(document.JSON())
	}
	return answer{status: status, body: out, command: command}, nil
}

package api

import (
	"net/http"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// readOrganization shows the caller's organization: its limit, how much of it is used, and its settings.
func (s *Server) readOrganization(c *call) (answer, error) {
	return answer{status: http.StatusOK, body: s.showOrganization(c.organization)}, nil
}

// configure changes settings of the caller's organization; what is absent stays. Its quota is the platform's to set.
func (s *Server) configure(c *call) (answer, error) {
	var body wire.OrganizationUpdate
	if err := s.bodies.read(c.Request, bodyOrganization, &body); err != nil {
		return answer{}, err
	}
	_, command, err := s.change(c, integration.ConfigureOrganization{
		IntegrationQuota: body.IntegrationQuota, InsecureRoles: integration.InsecureRoles(body.InsecureRoles),
	}, func() error { return nil })
	if err != nil {
		return answer{command: command}, err
	}
	o, ok := s.replica.Organization(c.Organization)
	if !ok {
		o = c.organization
	}
	return answer{status: http.StatusOK, body: s.showOrganization(o), command: command}, nil
}

func (s *Server) showOrganization(o *integration.Organization) wire.Organization {
	return wire.Organization{
		ID: string(o.ID), ResourceName: s.crnOrganization(o.ID), Version: o.Version,
		IntegrationQuota: o.Quota, Integrations: s.replica.Used(o.ID), InsecureRoles: string(o.InsecureRoles),
	}
}

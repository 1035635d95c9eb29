package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// pim is one version of the provider-integration API.
type pim struct {
	*Server
	version int
}

func (p pim) path() string { return fmt.Sprintf("/pim/v%d/integrations", p.version) }

// self is the URL of an integration.
func (p pim) self(r *http.Request, environment integration.EnvironmentID, id integration.ID) string {
	return p.link(r, p.path()+"/"+url.PathEscape(string(id))+"?"+url.Values{"environment": {string(environment)}}.Encode())
}

// environment returns the environment parameter, which clients always send.
func environment(c *call) (integration.EnvironmentID, error) {
	e := c.URL.Query().Get("environment")
	if e == "" {
		return "", failParameter("environment", "is missing")
	}
	return integration.EnvironmentID(e), nil
}

func (p pim) read(c *call) (answer, error) {
	e, err := environment(c)
	if err != nil {
		return answer{}, err
	}
	i, err := p.find(c, integration.ID(c.PathValue("id")), e)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: p.object(c, i)}, nil
}

// delete removes an integration; with force=true also one that connectors are bound to.
func (p pim) delete(c *call) (answer, error) {
	e, err := environment(c)
	if err != nil {
		return answer{}, err
	}
	force, err := flag(c, "force")
	if err != nil {
		return answer{}, err
	}
	_, command, err := p.alter(c, integration.Delete{Integration: integration.ID(c.PathValue("id")), Force: force}, e)
	return answer{status: http.StatusNoContent, command: command}, err
}

// flag reads a parameter that is true or false.
func flag(c *call, name string) (bool, error) {
	switch c.URL.Query().Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, failParameter(name, "want true or false")
}

// object shows an integration to a client of this version: the first has no status and no trust.
func (p pim) object(c *call, i *integration.Integration) any {
	if p.version == 1 {
		return p.first(c, i)
	}
	return p.second(c, i)
}

func (p pim) first(c *call, i *integration.Integration) wire.IntegrationV1 {
	return wire.IntegrationV1{
		APIVersion: wire.V1, Kind: wire.KindIntegration, ID: string(i.ID), DisplayName: i.Name,
		Provider: i.Config.Kind.Provider(), Config: shown(i), Usages: p.usages(i),
		Environment: wire.EnvironmentV1{
			ID: string(i.Environment), Related: p.ofEnvironment(c, i.Environment), ResourceName: p.crn(i.Organization, i.Environment),
		},
	}
}

func (p pim) second(c *call, i *integration.Integration) wire.IntegrationV2 {
	return wire.IntegrationV2{
		APIVersion: wire.V2, Kind: wire.KindIntegration, ID: string(i.ID), DisplayName: i.Name,
		Provider: i.Config.Kind.Provider(), Config: shown(i), Usages: p.usages(i), Status: string(i.Status()), Trust: i.Trust.Status,
		Environment: wire.EnvironmentV2{
			ID: string(i.Environment), Related: p.ofEnvironment(c, i.Environment), ResourceName: p.crn(i.Organization, i.Environment),
			Environment: string(i.Environment), APIVersion: "org/v2", Kind: wire.KindEnvironment,
		},
	}
}

// ofEnvironment is where what there is of an environment can be read: its integrations. Environments themselves are no
// resources here.
func (p pim) ofEnvironment(c *call, e integration.EnvironmentID) string {
	return p.link(c.Request, p.path()+"?"+url.Values{"environment": {string(e)}}.Encode())
}

// shown is the configuration, all fields of its kind present.
func shown(i *integration.Integration) wire.Config {
	c := wire.Config{Kind: string(i.Config.Kind)}
	switch i.Config.Kind {
	case integration.KindAWS:
		c.IAMRoleARN, c.ExternalID, c.CustomerIAMRoleARN = &i.Mapping.Platform, &i.ExternalID, &i.Config.Customer
	case integration.KindGCP:
		c.GoogleServiceAccount, c.CustomerGoogleServiceAccount = &i.Mapping.Platform, &i.Config.Customer
	case integration.KindAzure:
		c.MultiTenantAppID, c.CustomerAzureTenantID = &i.Mapping.Platform, &i.Config.Customer
	}
	return c
}

// usages are the connectors' resource names, in order.
func (s *Server) usages(i *integration.Integration) []string {
	names := make([]string, 0, len(i.Connectors))
	for c := range i.Connectors {
		names = append(names, s.connectorCRN(i, c))
	}
	slices.Sort(names)
	return names
}

// crn is a resource name: crn://AUTHORITY/organization=…/environment=…, then pairs of a kind and an id.
func (s *Server) crn(o integration.OrganizationID, e integration.EnvironmentID, pairs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "crn://%s/organization=%s/environment=%s", s.config.Authority, o, e)
	for n := 0; n+1 < len(pairs); n += 2 {
		fmt.Fprintf(&b, "/%s=%s", pairs[n], pairs[n+1])
	}
	return b.String()
}

func (s *Server) connectorCRN(i *integration.Integration, c integration.ConnectorID) string {
	return s.crn(i.Organization, i.Environment, "provider-integration", string(i.ID), "connector", string(c))
}

package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// unnamed is the name of an integration that v2 clients create without one.
const unnamed = "provider-integration"

func (p pim) create(c *call) (answer, error) {
	schema := bodyCreateV1
	if p.version > 1 {
		schema = bodyCreateV2
	}
	var body wire.IntegrationRequestV2
	if err := p.bodies.read(c.Request, schema, &body); err != nil {
		return answer{}, err
	}
	ask, err := p.creation(body)
	if err != nil {
		return answer{}, err
	}
	r, command, err := p.change(c, ask, func() error { return nil })
	if err != nil {
		return answer{command: command}, p.withLocation(c, ask, err)
	}
	i, err := p.mapped(c.Context(), c, r)
	if err != nil {
		return answer{command: command}, err
	}
	return answer{
		status: http.StatusCreated, body: p.object(c, i), location: p.self(c.Request, i.Environment, i.ID), command: command,
	}, nil
}

// creation makes a command of a body. V2 needs no more than an environment: the rest of a draft can be assumed.
func (p pim) creation(body wire.IntegrationRequestV2) (integration.Create, error) {
	ask := integration.Create{Environment: integration.EnvironmentID(body.Environment.ID), Name: body.DisplayName}
	if p.version > 1 && ask.Name == "" {
		ask.Name = unnamed
	}
	var kind integration.Kind
	if body.Provider != "" {
		var ok bool
		if kind, ok = integration.KindOf(body.Provider); !ok || p.version == 1 && kind != integration.KindAWS {
			return ask, failField("/provider", "want %s", map[bool]string{true: "aws; v2 has other clouds too", false: "aws, gcp or azure"}[p.version == 1])
		}
	}
	var err error
	if ask.Config, err = configuration(kind, body.Config); err != nil {
		return ask, err
	}
	if p.version == 1 && ask.Config.Draft() {
		return ask, failField("/config/"+ask.Config.Kind.CustomerField(), "is missing; v2 makes drafts without it")
	}
	return ask, nil
}

// configuration reads a configuration. What it does not say follows from the cloud, and that is AWS when nobody named one.
func configuration(cloud integration.Kind, c *wire.ConfigRequest) (integration.Config, error) {
	if c == nil {
		c = &wire.ConfigRequest{}
	}
	kind := integration.Kind(c.Kind)
	for _, version := range []string{"pim.v1.", "pim.v2."} {
		kind = integration.Kind(strings.TrimPrefix(string(kind), version)) // the SDK writes either
	}
	switch {
	case kind == "" && cloud == "":
		kind = integration.KindAWS
	case kind == "":
		kind = cloud
	case kind.Provider() == "":
		return integration.Config{}, failField("/config/kind", "want %s, %s or %s", integration.KindAWS, integration.KindGCP, integration.KindAzure)
	case cloud != "" && kind != cloud:
		return integration.Config{}, failField("/config/kind", "does not belong to provider %s", cloud.Provider())
	}
	out := integration.Config{Kind: kind}
	for field, value := range map[string]string{
		integration.KindAWS.CustomerField():   c.CustomerIAMRoleARN,
		integration.KindGCP.CustomerField():   c.CustomerGoogleServiceAccount,
		integration.KindAzure.CustomerField(): c.CustomerAzureTenantID,
	} {
		switch {
		case field == kind.CustomerField():
			out.Customer = value
		case value != "":
			return out, failField("/config/"+field, "does not belong to %s", kind)
		}
	}
	return out, nil
}

// withLocation says where the integration is that has the customer's identity already.
func (p pim) withLocation(c *call, ask integration.Create, err error) error {
	if r, ok := errors.AsType[*integration.Refusal](err); !ok || r.Code != integration.CodeExists {
		return err
	}
	f := failed(err)
	for i := range p.replica.List(c.organization.ID, ask.Environment, "") {
		if i.Config == ask.Config && c.mayRead(i.Environment, i.ID) {
			f.location = p.self(c.Request, i.Environment, i.ID)
			break
		}
	}
	return f
}

package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// update gives a draft its customer identity.
func (p pim) update(c *call) (answer, error) {
	var body wire.IntegrationUpdateV2
	if err := p.bodies.read(c.Request, bodyUpdateV2, &body); err != nil {
		return answer{}, err
	}
	id := integration.ID(c.PathValue("id"))
	ask := integration.Update{Integration: id}
	var err error
	// Without a kind, the draft's own cloud is meant.
	var cloud integration.Kind
	if i, found := p.replica.Integration(id); found && body.Config.Kind == "" {
		cloud = i.Config.Kind
	}
	if ask.Config, err = configuration(cloud, &body.Config); err != nil {
		return answer{}, err
	}
	r, command, err := p.alter(c, ask, integration.EnvironmentID(body.Environment.ID))
	if err != nil {
		return answer{command: command}, err
	}
	i, err := p.mapped(c.Context(), c, r)
	if err != nil {
		return answer{command: command}, err
	}
	return answer{status: http.StatusOK, body: p.object(c, i), command: command}, nil
}

// validate proves trust now: 204 when it is valid, 400 with a fault for each check that failed. The configuration in the
// body is only looked at: clients send one with every refresh, also for what is a draft no longer.
func (p pim) validate(c *call) (answer, error) {
	var body wire.IntegrationValidateRequest
	if err := p.bodies.read(c.Request, bodyValidate, &body); err != nil {
		return answer{}, err
	}
	if body.Config != nil {
		if _, err := configuration("", body.Config); err != nil {
			return answer{}, inRequest(err)
		}
	}
	if err := p.enabled(c, integration.ID(body.ID), integration.EnvironmentID(body.Environment.ID)); err != nil {
		return answer{}, err
	}
	i, command, err := p.prove(c, integration.ID(body.ID), integration.EnvironmentID(body.Environment.ID), p.config.ProvedWithin)
	if err != nil {
		return answer{command: command}, inRequest(err)
	}
	if !settled(i) {
		return answer{command: command}, fail(codeTrust, "trust is being proved and is %s so far", i.Trust.Status)
	}
	if i.Trust.Status == integration.TrustValid {
		return answer{status: http.StatusNoContent, command: command}, nil
	}
	return answer{command: command}, unproved(i)
}

// enabled says plainly when an integration is of a cloud that the platform does not offer: asking for a proof is no use.
func (p pim) enabled(c *call, id integration.ID, environment integration.EnvironmentID) error {
	i, err := p.find(c, id, environment)
	if err != nil || i.Mapping.Status != integration.MappingFailed || i.Mapping.Reason != integration.ReasonCloudNotEnabled {
		return err
	}
	if !c.organization.Permits(c.Principal, integration.OpValidate, integration.Scope{Environment: i.Environment, Integration: i.ID}) {
		return fail(integration.CodeDenied, "%s may not %s integration %s", c.Principal, integration.OpValidate, i.ID)
	}
	return fail(codeCloud, "this platform does not have %s enabled, so trust cannot be validated", i.Config.Kind.Provider())
}

// inRequest answers with 400 what the validation of v2 has no other status for.
func inRequest(err error) error {
	f := failed(err)
	switch f.code {
	case integration.CodeInvalid, integration.CodeConflict:
		f.status = http.StatusBadRequest
	}
	return f
}

// unproved says why trust is not valid.
func unproved(i *integration.Integration) *failure {
	f := &failure{code: codeTrust}
	if i.Mapping.Status != integration.MappingReady {
		f.faults = append(f.faults, fault{detail: fmt.Sprintf("the platform's identity is %s: %s", i.Mapping.Status, i.Mapping.Reason)})
	} else if i.Trust.Report != nil {
		for _, check := range i.Trust.Report.Checks {
			if check.Outcome == integration.Fail || check.Outcome == integration.Errored {
				text := []string{fmt.Sprintf("%s: %s", check.Name, check.Outcome)}
				for _, more := range []string{check.Reason, check.Detail, check.Remedy} {
					if more != "" {
						text = append(text, more)
					}
				}
				f.faults = append(f.faults, fault{detail: strings.Join(text, ": ")})
			}
		}
	}
	if len(f.faults) == 0 {
		f.faults = []fault{{detail: fmt.Sprintf("trust is %s", i.Trust.Status)}}
	}
	return f
}

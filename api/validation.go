package api

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// report shows what is known about trust. With wait, it waits for a version later than after, so that nobody has to poll.
func (s *Server) report(c *call) (answer, error) {
	i, err := s.find(c, integration.ID(c.PathValue("id")), "")
	if err != nil {
		return answer{}, err
	}
	wait, err := waitFor(c, 0)
	if err != nil {
		return answer{}, err
	}
	after := i.Version - 1
	if text := c.URL.Query().Get("after"); text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil {
			return answer{}, failParameter("after", "want a version")
		}
	}
	ctx, cancel := context.WithTimeout(c.Context(), wait)
	defer cancel()
	_ = s.replica.WaitUntil(ctx, i.ID, func(i *integration.Integration) bool { return i == nil || i.Version > after })
	if i, err = s.find(c, i.ID, ""); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: s.validation(c, i)}, nil
}

// validate asks for a proof of trust: 200 with the report when it is there within the wait, else 202.
func (s *Server) validate(c *call) (answer, error) {
	wait, err := waitFor(c, s.config.ProvedWithin)
	if err != nil {
		return answer{}, err
	}
	i, command, err := s.prove(c, integration.ID(c.PathValue("id")), "", wait)
	if err != nil {
		return answer{command: command}, err
	}
	status := http.StatusOK
	if !settled(i) {
		status = http.StatusAccepted
	}
	return answer{status: status, body: s.validation(c, i), command: command}, nil
}

// prove asks for a proof of trust and waits for it; out of time is no error.
func (s *Server) prove(c *call, id integration.ID, e integration.EnvironmentID, wait time.Duration) (*integration.Integration, string, error) {
	r, command, err := s.alter(c, integration.Validate{Integration: id}, e)
	if err != nil {
		return nil, command, err
	}
	ctx, cancel := context.WithTimeout(c.Context(), wait)
	defer cancel()
	_ = s.replica.WaitUntil(ctx, r.Integration, func(i *integration.Integration) bool { return i == nil || settled(i) })
	i, err := s.changed(c, r)
	return i, command, err
}

// settled reports whether no worker is at it. The request for a proof is written in the same transaction as what caused
// it (the decision on the command, the mapping's report), so there is no moment in between that looks settled.
func settled(i *integration.Integration) bool {
	done := i.Mapping.Status == integration.MappingFailed || i.Mapping.Status == integration.MappingReady
	return done && !i.Trust.Asked
}

func (s *Server) validation(c *call, i *integration.Integration) wire.Validation {
	v := wire.Validation{
		Integration: string(i.ID), Version: i.Version, Status: string(i.Status()), Settled: settled(i),
		Mapping: wire.Mapping{Status: i.Mapping.Status, Platform: i.Mapping.Platform, Reason: i.Mapping.Reason},
		Trust:   wire.Trust{Status: i.Trust.Status, LastValid: i.Trust.LastValid, Report: i.Trust.Report, History: i.Trust.History},
	}
	if refused := i.CredentialsAllowed(*c.organization); refused != nil {
		v.Credentials.Reason = refused.Message
	} else {
		v.Credentials.Allowed = true
	}
	return v
}

// waits is what openapi.yaml says of the parameter wait.
var waits = regexp.MustCompile(`^((([0-9]|[12][0-9])(\.[0-9]{1,9})?|30)s?|[12]?[0-9]{1,4}ms)?$`)

// waitFor reads how long the client wants to wait: in seconds ("20", "1.5s"), or in milliseconds ("250ms").
func waitFor(c *call, standard time.Duration) (time.Duration, error) {
	text := c.URL.Query().Get("wait")
	if !waits.MatchString(text) {
		return 0, failParameter("wait", "want 0s to %s", longestWait)
	}
	if text == "" {
		return standard, nil
	}
	if !strings.HasSuffix(text, "s") {
		text += "s"
	}
	return time.ParseDuration(text)
}

// revoke makes every session handed out so far unreachable in the broker's caches.
func (s *Server) revoke(c *call) (answer, error) {
	i, command, err := s.altered(c, integration.RevokeSessions{Integration: integration.ID(c.PathValue("id"))})
	if err != nil {
		return answer{command: command}, err
	}
	return answer{status: http.StatusOK, body: wire.Revocation{Integration: string(i.ID), Epoch: i.Epoch}, command: command}, nil
}

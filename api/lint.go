package api

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// lint says what is wrong with a pasted policy. It asks nobody: not the state, and not AWS.
func (s *Server) lint(c *call) (answer, error) {
	var body wire.LintRequest
	if err := s.bodies.read(c.Request, bodyLint, &body); err != nil {
		return answer{}, err
	}
	kind := policy.Trust
	for _, k := range []policy.Kind{policy.Identity, policy.Session} {
		if body.Kind == k.String() {
			kind = k
		}
	}
	text := []byte(body.Policy)
	var inner string
	if bytes.HasPrefix(text, []byte(`"`)) && json.Unmarshal(text, &inner) == nil {
		text = []byte(inner)
	}
	expect := policy.Expect{PlatformRole: body.Principal, ExternalIDs: body.ExternalIDs, CustomerRole: body.CustomerRoleARN}
	parsed := policy.Parse(kind, text)
	found := parsed.Lint(expect)
	if found == nil {
		found = []policy.Finding{}
	}
	out := wire.Lint{Worst: string(policy.Worst(found)), Findings: found}
	if out.Worst == string(policy.Error) && kind == policy.Trust && body.Principal != "" && len(body.ExternalIDs) > 0 {
		if mended, err := parsed.Mend(expect); err == nil {
			out.Mended = mended
		}
	}
	return answer{status: http.StatusOK, body: out}, nil
}

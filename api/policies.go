package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// policies renders the documents to paste: the first and final trust policy of the customer's role, and with for= the
// permission policy of a kind of connector; with format= also as what people keep in a repository or type.
func (s *Server) policies(c *call) (answer, error) {
	i, err := s.find(c, integration.ID(c.PathValue("id")), "")
	if err != nil {
		return answer{}, err
	}
	if i.Config.Kind != integration.KindAWS {
		return answer{}, fail(integration.CodeConflict, "%s is of %s; there are policies for aws only", i.ID, i.Config.Kind.Provider())
	}
	documents := map[string]policy.Document{"first_trust": policy.FirstTrust()}
	out := wire.Policies{Integration: string(i.ID), FirstTrust: json.RawMessage(policy.FirstTrust().JSON())}
	if i.Mapping.Platform != "" {
		final, err := policy.FinalTrust(i.Mapping.Platform, i.AcceptedExternalIDs()...)
		if err != nil {
			return answer{}, err // both are ours
		}
		if i.SourceIdentity() {
			final = final.WithSourceIdentity()
		}
		out.FinalTrust, documents["final_trust"] = json.RawMessage(final.JSON()), final
	}
	if connector := c.URL.Query().Get("for"); connector != "" {
		permissions, err := permissions(connector, c, i)
		if err != nil {
			return answer{}, err
		}
		out.Permissions, documents["permissions"] = json.RawMessage(permissions.JSON()), permissions
	}
	if out.Rendered, err = rendered(c.URL.Query(), i, documents); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// rendered writes the documents in the format that is asked for; nil for JSON, which is there anyway.
func rendered(q url.Values, i *integration.Integration, documents map[string]policy.Document) (map[string]string, error) {
	format := policy.Format(q.Get("format"))
	if format == "" || format == policy.FormatJSON {
		return nil, nil
	}
	role, _ := integration.ParseRoleARN(i.Config.Customer)
	names := policy.Names{Role: cmp.Or(q.Get("role_name"), role.Name), Policy: cmp.Or(q.Get("policy_name"), "rolebridge")}
	out := make(map[string]string, len(documents))
	for name, d := range documents {
		names.RoleExists = name == "final_trust" // the role was made with the first one, or before
		text, err := d.Render(format, names)
		if field, ok := errors.AsType[*policy.FieldError](err); ok {
			return nil, failParameter(strings.ReplaceAll(strings.ToLower(field.Field), " ", "_"), "want %s", field.Want)
		} else if err != nil {
			return nil, err
		}
		out[name] = string(text)
	}
	return out, nil
}

// permissions is the policy of one kind of connector; partition and account are those of the customer's role.
func permissions(connector string, c *call, i *integration.Integration) (policy.Document, error) {
	q := c.URL.Query()
	role, known := integration.ParseRoleARN(i.Config.Customer)
	if !known {
		role.Partition = cmp.Or(q.Get("partition"), "aws")
	}
	if a := q.Get("account"); a != "" {
		role.Account = a
	}
	bucket := policy.S3{Partition: role.Partition, Bucket: q.Get("bucket"), Prefix: q.Get("prefix")}
	table := policy.DynamoDB{Partition: role.Partition, Region: q.Get("region"), Account: role.Account, Table: q.Get("table")}
	if !slices.Contains(policy.Connectors(), connector) {
		return policy.Document{}, failParameter("for", "want one of %s", strings.Join(policy.Connectors(), ", "))
	}
	d, err := policy.Permissions(connector, bucket, table)
	if field, ok := errors.AsType[*policy.FieldError](err); ok {
		return d, failParameter(strings.ToLower(field.Field), "want %s", field.Want)
	}
	return d, err
}

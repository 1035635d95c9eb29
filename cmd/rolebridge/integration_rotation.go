package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// rotation is a rotation under way in one line; empty when there is none.
func rotation(r *wire.Rotation) string {
	switch {
	case r == nil:
	case r.NextExternalID != "" && !r.AdmittedSince.IsZero():
		return fmt.Sprintf("%s: %s is accepted since %s", r.Phase, r.NextExternalID, when(r.AdmittedSince))
	case r.NextExternalID != "":
		return fmt.Sprintf("%s: %s is to be accepted too", r.Phase, r.NextExternalID)
	case r.FormerExternalID != "" && !r.RefusedSince.IsZero():
		return fmt.Sprintf("%s: %s is refused since %s", r.Phase, r.FormerExternalID, when(r.RefusedSince))
	case r.FormerExternalID != "":
		return fmt.Sprintf("%s: %s is to be refused", r.Phase, r.FormerExternalID)
	}
	return ""
}

// underWay asks for the rotation of an integration; nil when there is none. What to paste is left to "rotate-external-id
// --status".
func underWay(ctx context.Context, api *client.Client, id string) (*wire.Rotation, error) {
	r, err := call(api.Rotation(ctx, id))
	if err != nil || r.Phase == wire.RotationNone {
		return nil, err
	}
	r.TrustPolicy = nil
	return &r, nil
}

// progress is what is said while a rotation is waited for: how far it is, and what the last proof found.
func progress(r wire.Rotation, v wire.Validation) string {
	text := rotation(&r)
	if text == "" {
		text = "no rotation: " + r.ExternalID + " is in use"
	}
	text += "; trust " + string(v.Trust.Status)
	if v.Trust.Report == nil {
		return text
	}
	for _, check := range v.Trust.Report.Checks {
		if check.Name != integration.CheckNextID && check.Name != integration.CheckFormerID {
			continue
		}
		text += fmt.Sprintf("; %s %s", check.Name, check.Outcome)
		if check.Reason != "" {
			text += " (" + check.Reason + ")"
		}
	}
	return text
}

func printRotation(to io.Writer, f format, r wire.Rotation) error {
	if f != human {
		return f.document(to, r)
	}
	moment := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return when(t)
	}
	return object(to, []row{
		{"ID", r.Integration},
		{"Rotation", r.Phase},
		{"External ID", r.ExternalID},
		{"Next External ID", r.NextExternalID},
		{"Former External ID", r.FormerExternalID},
		{"Started", moment(r.StartedAt)},
		{"In This Phase Since", moment(r.Since)},
		{"Accepted Since", moment(r.AdmittedSince)},
		{"Refused Since", moment(r.RefusedSince)},
	})
}

// nextTurn tells a person what to do for a rotation to go on.
func nextTurn(to io.Writer, i wire.IntegrationV2, r wire.Rotation) {
	if r.Phase == wire.RotationNone {
		return
	}
	verb := fmt.Sprintf("$ rolebridge provider-integration %%s %s --environment %s", i.ID, i.Environment.ID)
	follow := fmt.Sprintf(verb, "rotate-external-id") + " --status --wait"
	if len(r.TrustPolicy) == 0 {
		fmt.Fprintf(to, "\nThe platform's role is still being made. Ask again for what to do next:\n\n  %s\n", fmt.Sprintf(verb, "rotate-external-id")+" --status")
		return
	}
	if r.NextExternalID != "" {
		fmt.Fprint(to, "\nNext:\n\n1. Save this trust policy as trust.json, and set it on your role. It accepts both external IDs:\n\n")
		setTrust(to, i, r.TrustPolicy)
		fmt.Fprintf(to, "2. Have it proved at once, and wait until the new external ID is in use:\n\n  %s\n  %s\n\n", fmt.Sprintf(verb, "validate"), follow)
		fmt.Fprintf(to, "The current external ID must not be removed before. To give the new one up:\n\n  %s\n", fmt.Sprintf(verb, "rotate-external-id")+" --abort")
		return
	}
	fmt.Fprint(to, "\nThe new external ID is in use; the former one can be removed now. Next:\n\n"+
		"1. Save this trust policy as trust.json, and set it on your role. It accepts the new external ID alone:\n\n")
	setTrust(to, i, r.TrustPolicy)
	fmt.Fprintf(to, "2. Have it proved, and wait until the former external ID is retired, ten minutes after the exchange or later:\n\n  %s\n  %s\n",
		fmt.Sprintf(verb, "validate"), follow)
}

// setBack tells a person what to do after a rotation was given up.
func setBack(to io.Writer, i wire.IntegrationV2, r wire.Rotation) {
	if len(r.TrustPolicy) == 0 {
		return
	}
	fmt.Fprint(to, "\nThe new external ID was dropped. If your role accepts it already, set its trust policy back to:\n\n")
	setTrust(to, i, r.TrustPolicy)
}

// setTrust prints a trust policy, and how it is set on the customer's role from a file.
func setTrust(to io.Writer, i wire.IntegrationV2, trust json.RawMessage) {
	var text bytes.Buffer
	role, ok := integration.ParseRoleARN(i.Config.Customer())
	if err := json.Indent(&text, trust, "", "  "); err != nil || !ok {
		return
	}
	fmt.Fprintf(to, "%s\n\n  $ aws iam update-assume-role-policy --role-name %s --policy-document file://trust.json\n\n", text.Bytes(), role.Name)
}

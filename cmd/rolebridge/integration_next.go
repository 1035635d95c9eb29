package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// showSaved prints what was created or updated, for people with what to do next.
func (s streams) showSaved(ctx context.Context, api *client.Client, out format, i wire.IntegrationV2) error {
	if err := printIntegration(s.out, out, i, nil); err != nil {
		return err
	}
	if out == human {
		next(ctx, s.err, api, i)
	}
	return nil
}

// next tells a person what to do after i was created or updated, with the policies filled in. It is help and not the
// result, so what goes wrong here is left out.
func next(ctx context.Context, to io.Writer, api *client.Client, i wire.IntegrationV2) {
	if i.Config.Kind != string(integration.KindAWS) {
		fmt.Fprintf(to, "\nThis platform has %s not enabled: the provider integration is kept, and connectors get no credentials of it.\n", i.Provider)
		return
	}
	if i.Config.Platform() == "" {
		fmt.Fprintf(to, "\nThe platform's role is still being made. Ask again for what to do next:\n\n  $ rolebridge provider-integration describe %s --environment %s\n",
			i.ID, i.Environment.ID)
		return
	}
	policies, err := api.Policies(ctx, i.ID, nil)
	if err != nil {
		return
	}
	var trust bytes.Buffer
	if err := json.Indent(&trust, policies.FinalTrust, "", "  "); err != nil {
		return
	}
	_, drafted := integration.ParseRoleARN(i.Config.Customer())
	if !drafted {
		fmt.Fprintf(to, "\nNext:\n\n1. Create a role in your AWS account with this trust policy:\n\n%s\n\n", trust.Bytes())
		fmt.Fprintf(to, "2. Say which role it is:\n\n  $ rolebridge provider-integration update %s --environment %s --customer-role-arn <arn>\n",
			i.ID, i.Environment.ID)
		return
	}
	fmt.Fprint(to, "\nNext:\n\n1. Save this trust policy as trust.json, and set it on your role:\n\n")
	setTrust(to, i, policies.FinalTrust)
	fmt.Fprintf(to, "2. Have it proved:\n\n  $ rolebridge provider-integration validate %s --environment %s --wait\n\n", i.ID, i.Environment.ID)
	fmt.Fprintf(to, "3. Let a connector use it:\n\n  $ rolebridge connector bind %s <connector> --environment %s\n", i.ID, i.Environment.ID)
}

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/integration"
)

// The state of an installation that has run for a while: a hundred integrations in each organization, a connector bound to
// each, trust proved an hour ago at most, and the answers to a tenth of the commands still remembered.
const (
	integrations           = 100_000
	integrationsPerTenant  = 100
	integrationsPerReceipt = 10
)

// checks are those of a valid trust, with what the trust worker says about them.
var checks = []integration.Check{
	{Name: integration.CheckPlatformIdentity, Outcome: integration.Pass, Detail: "arn:aws:sts::210987654321:assumed-role/rolebridge-trust/worker"},
	{Name: integration.CheckPlatformRole, Outcome: integration.Pass},
	{Name: integration.CheckWithExternalID, Outcome: integration.Pass},
	{Name: integration.CheckWithoutID, Outcome: integration.Pass, Reason: "AccessDenied"},
	{Name: integration.CheckWrongID, Outcome: integration.Pass, Reason: "AccessDenied"},
	{Name: integration.CheckTagSession, Outcome: integration.Pass},
	{Name: integration.CheckAccount, Outcome: integration.Pass, Detail: "account 210987654321"},
	{Name: integration.CheckMaxSession, Outcome: integration.Pass},
}

func integrationID(n int) integration.ID { return integration.ID(fmt.Sprintf("cspi-%010d", n)) }

func tenantOf(n int) integration.OrganizationID {
	return integration.OrganizationID(fmt.Sprintf("org-%06d", n/integrationsPerTenant))
}

// connectorToken is the token of the one connector of integration n: 64 characters, as many as ours have at most.
func connectorToken(n int) string { return "rbt_" + integration.TokenHash(strconv.Itoa(n))[:60] }

func aggregate(n int, now time.Time) integration.Integration {
	made := now.Add(-30 * 24 * time.Hour)
	proved := now.Add(-time.Duration(n%3000) * time.Second)
	id := integrationID(n)
	connector := integration.ConnectorID(fmt.Sprintf("lcc-%07d", n))
	claim := integration.ClaimToken(tenantOf(n), id, connector, connectorToken(n))
	token := integration.Token{Hash: claim.Hash, Proof: claim.Proof, AddedAt: made}
	return integration.Integration{
		ID: id, Organization: tenantOf(n), Environment: integration.EnvironmentID(fmt.Sprintf("env-%05d", n%3)),
		Name:       fmt.Sprintf("analytics sink %d", n),
		Config:     integration.Config{Kind: integration.KindAWS, Customer: customerRole(n)},
		ExternalID: uuid.NewString(), Version: 731, Epoch: 1,
		Mapping: integration.Mapping{
			Status: integration.MappingReady, Attempt: 1, Platform: "arn:aws:iam::123456789012:role/rolebridge/" + string(id),
		},
		Trust: integration.Trust{
			Status: integration.TrustValid, Attempt: 720, LastValid: proved, Tags: true,
			Report: &integration.Report{StartedAt: proved.Add(-time.Second), FinishedAt: proved, Checks: checks},
			History: []integration.Change{
				{At: made, From: integration.TrustUnknown, To: integration.TrustPending},
				{At: made.Add(time.Minute), From: integration.TrustPending, To: integration.TrustValid},
			},
		},
		Connectors: map[integration.ConnectorID]integration.Binding{
			connector: {Tokens: []integration.Token{token}, BoundAt: made, BoundBy: "u-admin"},
		},
		Due: proved.Add(time.Hour), CreatedAt: made, CreatedBy: "u-admin", UpdatedAt: proved,
	}
}

// fill writes the state of the first count integrations.
func fill(ctx context.Context, s *site, count int) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	var out []*kgo.Record
	add := func(r *kgo.Record, err error) error {
		out = append(out, r)
		return err
	}
	for n := range count {
		o := tenantOf(n)
		if n%integrationsPerTenant == 0 {
			if err := add(s.topics.OrganizationRecord(tenant(o, now))); err != nil {
				return err
			}
		}
		i := aggregate(n, now)
		if err := add(s.topics.IntegrationRecord(o, i.ID, &i)); err != nil {
			return err
		}
		if n%integrationsPerReceipt == 0 {
			asker := integration.Asker{Source: "/control-plane", ID: uuid.NewString()}
			if err := add(s.topics.ReceiptRecord(o, asker, &integration.Receipt{
				Organization: o, Source: asker.Source, ID: asker.ID, Digest: "0123456789abcdef0123456789abcdef", Integration: i.ID, Version: 731, At: now,
			})); err != nil {
				return err
			}
		}
		if len(out) >= 5000 {
			if err := s.produce(ctx, out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	return s.produce(ctx, out)
}

func tenant(o integration.OrganizationID, now time.Time) integration.Organization {
	made := integration.Organization{
		ID: o, Version: 12, Quota: integration.DefaultQuota, InsecureRoles: integration.InsecureBlock, CreatedAt: now,
		RoleBindings: []integration.RoleBinding{{Principal: "u-admin", Role: integration.OrganizationAdmin}},
	}
	for n := range 9 {
		made.RoleBindings = append(made.RoleBindings, integration.RoleBinding{
			Principal: integration.Principal(fmt.Sprintf("sa-%06d", n)), Role: integration.Assigner,
			Scope: integration.Scope{Environment: integration.EnvironmentID(fmt.Sprintf("env-%05d", n%3))},
		})
	}
	return made
}

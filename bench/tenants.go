package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/integration"
)

// tenants is a state in memory of two organizations, each with an integration and an account with a key. What it does not
// have is not asked for by what is refused.
type tenants struct {
	api.Replica
	ready         chan struct{}
	organizations map[integration.OrganizationID]*integration.Organization
	integrations  map[integration.ID]*integration.Integration
	keys          map[integration.KeyID][]*integration.Account
}

func (t *tenants) Ready() <-chan struct{} { return t.ready }

func (t *tenants) Organization(id integration.OrganizationID) (*integration.Organization, bool) {
	o, ok := t.organizations[id]
	return o, ok
}

func (t *tenants) Integration(id integration.ID) (*integration.Integration, bool) {
	i, ok := t.integrations[id]
	return i, ok
}

func (t *tenants) KeyOwners(id integration.KeyID) []*integration.Account { return t.keys[id] }

const (
	tenantKey    = "OWNKEYOWNKEYOWN1"
	tenantSecret = "a secret of 43 characters or more, as they are made" //nolint:gosec // of this benchmark
	tenantPath   = "/pim/v2/integrations/"
	tenantIn     = "?environment=env-1"
)

func openTenants() (http.Handler, error) {
	t := &tenants{
		ready: make(chan struct{}), organizations: map[integration.OrganizationID]*integration.Organization{},
		integrations: map[integration.ID]*integration.Integration{}, keys: map[integration.KeyID][]*integration.Account{},
	}
	close(t.ready)
	for o, of := range map[integration.OrganizationID]struct {
		id  integration.ID
		key integration.KeyID
	}{"org-own": {"cspi-own01", tenantKey}, "org-foreign": {"cspi-foreign01", "FOREIGNFOREIGN01"}} {
		t.organizations[o] = &integration.Organization{ID: o, RoleBindings: []integration.RoleBinding{{Principal: "u-1", Role: integration.OrganizationAdmin}}}
		t.integrations[of.id] = &integration.Integration{ID: of.id, Organization: o, Environment: "env-1", Config: integration.Config{Kind: integration.KindAWS}}
		t.keys[of.key] = []*integration.Account{{ID: "u-1", Organization: o, Keys: map[integration.KeyID]integration.APIKey{
			of.key: {Proof: integration.KeyProof(o, "u-1", of.key, tenantSecret)},
		}}}
	}
	c := api.Defaults()
	c.Rate, c.Burst, c.FailedAttempts, c.FailedBurst = 1e6, 1_000_000, 1e6, 1_000_000
	s, err := api.New(c, t, nil, api.Keys{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return s.Handler(), nil
}

// foreignIntegrations compares the times in which the api says that an integration is not there: another tenant's, and one
// that nobody has.
func foreignIntegrations(ctx context.Context) (Result, error) {
	return refusedByAPI(ctx, http.StatusNotFound, tenantKey, tenantSecret, []stranger{
		{"another tenant's", tenantPath + "cspi-foreign01" + tenantIn, ""},
		{"nobody's", tenantPath + "cspi-nobodys01" + tenantIn, ""},
		{"of another environment", tenantPath + "cspi-own01" + "?environment=env-2", ""},
	})
}

// unknownKeys compares the times in which the api refuses keys: the token of a stranger is the key's id.
func unknownKeys(ctx context.Context) (Result, error) {
	const one = tenantPath + "cspi-own01" + tenantIn
	return refusedByAPI(ctx, http.StatusUnauthorized, "", "a wrong secret of as many characters as the right o", []stranger{
		{"an unknown key", one, "UNKNOWNUNKNOWN01"},
		{"a wrong secret", one, tenantKey},
		{"a wrong secret of another tenant's key", one, "FOREIGNFOREIGN01"},
	})
}

func refusedByAPI(ctx context.Context, code int, key, secret string, kinds []stranger) (Result, error) {
	h, err := openTenants()
	if err != nil {
		return Result{}, err
	}
	return compared(kinds, func(k stranger) (float64, error) {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, k.target, nil)
		id := key
		if k.token != "" {
			id = k.token
		}
		r.SetBasicAuth(id, secret)
		return timedRefusal(h, r, k.kind, code)
	})
}

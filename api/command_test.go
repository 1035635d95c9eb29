package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

func TestARepeatedRequestIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	var ids []string
	for range 3 {
		var i wire.IntegrationV2
		request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN), "Idempotency-Key", "k1").into(t, http.StatusCreated, &i)
		ids = append(ids, i.ID)
	}
	if ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("got %q, want one integration", ids)
	}

	path := one + "/" + ids[0] + inEnv
	for range 2 { // the second finds nothing to delete, and answers as the first did
		if got := request(t, s, apitest.Admin, http.MethodDelete, path, "", "Idempotency-Key", "k2"); got.status != http.StatusNoContent {
			t.Errorf("delete: got %d %s, want 204", got.status, got.body)
		}
	}
	request(t, s, apitest.Admin, http.MethodDelete, path, "").refused(t, http.StatusNotFound, integration.CodeNotFound)

	s.Down(integration.Refuse(integration.CodeUnavailable, "no Kafka"))
	if got := request(t, s, apitest.Admin, http.MethodDelete, path, "", "Idempotency-Key", "k2"); got.status != http.StatusNoContent {
		t.Errorf("a known answer without Kafka: got %d %s, want 204", got.status, got.body)
	}
}

func TestRequestsAtTheSameTimeWithOneKeyAreOne(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	var wg sync.WaitGroup
	seen := make([]wire.IntegrationV2, 8)
	for n := range seen {
		wg.Go(func() {
			request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN), "Idempotency-Key", "same").into(t, http.StatusCreated, &seen[n])
		})
	}
	wg.Wait()
	for _, i := range seen {
		if i.ID != seen[0].ID || i.ID == "" {
			t.Errorf("got %q and %q, want one integration", i.ID, seen[0].ID)
		}
	}
	if n := s.Listed(apitest.OrgA, apitest.Environment); n != 1 {
		t.Errorf("got %d integrations, want 1", n)
	}
}

func TestAnIdempotencyKeyIsForOneRequestOfOnePrincipal(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	if got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN), "Idempotency-Key", "k"); got.status != http.StatusCreated {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN+"2"), "Idempotency-Key", "k").
		refused(t, http.StatusConflict, integration.CodeConflict)
	// Another principal's key of the same name is another key, and the role does not permit it.
	request(t, s, apitest.Assigner, http.MethodPost, one, creation(roleARN), "Idempotency-Key", "k").
		refused(t, http.StatusForbidden, integration.CodeDenied)
}

func TestNoAnswerInTimeNamesTheCommand(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, func(c *api.Config) { c.AnswerWithin = 20 * time.Millisecond })
	s.Silent()
	got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN))
	fault := got.refused(t, http.StatusGatewayTimeout, integration.CodeTimeout)
	sent := s.Sent()
	last := sent[len(sent)-1].ID
	if got.header.Get("X-Rolebridge-Command-Id") != last || !strings.Contains(fault.Detail, last) {
		t.Errorf("got %q and %q, want the command's id %q in both", got.header.Get("X-Rolebridge-Command-Id"), fault.Detail, last)
	}
}

func TestWithoutKafkaReadsGoOnAndWritesSayWhenToComeAgain(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	s.Down(integration.Refuse(integration.CodeUnavailable, "the command could not be written"))
	got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN+"2"), "Idempotency-Key", "k")
	got.refused(t, http.StatusServiceUnavailable, integration.CodeUnavailable)
	if got.header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
	if got := request(t, s, apitest.Admin, http.MethodGet, one+"/"+i.ID+inEnv, ""); got.status != http.StatusOK {
		t.Errorf("a read: got %d %s", got.status, got.body)
	}
	s.Down(nil)
	if got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN+"2"), "Idempotency-Key", "k"); got.status != http.StatusCreated {
		t.Errorf("again: got %d %s", got.status, got.body)
	}
}

func TestACommandSaysWhoAsks(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	created(t, s, roleARN)
	sent := s.Sent()
	last := sent[len(sent)-1]
	if last.Actor != "u-admin-a" || last.Organization != apitest.OrgA || last.Source != "/rolebridge/api" {
		t.Errorf("got %+v", last)
	}
}

func TestARepeatedRequestShowsNothingAfterTheRoleWasTaken(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	// The stranger gets a role in the environment, and keeps another one elsewhere when it is taken again.
	role := integration.RoleBinding{Principal: "u-stranger", Role: integration.EnvironmentAdmin, Scope: integration.Scope{Environment: apitest.Environment}}
	elsewhere := role
	elsewhere.Scope.Environment = "env-other"
	for _, b := range []integration.RoleBinding{role, elsewhere} {
		s.Do(t, apitest.OrgA, "platform:test", integration.CreateRoleBinding{RoleBinding: b})
	}
	var made wire.IntegrationV2
	request(t, s, apitest.Stranger, http.MethodPost, one, creation(roleARN), "Idempotency-Key", "k").into(t, http.StatusCreated, &made)
	s.Do(t, apitest.OrgA, "platform:test", integration.DeleteRoleBinding{RoleBinding: role})
	got := request(t, s, apitest.Stranger, http.MethodPost, one, creation(roleARN), "Idempotency-Key", "k")
	if got.status != http.StatusNotFound || strings.Contains(string(got.body), *made.Config.ExternalID) {
		t.Errorf("the repeated request gives %d %s, want 404", got.status, got.body)
	}
}

package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// notes is a trail in memory.
type notes struct {
	mu  sync.Mutex
	all []events.Audit
}

func (n *notes) Note(a events.Audit) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, a)
}

func (n *notes) taken() []events.Audit {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.all
	n.all = nil
	return all
}

func TestASourceThatFailsOftenIsSlowedAndWhatIsRightIsAnswered(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, func(c *api.Config) { c.FailedAttempts, c.FailedBurst = 1e-6, 3 })
	list := "/pim/v2/integrations" + inEnv
	statuses := map[int]int{}
	for n := range 6 {
		got := by(t, s, fmt.Sprint("NOBODY", n), apitest.Secret, http.MethodGet, list)
		statuses[got.status]++
		if got.status == http.StatusTooManyRequests && got.header.Get("Retry-After") != "1" {
			t.Errorf("got %v, want Retry-After: 1", got.header)
		}
	}
	if statuses[http.StatusUnauthorized] != 3 || statuses[http.StatusTooManyRequests] != 3 {
		t.Errorf("got %v, want three of each", statuses)
	}
	by(t, s, apitest.Admin, "wrong", http.MethodGet, list).refused(t, http.StatusTooManyRequests, integration.CodeThrottled)
	if got := by(t, s, apitest.Admin, apitest.Secret, http.MethodGet, list); got.status != http.StatusOK {
		t.Errorf("the right secret from that source: got %d", got.status)
	}
	if n := strings.Count(s.Log(), "too many failed attempts"); n != 1 {
		t.Errorf("it is logged %d times, want once", n)
	}
}

func TestWhoFailsToLogInAndWhoChangesSomethingIsNoted(t *testing.T) {
	t.Parallel()
	c, trail := apitest.New(t), &notes{}
	c.Trail(trail)
	s := apitest.Over(t, c, c)
	list := "/pim/v2/integrations" + inEnv

	by(t, s, apitest.Admin, "a wrong secret", http.MethodGet, list)
	by(t, s, "a secret in the wrong field", apitest.Admin, http.MethodGet, list)
	got := trail.taken()
	want := []events.LoginRefused{
		{Source: "127.0.0.1", Way: "key", Key: apitest.Admin, Code: integration.CodeUnauthenticated, Count: 1},
		{Source: "127.0.0.1", Way: "key", Code: integration.CodeUnauthenticated, Count: 1},
	}
	for n, a := range got {
		note, ok := a.Note.(events.LoginRefused)
		note.Since = want[min(n, 1)].Since
		if !ok || n >= len(want) || note != want[n] {
			t.Errorf("failed login %d: got %+v, want %+v", n, a.Note, want)
		}
	}
	if len(got) != 2 || got[0].Organization != apitest.OrgA || got[1].Organization != "" {
		t.Errorf("got %+v, want two, the first of the key's organization", got)
	}
	if strings.Contains(fmt.Sprint(got), "secret") {
		t.Errorf("a secret is in the trail: %+v", got)
	}

	request(t, s, apitest.Admin, http.MethodGet, list, "") // reading is not noted
	i := created(t, s, roleARN)
	one := "/pim/v2/integrations/" + i.ID + inEnv
	request(t, s, apitest.Assigner, http.MethodDelete, one, "")
	request(t, s, apitest.Other, http.MethodDelete, one, "")
	request(t, s, apitest.Admin, http.MethodDelete, one, "")
	var changes []string
	for _, a := range trail.taken() {
		n, ok := a.Note.(events.ChangeAsked)
		if !ok || n.Request == "" || n.Code == "ok" && n.Command == "" {
			t.Errorf("got %+v", a)
		}
		changes = append(changes, fmt.Sprint(a.Organization, a.Integration, " ", n.Principal, " ", n.Credential, " ", n.Method, " ", n.Route, " ", n.Resource == i.ID, " ", n.Status, " ", n.Code))
	}
	const deleted = "DELETE /pim/v2/integrations/{id} true "
	wanted := []string{
		"org-a" + i.ID + " u-admin-a key ADMIN-A POST /pim/v1/integrations true 201 ok",
		"org-a" + i.ID + " sa-assigner key ASSIGNER-A " + deleted + "403 forbidden",
		"org-b u-admin-b key ADMIN-B " + deleted + "404 not_found",
		"org-a" + i.ID + " u-admin-a key ADMIN-A " + deleted + "204 ok",
	}
	if !slices.Equal(changes, wanted) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(changes, "\n"), strings.Join(wanted, "\n"))
	}

	// Where an id belongs somebody may put a secret.
	for _, path := range []string{"/iam/v2/api-keys/rbk_1234567890abcdefghijk", "/pim/v2/integrations/" + apitest.Secret + inEnv, "/iam/v2/users/rbc_abc"} {
		request(t, s, apitest.Admin, http.MethodDelete, path, "")
	}
	for _, a := range trail.taken() {
		if n, ok := a.Note.(events.ChangeAsked); !ok || n.Resource != "" && n.Resource != i.ID || a.Integration != "" && string(a.Integration) != i.ID {
			t.Errorf("got %+v, want nothing of a secret", a)
		}
	}
}

// breaking is a replica that panics when an integration is read for the first time, or when an answer is waited for.
type breaking struct {
	*apitest.ControlPlane
	once sync.Once
}

func (b *breaking) Integration(id integration.ID) (*integration.Integration, bool) {
	b.once.Do(func() { panic("broken") })
	return b.ControlPlane.Integration(id)
}

func (b *breaking) WaitAnswer(context.Context, integration.OrganizationID, integration.Asker) (integration.Receipt, error) {
	panic("broken")
}

// What panicked may have been carried out.
func TestAChangeThatPanicsIsNoted(t *testing.T) {
	t.Parallel()
	c, trail := apitest.New(t), &notes{}
	c.Trail(trail)
	s := apitest.Over(t, c, &breaking{ControlPlane: c})
	got := request(t, s, apitest.Admin, http.MethodDelete, "/pim/v2/integrations/cspi-aaaaa"+inEnv, "")
	got.refused(t, http.StatusInternalServerError, integration.CodeInternal)
	all := trail.taken()
	if len(all) != 1 {
		t.Fatalf("got %+v, want one note", all)
	}
	n, ok := all[0].Note.(events.ChangeAsked)
	if !ok || n.Principal != "u-admin-a" || n.Resource != "cspi-aaaaa" || n.Status != http.StatusInternalServerError || n.Code != string(integration.CodeInternal) {
		t.Errorf("got %+v, want the change that panicked", all[0])
	}
	if n.Command != "" {
		t.Errorf("got the command %s, but none was sent", n.Command)
	}

	got = request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN))
	got.refused(t, http.StatusInternalServerError, integration.CodeInternal)
	all = trail.taken()
	n, ok = all[len(all)-1].Note.(events.ChangeAsked)
	if !ok || n.Command == "" || got.header.Get("X-Rolebridge-Command-Id") != n.Command {
		t.Errorf("got %+v and the header %q, want the command that was sent", all[len(all)-1], got.header.Get("X-Rolebridge-Command-Id"))
	}
}

package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

const watched = "/rolebridge/v1/watch"

// past returns the whole history of an integration.
func past(t testing.TB, s *apitest.Site, id, more string) (types []string, last wire.EventList) {
	t.Helper()
	next := mine + id + "/events" + more
	for pages := 0; next != ""; pages++ {
		if pages > 50 {
			t.Fatal("the history does not end")
		}
		last = wire.EventList{}
		request(t, s, apitest.Admin, http.MethodGet, strings.TrimPrefix(next, s.URL), "").into(t, http.StatusOK, &last)
		for _, e := range last.Data {
			types = append(types, e.Type)
			if e.Integration != id {
				t.Errorf("got an event of %s", e.Integration)
			}
		}
		next = last.Metadata.Next
	}
	return types, last
}

func TestTheHistoryOfAnIntegrationIsWhatHappenedToItInOrder(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i, other := created(t, s, roleARN), created(t, s, roleARN+"2")
	request(t, s, apitest.Assigner, http.MethodPost, mine+i.ID+"/connectors", `{"connector":"lcc-1"}`).into(t, http.StatusCreated, new(wire.Bound))
	request(t, s, apitest.Admin, http.MethodDelete, one+"/"+i.ID+inEnv, "").refused(t, http.StatusConflict, integration.CodeInUse)
	created(t, s, roleARN+"3")
	want := []string{
		"integration.created", "mapping.requested", "integration.mapped", "trust.requested", "integration.validated", "integration.trust-changed",
		"connector.bound", "trust.requested", "integration.validated", "command.refused",
	}
	for _, size := range []string{"", "?page_size=1", "?page_size=3", "?page_size=100"} {
		if got, _ := past(t, s, i.ID, size); !slices.Equal(got, want) {
			t.Errorf("%q: got  %q\nwant %q", size, got, want)
		}
	}
	got := request(t, s, apitest.Admin, http.MethodGet, mine+i.ID+"/events?page_size=100", "")
	for _, hidden := range []string{"token_sha256", "token_proof"} {
		if strings.Contains(string(got.body), hidden) {
			t.Errorf("%s is in %s", hidden, got.body)
		}
	}
	var list wire.EventList
	got.into(t, http.StatusOK, &list)
	if first := list.Data[0]; first.Version != 1 || first.Command == "" || first.Data["created_by"] != "u-admin-a" || list.Metadata.Gap {
		t.Errorf("got %+v", first)
	}
	s.Forget(1 << 20)
	if got, last := past(t, s, other.ID, ""); len(got) != 0 || !last.Metadata.Gap {
		t.Errorf("got %v, %+v; want nothing, and that it is gone", got, last.Metadata)
	}
	s.Forget(0)
	request(t, s, apitest.Admin, http.MethodGet, mine+i.ID+"/events?page_token=x", "").refused(t, http.StatusBadRequest, "invalid_parameter")
	s.Down(errors.New("no Kafka"))
	request(t, s, apitest.Admin, http.MethodGet, mine+i.ID+"/events", "").refused(t, http.StatusServiceUnavailable, integration.CodeUnavailable)
}

// line is one event of a stream.
type line struct {
	id, kind string
	event    wire.Event
}

// watching is a stream that is open.
type watching struct {
	t    testing.TB
	body *bufio.Reader
	end  context.CancelFunc
}

// follow opens a stream; last is the id of the last event that was seen.
func follow(t testing.TB, s *apitest.Site, key, secret, query, last string) *watching {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+watched+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(key, secret)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = got.Body.Close() })
	if got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "text/event-stream" || got.Header.Get("X-Request-Id") == "" {
		t.Fatalf("got %d %v", got.StatusCode, got.Header)
	}
	return &watching{t, bufio.NewReader(got.Body), cancel}
}

// next reads an event; signs of life are passed over.
func (w *watching) next() (l line) {
	w.t.Helper()
	for {
		text, err := w.body.ReadString('\n')
		if err != nil {
			w.t.Fatalf("the stream ended: %v", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(text, "\n"), ": ")
		switch name {
		case "id":
			l.id = value
		case "event":
			l.kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &l.event); err != nil {
				w.t.Fatal(err)
			}
		case "":
			if l.kind != "" {
				return l
			}
		}
	}
}

// until reads up to an event of a type and returns all types of the integration up to it.
func (w *watching) until(id, kind string) (seen []string, last line) {
	w.t.Helper()
	for last.kind != kind {
		if last = w.next(); last.event.Integration == id {
			seen = append(seen, last.kind)
		}
	}
	return seen, last
}

func TestAWatchTellsWhatComesAndResumesBehindTheLastEventThatWasSeen(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	before := created(t, s, roleARN)
	w := follow(t, s, apitest.Admin, apitest.Secret, "", "")
	i := created(t, s, roleARN+"2")
	want := []string{"integration.created", "mapping.requested", "integration.mapped", "trust.requested", "integration.validated", "integration.trust-changed"}
	first := w.next()
	if first.event.Integration != i.ID || first.kind != want[0] {
		t.Fatalf("got %+v, want the new integration's first event and nothing of %s", first, before.ID)
	}
	seen, mapped := w.until(i.ID, "integration.mapped")
	w.end()

	// What happens while nobody watches is told afterwards, once.
	if got := request(t, s, apitest.Admin, http.MethodDelete, one+"/"+i.ID+inEnv, ""); got.status != http.StatusNoContent {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	w = follow(t, s, apitest.Admin, apitest.Secret, "", mapped.id)
	rest, _ := w.until(i.ID, "integration.deleted")
	all := append(append([]string{first.kind}, seen...), rest...)
	if want = append(want, "integration.deletion-started", "mapping.requested", "integration.deleted"); !slices.Equal(all, want) {
		t.Errorf("got  %q\nwant %q", all, want)
	}

	s.Forget(1 << 20)
	if got := follow(t, s, apitest.Admin, apitest.Secret, "", "0").next(); got.kind != "gap" {
		t.Errorf("got %+v, want a gap", got)
	}
	for _, last := range []string{"x", "+1", "-1", "1.0", " 1 2"} {
		request(t, s, apitest.Admin, http.MethodGet, watched, "", "Last-Event-ID", last).refused(t, http.StatusBadRequest, "invalid_parameter")
	}
}

func TestAWatchBeginsAtATimeThatIsNamed(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	for query, last := range map[string]string{"?since=1970-01-01T00:00:00Z": "", "?since=2999-01-01T00:00:00Z": "0"} {
		if got, _ := follow(t, s, apitest.Admin, apitest.Secret, query, last).until(i.ID, "integration.mapped"); got[0] != "integration.created" {
			t.Errorf("%s: got %v; want all from the first on", query, got)
		}
	}
	later := follow(t, s, apitest.Admin, apitest.Secret, "?since=2999-01-01T00:00:00Z", "")
	next := created(t, s, roleARN+"2")
	if got := later.next(); got.event.Integration != next.ID {
		t.Errorf("got %+v; want what comes next", got)
	}
	request(t, s, apitest.Admin, http.MethodGet, watched+"?since=yesterday", "").refused(t, http.StatusBadRequest, "invalid_parameter")
	request(t, s, apitest.Admin, http.MethodGet, watched+"?since=yesterday", "", "Last-Event-ID", "0").refused(t, http.StatusBadRequest, "invalid_parameter")
}

func TestAWatchTellsEachWhatTheyMayReadAndWanted(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	other := strings.Replace(creation(roleARN+"2"), string(apitest.Environment), "env-other", 1)
	assigner := follow(t, s, apitest.Assigner, apitest.Secret, "", "")
	stranger := follow(t, s, apitest.Other, apitest.Secret, "", "")
	one1 := follow(t, s, apitest.Admin, apitest.Secret, "?integration="+i.ID, "")
	env := follow(t, s, apitest.Admin, apitest.Secret, "?environment=env-other", "")
	var elsewhere, mineB, theirs wire.IntegrationV2
	request(t, s, apitest.Admin, http.MethodPost, one, other).into(t, http.StatusCreated, &elsewhere)
	request(t, s, apitest.Other, http.MethodPost, one, creation(roleARN+"3")).into(t, http.StatusCreated, &theirs)
	request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN+"4")).into(t, http.StatusCreated, &mineB)
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/sessions:revoke", "").into(t, http.StatusOK, new(wire.Revocation))
	for name, c := range map[string]struct {
		w    *watching
		want string
	}{
		"an Assigner of another environment": {assigner, mineB.ID},
		"another tenant":                     {stranger, theirs.ID},
		"who wants one integration":          {one1, i.ID},
		"who wants one environment":          {env, elsewhere.ID},
	} {
		if got := c.w.next(); got.event.Integration != c.want {
			t.Errorf("%s: got %+v, want %s first", name, got, c.want)
		}
	}
}

func TestAWatchEndsWithItsKey(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sa := account(t, s, programs, `{"display_name":"n"}`)
	give(t, s, sa.ID, "Assigner", ofOrgA+"/environment=env-abcdef")
	k := apiKey(t, s, apitest.Admin, sa.ID, "")
	w := follow(t, s, k.ID, k.Spec.Secret, "", "")
	created(t, s, roleARN)
	w.until("", "integration.trust-changed")
	if got := request(t, s, apitest.Admin, http.MethodDelete, apiKeys+"/"+k.ID, ""); got.status != http.StatusNoContent {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	// Ended by the deletion itself, which is an event; nothing of what comes later is told.
	created(t, s, roleARN+"2")
	for {
		text, err := w.body.ReadString('\n')
		if err != nil {
			return
		}
		if strings.Contains(text, "event: integration.created") {
			t.Fatal("a watch goes on without its key")
		}
	}
}

func TestAnOrganizationHasSoManyStreamsAtOnce(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	var open []*watching
	for range 50 {
		open = append(open, follow(t, s, apitest.Admin, apitest.Secret, "", ""))
	}
	got := request(t, s, apitest.Admin, http.MethodGet, watched, "")
	got.refused(t, http.StatusTooManyRequests, integration.CodeThrottled)
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	follow(t, s, apitest.Other, apitest.Secret, "", "") // others have their own
	for _, w := range open {
		w.end()
	}
	for end := time.Now().Add(time.Minute); ; {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+watched, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(apitest.Admin, apitest.Secret)
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("got %d after all were closed", got.StatusCode)
		}
	}
}

func TestAWatchIsCountedWhenItBegins(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	w := follow(t, s, apitest.Admin, apitest.Secret, "", "")
	created(t, s, roleARN)
	w.next() // so it has begun, and goes on
	families, err := only{s.Registry, map[string]bool{watched + " ok": true, watched + " ": true}}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			counts[f.GetName()] += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for _, name := range []string{"rolebridge_api_requests_total", "rolebridge_api_request_duration_seconds"} {
		if counts[name] != 1 {
			t.Errorf("%s counts %v watches while one is open, want 1", name, counts[name])
		}
	}
}

func TestAWatchRefusesATimeThatIsNoneAlsoBesideAPlace(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	request(t, s, apitest.Admin, http.MethodGet, watched, "", "Last-Event-ID", "9223372036854775807").refused(t, http.StatusBadRequest, "invalid_parameter")
	for _, since := range []string{"2026", "yesterday", "1969-12-31T23:59:59.998Z", "0001-01-01T00:00:00Z"} {
		for _, headers := range [][]string{nil, {"Last-Event-ID", "0"}} {
			fault := request(t, s, apitest.Admin, http.MethodGet, watched+"?since="+since, "", headers...).refused(t, http.StatusBadRequest, "invalid_parameter")
			if fault.Source == nil || fault.Source.Parameter != "since" {
				t.Errorf("%q with %v: got %+v", since, headers, fault)
			}
		}
	}
}

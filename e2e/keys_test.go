package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// asker is a client that asks for integrations, each until it knows that it has it.
type asker struct {
	w     *world
	n     int
	keyed bool // sends an Idempotency-Key
	url   string
	http  *http.Client

	ids  []string // of what was asked for
	seen map[int]int
	// late is the longest wait for a 503, by the fault of that time.
	late map[string]time.Duration
}

// wanted is how many integrations each asks for; with six clients that is less than the quota.
const wanted = 8 // as many as there are faults, and pauses between them

// ask sends the m-th request once; status 0 is no answer.
func (a *asker) ask(m int) (status int, id string, err error) {
	body, err := json.Marshal(wire.IntegrationRequestV2{
		DisplayName: "asked for", Provider: "aws", Environment: wire.ReferenceRequest{ID: environment},
		Config: &wire.ConfigRequest{CustomerIAMRoleARN: customerRole(1000+100*a.n+m, "customer")},
	})
	if err != nil {
		return 0, "", err
	}
	q, err := http.NewRequestWithContext(a.w.ctx, http.MethodPost, a.url+"/pim/v1/integrations", strings.NewReader(string(body)))
	if err != nil {
		return 0, "", err
	}
	q.SetBasicAuth(apiKey, apiSecret)
	q.Header.Set("Content-Type", "application/json")
	if a.keyed {
		q.Header.Set("Idempotency-Key", fmt.Sprintf("%d/%d", a.n, m))
	}
	resp, err := a.http.Do(q)
	if err != nil {
		return 0, "", nil // the api is dead, or died before it could answer
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", nil
	}
	switch resp.StatusCode {
	case http.StatusCreated:
		var made wire.IntegrationV2
		err = json.Unmarshal(text, &made)
		return resp.StatusCode, made.ID, err
	case http.StatusConflict:
		_, id, found := strings.Cut(resp.Header.Get("Location"), "/integrations/")
		id, _, _ = strings.Cut(id, "?")
		if a.keyed || !found {
			err = fmt.Errorf("409 with Location %q: %s", resp.Header.Get("Location"), text)
		}
		return resp.StatusCode, id, err
	case http.StatusServiceUnavailable:
		if resp.Header.Get("Retry-After") == "" {
			return resp.StatusCode, "", fmt.Errorf("503 without Retry-After: %s", text)
		}
		return resp.StatusCode, "", nil
	case http.StatusGatewayTimeout:
		return resp.StatusCode, "", nil
	}
	return resp.StatusCode, "", fmt.Errorf("%d %s", resp.StatusCode, text)
}

// run asks for everything, again and again until it is there. fault says what is the matter at the moment, and how many faults
// there were: each has a request that begins in it.
func (a *asker) run(fault func() (what string, nth int)) error {
	a.seen, a.late = map[int]int{}, map[string]time.Duration{}
	for m := range wanted {
		for nth := 0; nth < m && a.w.ctx.Err() == nil; _, nth = fault() {
			a.w.pause(50 * time.Millisecond)
		}
		for len(a.ids) == m {
			if err := a.w.ctx.Err(); err != nil {
				return fmt.Errorf("request %d: %w after %v", m, err, a.seen)
			}
			begin := time.Now()
			during, _ := fault()
			status, id, err := a.ask(m)
			if err != nil {
				return fmt.Errorf("request %d: %w", m, err)
			}
			a.seen[status]++
			if still, _ := fault(); status == http.StatusServiceUnavailable && during == still {
				a.late[during] = max(a.late[during], time.Since(begin))
			}
			if id != "" {
				a.ids = append(a.ids, id)
			}
			a.w.pause(300 * time.Millisecond)
		}
	}
	return nil
}

func TestEachKeyIsOneIntegrationWhileKafkaAndTheAPIAreKilled(t *testing.T) {
	w := newWorld(t)
	w.start("decider", "lifecycle").ready()
	w.start("worker", "mapping").ready()
	gate := w.start("gate", "api")
	gate.ready()
	w.found()

	var mu sync.Mutex
	now, nth := "none", 0
	fault := func() (string, int) {
		mu.Lock()
		defer mu.Unlock()
		return now, nth
	}
	during := func(what string, long time.Duration) {
		mu.Lock()
		now = what
		nth++
		mu.Unlock()
		w.pause(long)
	}
	var askers []*asker
	ended := make(chan error)
	for n := range 6 {
		a := &asker{w: w, n: n, keyed: n%3 != 0, url: gate.url("api"), http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
		askers = append(askers, a)
		go func() { ended <- a.run(fault) }()
	}
	for range 3 { // kill -9, wherever its requests are
		during("the api dies", 700*time.Millisecond)
		gate.kill()
	}
	during("none", time.Second)
	w.must(w.kafka.Pause())
	during("Kafka is frozen", 6*time.Second)
	gate.kill()
	w.must(w.kafka.Resume())
	during("none", 2*time.Second)
	w.must(w.kafka.Kill())
	during("Kafka is dead", 6*time.Second)
	w.must(w.kafka.Start(w.ctx))
	during("none", 0)

	seen, late := map[int]int{}, map[string]time.Duration{}
	for range askers {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		return
	}
	owner := map[string]string{}
	for _, a := range askers {
		for status, times := range a.seen {
			seen[status] += times
		}
		for what, d := range a.late {
			late[what] = max(late[what], d)
		}
		for m, id := range a.ids {
			request := fmt.Sprintf("%d/%d", a.n, m)
			if other, taken := owner[id]; taken {
				t.Errorf("%s was given to %s and to %s", id, other, request)
			}
			owner[id] = request
			// And whoever asks again is given the same.
			if status, again, err := a.ask(m); err != nil || again != id {
				t.Errorf("%s, asked again: %d %s, %v; want %s", request, status, again, err, id)
			}
		}
	}
	list, err := w.customer(gate.url("api")).api.List(w.ctx, environment, "")
	w.must(err)
	if len(list) != len(askers)*wanted {
		t.Errorf("%d integrations are there, %d were asked for", len(list), len(askers)*wanted)
	}
	h, err := w.read()
	w.must(err)
	for id, answers := range h.answers {
		if len(answers) != 1 {
			t.Errorf("command %s was answered %d times", id, len(answers))
		}
		if _, refused := answers[0].Fact.(integration.Refused); refused && strings.HasPrefix(id, "k.") {
			t.Errorf("the command of a key was refused: %+v", answers[0])
		}
	}
	if seen[0] == 0 || seen[http.StatusServiceUnavailable] == 0 || gate.count() < 4 {
		t.Errorf("the faults did not fire: answers %v, %d starts of the api", seen, gate.count())
	}
	t.Logf("%d integrations; answers by status: %v; the longest wait for a 503: %v", len(list), seen, late)
}

package creds_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// tenant binds connectors to integrations of an organization of its own and returns their tokens.
func (w *world) tenant(o integration.OrganizationID, integrations, connectors int) (tokens []secret.Text) {
	for n := range integrations {
		id := integration.ID(fmt.Sprintf("cspi-%s-%d", o, n))
		platform, customer := fmt.Sprintf("arn:aws:iam::111111111111:role/%s", id), fmt.Sprintf("arn:aws:iam::222222222222:role/%s", id)
		w.cloud.Role(platform, credstest.CloudRole{})
		w.cloud.Role(customer, credstest.CloudRole{Trusts: platform, ExternalID: externalID, Tags: true})
		w.replica.Trusted(o, id, platform, customer, externalID, true)
		for c := range connectors {
			tokens = append(tokens, credstest.NewToken())
			w.replica.Bind(id, integration.ConnectorID(fmt.Sprint("connector-", c)), tokens[len(tokens)-1])
		}
	}
	return tokens
}

// crowd is callers who come at once, each for a key of its own, and come again as long as they are asked to.
type crowd struct {
	mu        sync.Mutex
	slowest   time.Duration // until it had its session
	throttled int           // answers
	longest   time.Duration // answer
	failed    error
}

func (c *crowd) come(t *testing.T, b *creds.Broker, tokens []secret.Text) *sync.WaitGroup {
	start, all := time.Now(), new(sync.WaitGroup)
	for _, token := range tokens {
		all.Go(func() {
			for {
				asked := time.Now()
				_, err := b.Session(t.Context(), token)
				c.answered(err, time.Since(asked), time.Since(start))
				if err == nil {
					return
				}
				<-time.After(time.Second) // Retry-After
			}
		})
	}
	return all
}

func (c *crowd) answered(err error, took, since time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.longest = max(c.longest, took)
	var refusal *integration.Refusal
	switch {
	case err == nil:
		c.slowest = max(c.slowest, since)
	case !errors.As(err, &refusal):
		c.failed = err
	case refusal.Code == integration.CodeThrottled:
		c.throttled++
	case refusal.Code != integration.CodeUnavailable:
		c.failed = err
	}
}

func TestAnOrganizationWithManyColdKeysStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cloud.Inject(credstest.Fault{Latency: 50 * time.Millisecond})
		const atOnce = 32
		b := w.broker(t, func(c *creds.Config) { c.Calls, c.Rate = atOnce, 1000 })
		greedy, modest := w.tenant("greedy", 99, 100), w.tenant("modest", 10, 10)
		var many, few crowd
		everybody := many.come(t, b, greedy)
		bubbletest.Pass(time.Second) // the greedy one has filled what it may
		others := few.come(t, b, modest)
		others.Wait()
		everybody.Wait()

		for name, c := range map[string]*crowd{"greedy": &many, "modest": &few} {
			if c.failed != nil {
				t.Errorf("%s: %v, want nothing but answers that are tried again", name, c.failed)
			}
			if c.longest > 800*time.Millisecond {
				t.Errorf("%s: an answer took %s, want at most 800 ms", name, c.longest)
			}
		}
		// Alone they need two rounds of calls in 7 turns, 0.4 s at 32 at a time, and every second turn is theirs.
		if few.slowest > time.Second || few.throttled > 0 {
			t.Errorf("the modest organization's last of 100 keys took %s and %d answers were 429, want 1 s at most and none", few.slowest, few.throttled)
		}
		if many.slowest > time.Minute || many.throttled == 0 {
			t.Errorf("the greedy organization's last of 9,900 keys took %s, want a minute at most, and %d answers were 429, want some", many.slowest, many.throttled)
		}
		if most := w.cloud.Most(); most > atOnce {
			t.Errorf("%d calls at once, want %d at most", most, atOnce)
		}
		if got, want := w.cloud.Calls(""), 9900+99+100+10; got != want {
			t.Errorf("%d calls to the cloud, want one for each key, %d", got, want)
		}
		t.Logf("greedy: last key after %s, %d times 429; modest: after %s", many.slowest, many.throttled, few.slowest)
	})
}

func TestOverloadIsSaidInWordsThatTheSDKTriesAgainFor(t *testing.T) {
	for agent, want := range map[string]int{
		"aws-sdk-java/2.33.4 md/io#async md/http#Apache ua/2.1 api/S3#2.33.x": http.StatusServiceUnavailable,
		"aws-sdk-java/1.12.780 Linux/6.1":                                     http.StatusServiceUnavailable,
		"aws-sdk-go-v2/1.30.0 ua/2.0":                                         http.StatusTooManyRequests,
		"Boto3/1.35.0 Botocore/1.35.0":                                        http.StatusTooManyRequests,
		"":                                                                    http.StatusTooManyRequests,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			gate := make(chan struct{})
			held := w.cloud.Inject(credstest.Fault{Gate: gate})
			b := w.broker(t, func(c *creds.Config) { c.Fetches = 1 })
			tokens := w.connectors(2)
			first := make(chan error, 1)
			go func() {
				_, err := b.Session(t.Context(), tokens[0])
				first <- err
			}()
			synctest.Wait()
			r := request(t, "http://broker"+creds.Path, tokens[1].Reveal())
			r.Header.Set("User-Agent", agent)
			answer := &discard{header: http.Header{}}
			b.Handler().ServeHTTP(answer, r)
			if answer.status != want || answer.header.Get("Retry-After") != "1" {
				t.Errorf("%q is answered with %d and Retry-After %q, want %d and 1", agent, answer.status, answer.header.Get("Retry-After"), want)
			}
			close(gate)
			if err := <-first; err != nil || held.Fired() == 0 {
				t.Errorf("the first fetch: %v after %d calls", err, held.Fired())
			}
		})
	}
}

func TestAnEarlyAnswerIsFollowedByTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := w.cloud.Inject(credstest.Fault{Role: customerRole, Latency: 2 * time.Second})
		b := w.broker(t)
		answer := &discard{header: http.Header{}}
		start, tries := time.Now(), 0
		for answer.status != http.StatusOK && tries < 4 { // the JavaScript SDK's tries, a second apart
			asked := time.Now()
			b.Handler().ServeHTTP(answer, request(t, "http://broker"+creds.Path, w.token.Reveal()))
			if took := time.Since(asked); took > 800*time.Millisecond {
				t.Errorf("an answer took %s, want at most 800 ms", took)
			}
			if answer.status != http.StatusOK && (answer.status != http.StatusServiceUnavailable || answer.header.Get("Retry-After") != "1") {
				t.Errorf("answered %d with Retry-After %q, want 503 and 1", answer.status, answer.header.Get("Retry-After"))
			}
			tries++
			bubbletest.Pass(time.Until(start.Add(time.Duration(tries) * time.Second)))
		}
		if answer.status != http.StatusOK || tries != 3 || slow.Fired() != 1 {
			t.Errorf("%d after %d tries and %d calls, want the session with the third try and one call", answer.status, tries, slow.Fired())
		}
	})
}

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api/wire"
)

// seen is what a broker answered, and when the answer was there.
type seen struct {
	status int
	key    string
	at     time.Time
}

func credentials(ctx context.Context, broker *process, token string) (s seen, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, broker.url("broker")+"/v1/credentials", nil)
	if err != nil {
		return seen{}, err
	}
	req.Header.Set("Authorization", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return seen{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct{ AccessKeyID string }
	err = json.NewDecoder(resp.Body).Decode(&body)
	return seen{resp.StatusCode, body.AccessKeyID, time.Now()}, err
}

// A second is what we promise; a busy machine gets more. The figures are in the log.
const revokedWithin = 10 * time.Second

func TestARevocationCountsOnEveryBroker(t *testing.T) {
	w := newWorld(t)
	platform := w.start("platform", "api,lifecycle,mapping,trust")
	fleet := []*process{w.start("broker-a", "broker"), w.start("broker-b", "broker"), w.start("broker-c", "broker")}
	platform.ready()
	for _, b := range fleet {
		b.ready()
	}
	w.found()
	c := w.customer(platform.url("api"))
	id := c.integrate("orders", "orders-bucket")
	bind := func(name string) (token string) {
		bound, err := c.api.Bind(t.Context(), id, wire.ConnectorRequest{Connector: name})
		w.must(err)
		return bound.Token
	}
	one, two := bind("lcc-1"), bind("lcc-2")

	for _, step := range []struct {
		name, token string
		decide      func() error
		status      int // that follows
	}{
		{"revoke-sessions", one, func() error { _, err := c.api.Revoke(t.Context(), id); return err }, http.StatusOK},
		{"unbind", one, func() error { return c.api.Unbind(t.Context(), id, "lcc-1") }, http.StatusUnauthorized},
		{"delete", two, func() error { return c.api.Delete(t.Context(), environment, id, true) }, http.StatusUnauthorized},
	} {
		before := make([]seen, len(fleet))
		for n, b := range fleet {
			w.eventually(time.Minute, "the connector has a session", func() (err error) {
				before[n], err = credentials(t.Context(), b, step.token)
				if err == nil && before[n].status != http.StatusOK {
					err = fmt.Errorf("status %d", before[n].status)
				}
				return err
			})
		}
		begin := time.Now()
		changed := make(chan error, len(fleet))
		after := make([]seen, len(fleet))
		for n, b := range fleet {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				for {
					now, err := credentials(ctx, b, step.token)
					if err != nil || now.status != before[n].status || now.key != before[n].key {
						after[n] = now
						changed <- err
						return
					}
					<-time.After(5 * time.Millisecond)
				}
			}()
		}
		w.must(step.decide())
		for range fleet {
			w.must(<-changed)
		}
		decided := w.decidedAfter(begin)
		for n, s := range after {
			if s.status == http.StatusServiceUnavailable { // the session is gone, and the next one takes its time
				s.status = http.StatusOK
			}
			if s.status != step.status {
				t.Errorf("%s: broker %d answers %d, want %d", step.name, n, s.status, step.status)
			}
			took := s.at.Sub(decided)
			if took > revokedWithin {
				t.Errorf("%s: broker %d still handed out the session %v after the decision's record", step.name, n, took)
			}
			t.Logf("%s: broker %d followed %v after the decision's record", step.name, n, took.Round(time.Millisecond))
		}
	}
}

// decidedAfter is the timestamp of the first event since a moment.
func (w *world) decidedAfter(begin time.Time) time.Time {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Brokers()...), kgo.ConsumeTopics(w.topics.Events()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(begin.UnixMilli())))
	w.must(err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		fetches := cl.PollFetches(ctx)
		w.must(errors.Join(ctx.Err(), fetches.Err()))
		for r := range fetches.RecordsAll() {
			if !r.Timestamp.Before(begin.Truncate(time.Millisecond)) {
				return r.Timestamp
			}
		}
	}
}

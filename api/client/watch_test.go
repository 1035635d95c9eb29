package client_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// streams is a server whose streams end behind some text.
type streams func(n int) string

func (s streams) client(t *testing.T) *client.Client {
	t.Helper()
	n := 0
	c, err := client.New(client.Config{URL: "http://api.example", Key: "K", Secret: secret.New("hidden"), HTTP: &http.Client{Transport: trip(func() *http.Response {
		n++
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(s(n)))}
	})}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type trip func() *http.Response

func (f trip) RoundTrip(*http.Request) (*http.Response, error) { return f(), nil }

func TestAStreamThatIsCutAtOnceIsOpenedLessAndLessOftenUntilAnEventComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const event = 12 // the stream that has one
		c := streams(func(n int) string {
			text := ": events\nretry: 2000\n\nevent: gap\ndata: {}\n\n"
			if n == event {
				text += "id: 7\ndata: {\"id\":\"7\",\"type\":\"t\"}\n\n"
			}
			return text
		}).client(t)
		var waits []time.Duration
		for _, err := range c.Follow(t.Context(), client.Watch{Lost: func(_ error, wait time.Duration) { waits = append(waits, wait) }}) {
			if err != nil {
				t.Fatal(err)
			}
			if len(waits) == event {
				break
			}
		}
		if before, after := waits[event-2], waits[event-1]; before < 5*time.Second || after > time.Second {
			t.Errorf("the waits were %v: want them to grow to seconds, and the one behind the event to be short", waits)
		}
	})
}

func TestNumbersOfEventsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	c := streams(func(int) string { return "id: 7\ndata: {\"id\":\"7\",\"type\":\"t\",\"data\":{\"epoch\":1048577}}\n\n" }).client(t)
	for e, err := range c.Follow(t.Context(), client.Watch{}) {
		if err != nil || e.Data["epoch"] != json.Number("1048577") {
			t.Errorf("got %v, %v", e.Data, err)
		}
		break
	}
}

func TestAStreamThatLastedIsOpenedAnewAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := streams(func(n int) string {
			if n > 5 { // of those that end at once, there are as many as it takes to wait
				bubbletest.Pass(2 * time.Minute)
			}
			return ": events\nretry: 2000\n\n"
		}).client(t)
		var waits []time.Duration
		opened := 0
		ctx, cancel := context.WithCancel(t.Context())
		for _, err := range c.Follow(ctx, client.Watch{Opened: func() { opened++ }, Lost: func(_ error, wait time.Duration) {
			if waits = append(waits, wait); len(waits) == 8 {
				cancel()
			}
		}}) {
			if ctx.Err() == nil {
				t.Fatal(err)
			}
		}
		if waits[4] < 500*time.Millisecond || waits[6] > 400*time.Millisecond || opened < 8 {
			t.Errorf("%d streams were open, the waits were %v: want them to grow, and to be short behind those that lasted", opened, waits)
		}
	})
}

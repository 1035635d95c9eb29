package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/tmaxmax/go-sse"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// EventGap is the type of an event that says that some were missed for good: they are kept no longer.
const EventGap = "gap"

// Watch says which events are wanted, and from where on.
type Watch struct {
	Environment, Integration string // empty is any
	// After is the id of the last event that was seen; Since is a time. Without both it begins now.
	After string
	Since time.Time
	// Lost is told when a stream ends, and after which time the next one is opened; nil is nobody.
	Lost func(err error, wait time.Duration)
	// Opened is told whenever a stream is open; nil is nobody.
	Opened func()
}

const (
	// silence is how long a stream may say nothing: the server gives a sign of life every 15 s.
	silence = time.Minute
	// largest bounds one event.
	largest = 4 << 20
)

// Follow yields events as they come, resumes behind the last one when a stream ends, and goes on until ctx ends or the
// caller breaks. It ends with an error that is not mended by waiting, and with any error before the first stream is open:
// whoever is not let in, or has a wrong address, is told so.
func (c *Client) Follow(ctx context.Context, w Watch) iter.Seq2[wire.Event, error] {
	return func(yield func(wire.Event, error) bool) {
		wait := backoff.NewExponentialBackOff()
		wait.InitialInterval, wait.MaxInterval = 200*time.Millisecond, 30*time.Second
		opened := false
		for {
			began := time.Now()
			more, err := c.stream(ctx, &w, func(e wire.Event) bool {
				opened = true
				if e.ID != "" { // a stream that is only opened is no progress
					wait.Reset()
				}
				if e.Type == "" && w.Opened != nil {
					w.Opened()
				}
				return e.Type == "" || yield(e, nil)
			})
			if time.Since(began) > silence { // and one that lasted is
				wait.Reset()
			}
			switch _, answered := errors.AsType[*Error](err); {
			case !more:
				return
			case ctx.Err() != nil:
				yield(wire.Event{}, ctx.Err())
				return
			case !opened || answered && !temporary(Code(err)):
				yield(wire.Event{}, err)
				return
			}
			pause := wait.NextBackOff()
			if w.Lost != nil {
				w.Lost(err, pause)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

func temporary(code integration.Code) bool {
	return code.Answer().Exit == integration.CodeUnavailable.Answer().Exit
}

// stream opens one stream and reads it to its end, moving w on. take is first called with an empty event once it is open;
// more is false when take wants no more.
func (c *Client) stream(ctx context.Context, w *Watch, take func(wire.Event) bool) (more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	q := url.Values{}
	for name, value := range map[string]string{"environment": w.Environment, "integration": w.Integration} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if w.After == "" && !w.Since.IsZero() {
		q.Set("since", w.Since.UTC().Format(time.RFC3339))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.config.URL+"/rolebridge/v1/watch?"+q.Encode(), nil)
	if err != nil {
		return true, err
	}
	c.sign(req)
	req.Header.Set("Accept", "text/event-stream")
	if w.After != "" {
		req.Header.Set("Last-Event-ID", w.After)
	}
	resp, err := (&http.Client{Transport: c.config.HTTP.Transport, CheckRedirect: c.config.HTTP.CheckRedirect}).Do(req) // without a timeout of the whole
	if err != nil {
		return true, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err == nil {
			_, err = failed(resp, text)
		}
		return true, err
	}
	if w.After == "" && w.Since.IsZero() { // what comes while the next stream is not open yet is not missed
		w.Since, _ = http.ParseTime(resp.Header.Get("Date"))
	}
	if !take(wire.Event{}) {
		return false, nil
	}
	alive := reading{resp.Body, func() { quiet.Reset(silence) }}
	for e, err := range sse.Read(alive, &sse.ReadConfig{MaxEventSize: largest}) {
		if err != nil {
			return true, err
		}
		var event wire.Event
		if e.Type == EventGap {
			event.Type = EventGap
		} else if err := decode([]byte(e.Data), &event); err != nil {
			return true, fmt.Errorf("the stream is not what was expected: %w", err)
		}
		w.After = cmp.Or(e.LastEventID, w.After)
		if !take(event) {
			return false, nil
		}
	}
	return true, errors.New("the stream ended")
}

// reading tells of every read that got something.
type reading struct {
	io.Reader
	got func()
}

func (r reading) Read(into []byte) (int, error) {
	n, err := r.Reader.Read(into)
	if n > 0 {
		r.got()
	}
	return n, err
}

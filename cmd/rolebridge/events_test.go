package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
)

// types are those of the events that a tail printed as JSON, one a line.
func types(t *testing.T, out string) (all []string, last wire.Event) {
	t.Helper()
	for line := range strings.Lines(out) {
		last = wire.Event{}
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, last.Type)
	}
	return all, last
}

var story = []string{
	"integration.created", "mapping.requested", "integration.mapped", "trust.requested", "integration.validated", "integration.trust-changed",
}

func TestATailShowsWhatHappenedAndResumes(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, same := create(t, c, "--customer-role-arn", roleARN)
	create(t, c, "--customer-role-arn", roleARN+"2")
	from := []string{"events", "tail", "--integration", i.ID, "-o", "json", "--limit"}
	head, last := types(t, c.want(t, 0, append(from, "2", "--from-beginning")...).out)
	rest, _ := types(t, c.want(t, 0, append(from, "4", "--last-event-id", last.ID)...).out)
	if got := slices.Concat(head, rest); strings.Join(got, " ") != strings.Join(story, " ") {
		t.Errorf("got  %q\nwant %q", got, story)
	}
	for _, since := range []string{"1d", "2h30m", "1970-01-01T00:00:00Z"} {
		if got, _ := types(t, c.want(t, 0, append(from, "1", "--since", since)...).out); got[0] != story[0] {
			t.Errorf("%s: got %q", since, got)
		}
	}
	people := same.Replace(moment.ReplaceAllString(c.want(t, 0, "events", "tail", "--integration", i.ID, "-b", "--limit", "6").out, "2026-01-02 03:04:05 UTC"))
	for _, want := range []string{
		"2026-01-02 03:04:05 UTC  cspi-1234abcd  integration.created           created_by=u-admin-a display_name=s3-provider-integration",
		"integration.trust-changed     from=pending to=valid",
	} {
		if !strings.Contains(people, want) {
			t.Errorf("%q is not in\n%s", want, people)
		}
	}
	if got := c.want(t, 0, "events", "tail", "-b", "--limit", "2", "-o", "yaml"); strings.Count(got.out, "---\n") != 2 {
		t.Errorf("got %s", got.out)
	}
	s.Forget(5)
	if got := c.want(t, 0, "events", "tail", "-b", "--limit", "1"); !strings.Contains(got.err, "events are missing here") {
		t.Errorf("got %q, want that some are gone", got.err)
	}
	for _, wrong := range [][]string{
		{"--since", "yesterday"}, {"--since", "-1h"}, {"--since", "1h", "-b"}, {"-b", "--last-event-id", "1"}, {"--limit", "-1"}, {"--last-event-id", "x"},
	} {
		c.want(t, 2, append([]string{"events", "tail"}, wrong...)...)
	}
	c.want(t, 4, "events", "tail", "--integration", "cspi-unknown1")
	at(s, "UNKNOWN").want(t, 8, "events", "tail")
}

// lost is a proxy that ends each of the first streams after its first event; while one is asked for, it may be away.
func lost(t *testing.T, to string, times, away int64) (string, *atomic.Int64) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	var opened atomic.Int64
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }, FlushInterval: -1}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := opened.Add(1)
		switch {
		case n == away:
			w.WriteHeader(http.StatusServiceUnavailable)
		case n <= times:
			proxy.ServeHTTP(cut{w}, r)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(listener.Close)
	return listener.URL, &opened
}

// cut is an answer whose connection is lost behind an event.
type cut struct{ http.ResponseWriter }

func (c cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c cut) Write(text []byte) (int, error) {
	at := bytes.Index(text, []byte("data: "))
	if at < 0 {
		return c.ResponseWriter.Write(text)
	}
	_, _ = c.ResponseWriter.Write(text[:at+bytes.Index(text[at:], []byte("\n\n"))+2])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func TestATailThatIsCutGoesOnBehindTheLastEvent(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i, _ := create(t, at(s, apitest.Admin), "--customer-role-arn", roleARN)
	c := at(s, apitest.Admin)
	address, opened := lost(t, s.URL, 3, 2)
	c.env[envURL] = address
	got := c.want(t, 0, "events", "tail", "-b", "--limit", "6", "-o", "json")
	if all, last := types(t, got.out); strings.Join(all, " ") != strings.Join(story, " ") || last.Integration != i.ID {
		t.Errorf("got  %q\nwant %q", all, story)
	}
	if opened.Load() < 3 || !strings.Contains(got.err, "The connection is lost") || strings.Count(got.err, "The connection is back") != 1 {
		t.Errorf("%d streams were opened, and %q was said; want it lost and back", opened.Load(), got.err)
	}
}

func TestAStreamThatIsOpenedAnewAtOnceIsNotSpokenOf(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	create(t, at(s, apitest.Admin), "--customer-role-arn", roleARN)
	c := at(s, apitest.Admin)
	address, opened := lost(t, s.URL, 2, 0)
	c.env[envURL] = address
	got := c.want(t, 0, "events", "tail", "-b", "--limit", "4")
	if opened.Load() < 3 || got.err != "" {
		t.Errorf("%d streams were opened, and %q was said; want 3 and nothing", opened.Load(), got.err)
	}
}

func TestATimeOfATableIsATimeForSince(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for _, text := range []string{when(at), at.Format(time.RFC3339), "2026-01-02T16:04:05+01:00"} {
		if got, err := sinceFlag(text); err != nil || !got.Equal(at) {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

// printing cancels once something was printed.
type printing struct {
	bytes.Buffer
	cancel func()
}

func (w *printing) Write(text []byte) (int, error) {
	w.cancel()
	return w.Buffer.Write(text)
}

func TestAnInterruptEndsATail(t *testing.T) {
	t.Parallel()
	c := at(apitest.Serve(t), apitest.Admin)
	create(t, c, "--customer-role-arn", roleARN)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &printing{cancel: cancel}
	var err bytes.Buffer
	code := run(ctx, []string{"events", "tail", "-b"}, streams{out: out, err: &err, env: func(name string) string { return c.env[name] }, home: c.homeless})
	if code != 130 || !strings.Contains(out.String(), "integration.created") || err.String() != "Interrupted.\n" {
		t.Errorf("got exit code %d, %q and %q; want 130", code, out.String(), err.String())
	}
}

func TestTheHistoryOfAnIntegrationIsPrinted(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	var all []wire.Event
	if err := json.Unmarshal([]byte(c.want(t, 0, "pi", "history", i.ID, "-o", "json").out), &all); err != nil || len(all) != len(story) {
		t.Fatalf("got %+v, %v; want %q", all, err, story)
	}
	for n, e := range all {
		if e.Type != story[n] {
			t.Errorf("got %s, want %s", e.Type, story[n])
		}
	}
	if got := c.want(t, 0, "pi", "history", i.ID); !strings.Contains(got.out, "from=pending to=valid") {
		t.Errorf("got %s", got.out)
	}
	c.want(t, 4, "pi", "history", "cspi-unknown1")
	c.want(t, 4, "pi", "history", i.ID, "--environment", "env-other")
	s.Forget(1 << 20)
	if got := c.want(t, 0, "pi", "history", i.ID, "-o", "json"); got.out != "[]\n" || !strings.Contains(got.err, "kept no longer") {
		t.Errorf("got %q and %q", got.out, got.err)
	}
}

func TestTheQuotaIsReadByAllAndSetByThePlatform(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	create(t, c, "--customer-role-arn", roleARN)
	if got := read[limits](t, c.want(t, 0, "quota", "describe", "-o", "json")); got.Organization != "org-a" || got.Used != 1 || got.Limit == 0 {
		t.Errorf("got %+v", got)
	}
	c.want(t, 3, "quota", "update", "--provider-integrations", "7")
	c.want(t, 2, "quota", "update")
	platform := at(s, apitest.Platform)
	platform.want(t, 0, "quota", "update", "--provider-integrations", "7")
	if got := c.want(t, 0, "service-quota", "describe"); !strings.Contains(got.out, "| Provider Integrations | 7 ") {
		t.Errorf("got %s", got.out)
	}
	platform.want(t, 2, "quota", "update", "--provider-integrations", "-1")
}

func TestALifeMayBeGivenInDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"90d": "90d", "1w": "1w", "36h": "1d12h", "1h30m": "1h30m", "1.5h": "1h30m", "0": "0s", "1y": "1y"} {
		var l lifetime
		if err := l.Set(text); err != nil || l.String() != want {
			t.Errorf("%s: got %s, %v; want %s", text, l.String(), err, want)
		}
	}
	for _, text := range []string{"", "90", "d", "90 d", "1d1w", "abc"} {
		var l lifetime
		if err := l.Set(text); err == nil || !strings.Contains(err.Error(), "90d") {
			t.Errorf("%q: got %v, want an error", text, err)
		}
	}
	c := at(apitest.Serve(t), apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	c.want(t, 0, "connector", "bind", i.ID, "lcc-1", "--token-expires-in", "90d")
	c.want(t, 0, "connector", "rotate-token", i.ID, "lcc-1", "--overlap", "7d")
	if got := c.want(t, 2, "connector", "rotate-token", i.ID, "lcc-1", "--overlap", "8"); !strings.Contains(got.err, "--overlap") {
		t.Errorf("got %q", got.err)
	}
}

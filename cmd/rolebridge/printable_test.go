package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
)

// hostileText is what a terminal obeys or shows as something else, and what it does neither with.
const hostileText = "a\x1b]0;owned\x07\u009b31m\u202e\u200b\x7f\r\U000e0041é😀"

// spoils reports whether a terminal obeys something in text.
func spoils(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return !shows(r) })
}

// hostileAPI answers everything with hostile text.
func hostileAPI(t *testing.T) *cli {
	t.Helper()
	event := wire.Event{ID: "7", Type: "t" + hostileText, Time: time.Now(), Integration: hostileText + "\nsecond", Data: map[string]any{
		"key" + hostileText: hostileText, "epoch": 1048577, "forced": true,
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch {
		case strings.HasSuffix(r.URL.Path, "/watch"):
			w.Header().Set("Content-Type", "text/event-stream")
			text, _ := json.Marshal(event)
			_, _ = fmt.Fprintf(w, "id: 7\ndata: %s\n\n", text)
			return
		case strings.HasSuffix(r.URL.Path, "/events"):
			answer = wire.EventList{Data: []wire.Event{event}}
		case strings.HasSuffix(r.URL.Path, "/cspi-gone"):
			w.Header().Set("X-Request-Id", "r")
			w.WriteHeader(http.StatusNotFound)
			answer = wire.Failure{Errors: []wire.Fault{{Code: "not_found", Detail: hostileText, Resolution: hostileText}}}
		case strings.HasSuffix(r.URL.Path, "/integrations"):
			answer = map[string]any{"data": []wire.IntegrationV2{{ID: "cspi-1", DisplayName: hostileText}}}
		default:
			answer = wire.IntegrationV2{ID: "cspi-1", DisplayName: hostileText}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return &cli{env: map[string]string{envURL: s.URL, envKey: "K", envSecret: apitest.Secret, envEnvironment: "env-1"}}
}

func TestWhatTheAPISaysDoesNotReachTheTerminalAsEscapes(t *testing.T) {
	t.Parallel()
	c := hostileAPI(t)
	for _, args := range [][]string{{"events", "tail", "--limit", "1"}, {"pi", "history", "cspi-1"}, {"pi", "describe", "cspi-1"}, {"pi", "list"}} {
		for _, out := range []string{"human", "json", "yaml"} {
			got := c.want(t, 0, append(args, "-o", out)...)
			if spoils(got.out+got.err) || !strings.Contains(got.out, "owned") {
				t.Errorf("%v -o %s: got %q %q", args, out, got.out, got.err)
			}
		}
	}
	if got := c.want(t, 0, "events", "tail", "--limit", "1"); strings.Count(got.out, "\n") != 1 || !strings.Contains(got.out, "epoch=1048577 forced=true") {
		t.Errorf("got %q, want one line, and the number as it is", got.out)
	}
	if got := c.want(t, 4, "pi", "describe", "cspi-gone"); spoils(got.err) || strings.Count(got.err, "owned") != 2 {
		t.Errorf("an error: got %q", got.err)
	}
	var e wire.Event
	if err := json.Unmarshal([]byte(c.want(t, 0, "events", "tail", "--limit", "1", "-o", "json").out), &e); err != nil || e.Type != "t"+hostileText {
		t.Errorf("got %q, %v, want the same text in JSON", e.Type, err)
	}
}

func TestADocumentForMachinesSaysTheSameInCharactersThatShow(t *testing.T) {
	t.Parallel()
	type document struct {
		Text   string            `json:"text" yaml:"text"`
		Keys   map[string]string `json:"keys" yaml:"keys"`
		Number json.Number       `json:"number" yaml:"number"`
	}
	want := document{hostileText + "\n\"two\"\\u202e: 'x'", map[string]string{"k\u202e": "#\u009b", "plain": "text"}, "1048577"}
	for format, read := range map[format]func([]byte, any) error{inJSON: json.Unmarshal, inYAML: yaml.Unmarshal} {
		var out bytes.Buffer
		if err := format.document(&out, want); err != nil {
			t.Fatal(err)
		}
		var got document
		if err := read(out.Bytes(), &got); err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%s: got %q, %v, want %q\n%s", format, got, err, want, out.String())
		}
		if spoils(out.String()) || !strings.Contains(out.String(), "é") {
			t.Errorf("%s: got %q", format, out.String())
		}
	}
}

func TestOfTablesTheTerminalObeysNothing(t *testing.T) {
	t.Parallel()
	for name, draw := range map[string]func(io.Writer) error{
		"an object": func(to io.Writer) error { return object(to, []row{{"Name", hostileText}}) },
		"a list":    func(to io.Writer) error { return list(to, []string{"Name"}, [][]string{{hostileText}}) },
	} {
		var out bytes.Buffer
		if err := draw(&out); err != nil || spoils(out.String()) || !strings.Contains(out.String(), `a\x1b]0;owned`) {
			t.Errorf("%s: got %q, %v", name, out.String(), err)
		}
	}
}

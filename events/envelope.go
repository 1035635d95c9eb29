package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Extension attributes of ours, beside those that every CloudEvent has.
const (
	extOrganization  = "organization"     // on every event: the tenant
	extActor         = "actor"            // on commands: who asks
	extAttempt       = "attempt"          // on results: the request that is answered
	extVersion       = "aggregateversion" // on events: the aggregate's version after it
	extCommandID     = "commandid"        // on the one event that answers a command: the command's id
	extCommandSource = "commandsource"    // … and its source
)

// Names in the Kafka binding of CloudEvents 1.0.2.
const (
	headerPrefix      = "ce_"
	headerContentType = "content-type"
	contentJSON       = "application/json"
	contentStructured = "application/cloudevents+json"
)

// Bounds of what is read. A command is some hundred bytes; a report some thousand.
const (
	maxValue      = 64 << 10
	maxHeaders    = 64
	maxHeaderSize = 16 << 10 // all headers together
	maxKey        = 4 << 10
	maxAttribute  = 1024
)

// TypeOf returns the type in a binary record's header and reads nothing else of it; ok is false without such a header, as
// on structured records. A reader of few types is spared most of a topic.
func TypeOf(r *kgo.Record) (kind string, ok bool) {
	for _, h := range r.Headers {
		if h.Key == headerPrefix+"type" {
			return string(h.Value), true
		}
	}
	return "", false
}

// readEnvelope makes a CloudEvent of a record, binary or structured.
func readEnvelope(r *kgo.Record) (event.Event, error) {
	if len(r.Value) > maxValue {
		return event.Event{}, fmt.Errorf("the record has %d bytes; at most %d are read", len(r.Value), maxValue)
	}
	if len(r.Headers) > maxHeaders {
		return event.Event{}, fmt.Errorf("the record has %d headers; at most %d are read", len(r.Headers), maxHeaders)
	}
	if len(r.Key) > maxKey {
		return event.Event{}, fmt.Errorf("the record's key has %d bytes; at most %d are read", len(r.Key), maxKey)
	}
	if !utf8.Valid(r.Value) {
		return event.Event{}, errors.New("the record is not valid UTF-8")
	}
	size := 0
	for _, h := range r.Headers {
		if size += len(h.Key) + len(h.Value); size > maxHeaderSize {
			return event.Event{}, fmt.Errorf("the record's headers have more than %d bytes", maxHeaderSize)
		}
	}
	e, err := event.Event{}, error(nil)
	if content := contentType(r); structured(content) {
		if media, _, _ := mime.ParseMediaType(content); media != contentStructured {
			return e, fmt.Errorf("content type %q is not supported", media)
		}
		err = json.Unmarshal(r.Value, &e)
	} else {
		e, err = readBinary(r, content)
	}
	if err != nil {
		return event.Event{}, err
	}
	// Extension names are checked by Validate only where they are set; lengths are not checked at all.
	for name, v := range e.Extensions() {
		if s, ok := v.(string); ok && len(s) > maxAttribute {
			return event.Event{}, fmt.Errorf("attribute %s has %d bytes; at most %d are read", name, len(s), maxAttribute)
		}
	}
	if len(e.ID()) > maxAttribute || len(e.Source()) > maxAttribute {
		return event.Event{}, fmt.Errorf("id or source has more than %d bytes", maxAttribute)
	}
	return e, e.Validate()
}

// contentType is what the record's header says, of several the last one.
func contentType(r *kgo.Record) (content string) {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Key, headerContentType) {
			content = string(h.Value)
		}
	}
	return content
}

// structured reports whether records of that content type hold the whole event in their value.
func structured(content string) bool {
	media, _, _ := mime.ParseMediaType(content)
	return strings.HasPrefix(media, "application/cloudevents")
}

func readBinary(r *kgo.Record, content string) (event.Event, error) {
	e := event.New()
	seen := map[string]bool{}
	version := ""
	for _, h := range r.Headers {
		name, ok := strings.CutPrefix(h.Key, headerPrefix)
		if !ok {
			continue
		}
		if seen[name] {
			return e, fmt.Errorf("header %s is there twice", h.Key)
		}
		seen[name] = true
		if name == "data" || name == "data_base64" || name == "datacontenttype" {
			// In structured mode these are no attributes but the value and its type.
			return e, fmt.Errorf("header %s is the name of something else", h.Key)
		}
		value := string(h.Value)
		if !utf8.ValidString(value) { // the state's JSON would turn two of them into one
			return e, fmt.Errorf("header %s is not valid UTF-8", h.Key)
		}
		switch name {
		case "specversion":
			version = value
		case "id":
			e.SetID(value)
		case "source":
			e.SetSource(value)
		case "type":
			e.SetType(value)
		case "subject":
			e.SetSubject(value)
		case "dataschema":
			e.SetDataSchema(value)
		case "time":
			at, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				return e, fmt.Errorf("header ce_time: want a time as in RFC 3339")
			}
			e.SetTime(at)
		default:
			e.SetExtension(name, value)
		}
	}
	if version != event.CloudEventsVersionV1 {
		return e, fmt.Errorf("not a CloudEvent: header ce_specversion is %q, want %q", version, event.CloudEventsVersionV1)
	}
	if content == "" {
		content = contentJSON
	}
	if media, _, _ := mime.ParseMediaType(content); media != contentJSON {
		return e, fmt.Errorf("content type %q is not supported, want %s", content, contentJSON)
	}
	err := e.SetData(contentJSON, r.Value)
	return e, err
}

// writeBinary makes a record of a CloudEvent, in binary mode. The caller sets topic, partition and key.
func writeBinary(e event.Event) (*kgo.Record, error) {
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("write %s: %w", e.Type(), err)
	}
	extensions := e.Extensions() // a copy: taken once
	r := &kgo.Record{Value: e.Data(), Headers: make([]kgo.RecordHeader, 0, 9+len(extensions))}
	put := func(key, value string) {
		if value != "" {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
		}
	}
	put(headerPrefix+"specversion", e.SpecVersion())
	put(headerPrefix+"id", e.ID())
	put(headerPrefix+"source", e.Source())
	put(headerPrefix+"type", e.Type())
	put(headerPrefix+"subject", e.Subject())
	if !e.Time().IsZero() {
		put(headerPrefix+"time", e.Time().UTC().Format(time.RFC3339Nano))
	}
	for _, name := range slices.Sorted(maps.Keys(extensions)) {
		put(headerPrefix+name, attributeText(extensions[name]))
	}
	put(headerContentType, contentJSON)
	return r, nil
}

// attribute returns an extension's text; empty when it is absent.
func attribute(e event.Event, name string) string { return attributeText(e.Extensions()[name]) }

func attributeText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

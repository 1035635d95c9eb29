package events_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// structured makes of a record in binary mode the CloudEvent that it is.
func structured(t *testing.T, r *kgo.Record) map[string]any {
	t.Helper()
	e := map[string]any{"data": json.RawMessage(r.Value), "datacontenttype": "application/json"}
	for _, h := range r.Headers {
		if name, ok := strings.CutPrefix(h.Key, "ce_"); ok {
			e[name] = string(h.Value)
		}
	}
	return e
}

// samples are records of every type, by topic, as CloudEvents in structured mode.
func samples(t *testing.T) map[string][]map[string]any {
	t.Helper()
	c, all := codec(t), map[string][]map[string]any{}
	add := func(topic string) func(*kgo.Record, error) {
		return func(r *kgo.Record, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			all[topic] = append(all[topic], structured(t, r))
		}
	}
	for _, ask := range asks {
		add("commands")(c.CommandRecord(integration.Command{Source: "/cp", ID: "1", Organization: "org-1", Actor: "u-1", Time: noon, Ask: ask}))
	}
	for _, f := range findings {
		add("results")(c.ResultRecord(events.SourceTrust, integration.Result{Organization: "org-1", Integration: "cspi-00001", Attempt: 3, Finding: f}))
	}
	for _, f := range facts {
		add("events")(c.EventRecord(integration.Event{
			Organization: "org-1", Integration: "cspi-00001", Version: 4, Time: noon, Answers: &integration.Asked{Source: "/cp", ID: "1"}, Fact: f,
		}))
		add("events")(c.EventRecord(integration.Event{Organization: "org-1", Time: noon, Fact: f}))
	}
	for _, n := range notes {
		add("audit")(c.AuditRecord(events.SourceBroker+"/b-1", events.Audit{Organization: "org-1", Integration: "cspi-00001", Time: noon, Note: n}))
		add("audit")(c.AuditRecord(events.SourceBroker, events.Audit{Time: noon, Note: n}))
	}
	return all
}

func bundled(t *testing.T) func(place string, v any) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.SchemaBundle()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("bundle.json", doc); err != nil {
		t.Fatal(err)
	}
	return func(place string, v any) error {
		t.Helper()
		s, err := c.Compile("bundle.json" + place)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(tree)
	}
}

func TestTheBundleDescribesEveryRecordOfEveryTopic(t *testing.T) {
	t.Parallel()
	check := bundled(t)
	for topic, all := range samples(t) {
		if len(all) == 0 {
			t.Errorf("no records of %s", topic)
		}
		for _, e := range all {
			for _, place := range []string{"", "#/$defs/" + topic} {
				if err := check(place, e); err != nil {
					t.Errorf("%s at %q: %v", e["type"], place, err)
				}
			}
			if err := check("#/$defs/"+e["type"].(string), e["data"]); err != nil {
				t.Errorf("data of %s: %v", e["type"], err)
			}
		}
	}
}

func TestTheBundleRefusesWhatAReaderRefuses(t *testing.T) {
	t.Parallel()
	check, c := bundled(t), codec(t)
	good := map[string]any{
		"specversion": "1.0", "id": "1", "source": "/cp", "type": "integration.create", "organization": "org-1", "actor": "u-1",
		"datacontenttype": "application/json",
		"data":            map[string]any{"environment": "env-1", "display_name": "n", "config": map[string]any{"kind": "AwsIntegrationConfig"}},
	}
	read := func(e map[string]any) error {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Command(&kgo.Record{Value: text, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}}})
		return err
	}
	if err := check("#/$defs/commands", good); err != nil || read(good) != nil {
		t.Fatalf("the example itself: %v, %v", err, read(good))
	}
	for name, change := range map[string]func(e map[string]any){
		"an unknown type":      func(e map[string]any) { e["type"] = "integration.creat" },
		"an event's type":      func(e map[string]any) { e["type"] = "integration.created" },
		"data of another type": func(e map[string]any) { e["type"] = "integration.delete" },
		"no organization":      func(e map[string]any) { delete(e, "organization") },
		"no id":                func(e map[string]any) { delete(e, "id") },
		"no source":            func(e map[string]any) { delete(e, "source") },
		"a field too many": func(e map[string]any) {
			e["data"] = map[string]any{"environment": "e", "display_name": "n", "config": map[string]any{"kind": "k"}, "x": 1}
		},
		"a field missing":          func(e map[string]any) { e["data"] = map[string]any{"environment": "e", "display_name": "n"} },
		"an id beyond 1,024 bytes": func(e map[string]any) { e["id"] = strings.Repeat("x", 1025) },
	} {
		e := maps.Clone(good)
		change(e)
		if check("#/$defs/commands", e) == nil || read(e) == nil {
			t.Errorf("%s: the bundle says %v, a reader %v; want both to refuse", name, check("#/$defs/commands", e), read(e))
		}
	}
}

func TestTheBundleHasEveryTypeOnItsTopic(t *testing.T) {
	t.Parallel()
	var doc struct {
		Defs map[string]struct {
			Properties struct{ Type struct{ Enum []string } }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(events.SchemaBundle(), &doc); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string][]string{
		"commands": typesOf(integration.Asks()), "results": typesOf(integration.Findings()), "events": typesOf(integration.Facts()), "audit": typesOf(events.Notes()),
	} {
		if got := slices.Sorted(slices.Values(doc.Defs[topic].Properties.Type.Enum)); !slices.Equal(got, want) {
			t.Errorf("types of %s: got %q, want %q", topic, got, want)
		}
	}
}

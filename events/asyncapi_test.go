package events_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// asyncAPI is what the tests read of the published document.
type asyncAPI struct {
	Channels map[string]struct {
		Address  string
		Messages map[string]struct {
			Ref string `yaml:"$ref"`
		}
		Bindings struct {
			Kafka struct {
				Partitions int32
				Configs    map[string]any `yaml:"topicConfiguration"`
			}
		}
	}
	Components struct {
		Traits   map[string]asyncMessage `yaml:"messageTraits"`
		Messages map[string]asyncMessage
		Schemas  map[string]asyncObject
	}
}

type asyncMessage struct {
	Name   string
	Traits []struct {
		Ref string `yaml:"$ref"`
	}
	Headers map[string]any
	Payload asyncObject
}

type asyncObject struct {
	Ref        string `yaml:"$ref"`
	Properties map[string]any
}

func readAsyncAPI(t *testing.T) (doc asyncAPI) {
	t.Helper()
	if err := yaml.Unmarshal(events.AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func typesOf[T interface{ Type() string }](all []T) []string {
	names := make([]string, len(all))
	for n, v := range all {
		names[n] = v.Type()
	}
	slices.Sort(names)
	return names
}

func TestAsyncAPINamesEveryTypeOnceOnItsTopic(t *testing.T) {
	t.Parallel()
	doc := readAsyncAPI(t)
	for channel, want := range map[string][]string{
		"commands": typesOf(integration.Asks()), "results": typesOf(integration.Findings()), "events": typesOf(integration.Facts()),
		"audit": typesOf(events.Notes()),
	} {
		if got := slices.Sorted(maps.Keys(doc.Channels[channel].Messages)); !slices.Equal(got, want) {
			t.Errorf("messages of %s:\ngot  %v\nwant %v", channel, got, want)
		}
	}
	used := map[string]int{}
	for channel, c := range doc.Channels {
		for name, m := range c.Messages {
			used[name]++
			if m.Ref != "#/components/messages/"+name {
				t.Errorf("%s of %s refers to %s", name, channel, m.Ref)
			}
		}
	}
	for name, m := range doc.Components.Messages {
		if used[name] != 1 || m.Name != name {
			t.Errorf("message %s: is named %q and stands on %d channels, want its own name and one", name, m.Name, used[name])
		}
		if file, ok := strings.CutPrefix(m.Payload.Ref, "schemas/"); ok && file != name+".json" {
			t.Errorf("message %s has the schema %s", name, file)
		}
	}
}

func TestAsyncAPIDescribesTheTopicsAsTheyAreMade(t *testing.T) {
	t.Parallel()
	doc := readAsyncAPI(t)
	made := events.Topics{Prefix: events.DefaultPrefix, Partitions: events.DefaultPartitions}.Definitions()
	if len(doc.Channels) != len(made) {
		t.Errorf("%d channels for %d topics", len(doc.Channels), len(made))
	}
	for _, d := range made {
		name := strings.TrimPrefix(d.Name, events.DefaultPrefix)
		c := doc.Channels[name]
		if got := strings.ReplaceAll(c.Address, "{prefix}", events.DefaultPrefix); got != d.Name {
			t.Errorf("address of %s: got %q, want %q", name, got, d.Name)
		}
		if got := c.Bindings.Kafka.Partitions; got != d.Partitions {
			t.Errorf("partitions of %s: got %d, want %d", name, got, d.Partitions)
		}
		configs := map[string]string{}
		for k, v := range c.Bindings.Kafka.Configs {
			switch v := v.(type) {
			case []any:
				configs[k], _ = v[0].(string)
			case int:
				configs[k] = strconv.Itoa(v)
			case float64:
				configs[k] = strconv.FormatFloat(v, 'f', -1, 64)
			}
		}
		if !maps.Equal(configs, d.Configs) {
			t.Errorf("settings of %s: got %v, want %v", name, configs, d.Configs)
		}
	}
}

// document compiles what AsyncAPI says about records into JSON Schemas, with the traits merged as the specification has it.
type document struct {
	t        *testing.T
	asyncAPI asyncAPI
	compiler *jsonschema.Compiler
	known    map[string]bool
}

const documentURL = "https://rolebridge.dev/asyncapi.json"

func newDocument(t *testing.T) *document {
	t.Helper()
	d := &document{t: t, asyncAPI: readAsyncAPI(t), compiler: jsonschema.NewCompiler(), known: map[string]bool{}}
	var raw any
	if err := yaml.Unmarshal(events.AsyncAPI(), &raw); err != nil {
		t.Fatal(err)
	}
	d.add(documentURL, raw)
	names, err := fs.Glob(events.Schemas(), "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(events.Schemas(), name)
		if err != nil {
			t.Fatal(err)
		}
		d.add("https://rolebridge.dev/schemas/"+name, json.RawMessage(text))
	}
	return d
}

// tree makes v what a JSON reader makes of it.
func (d *document) tree(v any) any {
	d.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		d.t.Fatal(err)
	}
	tree, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		d.t.Fatal(err)
	}
	return tree
}

func (d *document) add(url string, v any) {
	d.t.Helper()
	if err := d.compiler.AddResource(url, d.tree(v)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *document) check(url string, v any) error {
	d.t.Helper()
	s, err := d.compiler.Compile(url)
	if err != nil {
		d.t.Fatal(err)
	}
	return s.Validate(d.tree(v))
}

// headers is the schema of a message's headers, closed: a header that the document does not have is a fault.
func (d *document) headers(name string) string {
	d.t.Helper()
	url := "https://rolebridge.dev/headers/" + name + ".json"
	if d.known[url] {
		return url
	}
	d.known[url] = true
	m := d.asyncAPI.Components.Messages[name]
	merged := map[string]any{}
	for _, trait := range m.Traits {
		merge(merged, d.asyncAPI.Components.Traits[path.Base(trait.Ref)].Headers)
	}
	merge(merged, m.Headers)
	merged["additionalProperties"] = false
	d.add(url, merged)
	return url
}

// merge is JSON Merge Patch (RFC 7386) for objects.
func merge(into, from map[string]any) {
	for k, v := range from {
		inner, ok := v.(map[string]any)
		have, both := into[k].(map[string]any)
		switch {
		case ok && both:
			have = maps.Clone(have)
			merge(have, inner)
			into[k] = have
		default:
			into[k] = v
		}
	}
}

func TestEveryRecordIsAsAsyncAPISays(t *testing.T) {
	t.Parallel()
	c, d := codec(t), newDocument(t)
	check := func(name string, r *kgo.Record, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		if err := d.check(d.headers(name), headers); err != nil {
			t.Errorf("headers of %s: %v", name, err)
		}
		if err := d.check(documentURL+"#/components/messages/"+name+"/payload", json.RawMessage(r.Value)); err != nil {
			t.Errorf("data of %s: %v", name, err)
		}
	}
	for _, ask := range asks {
		r, err := c.CommandRecord(integration.Command{Source: "/cp", ID: "1", Organization: "org-1", Actor: "u-1", Time: noon, Ask: ask})
		check(ask.Type(), r, err)
	}
	for _, f := range findings {
		r, err := c.ResultRecord(events.SourceTrust, integration.Result{Organization: "org-1", Integration: "cspi-00001", Attempt: 3, Finding: f})
		check(f.Type(), r, err)
	}
	for _, f := range facts {
		e := integration.Event{
			Organization: "org-1", Integration: "cspi-00001", Version: 4, Time: noon, Answers: &integration.Asked{Source: "/cp", ID: "1"}, Fact: f,
		}
		r, err := c.EventRecord(e)
		check(f.Type(), r, err)
		if integration.OfAccount(f) {
			e.Integration, e.Account = "", "u-1"
			r, err = c.EventRecord(e)
			check(f.Type(), r, err)
		}
		e.Answers, e.Version = nil, 0
		r, err = c.EventRecord(e)
		check(f.Type(), r, err)
	}
	for _, n := range notes {
		r, err := c.AuditRecord(events.SourceBroker, events.Audit{Organization: "org-1", Integration: "cspi-00001", Time: noon, Note: n})
		check(n.Type(), r, err)
		r, err = c.AuditRecord(events.SourceAPI+"/b-1", events.Audit{Time: noon, Note: n})
		check(n.Type(), r, err)
	}
}

func TestEveryStoredRecordIsAsAsyncAPISays(t *testing.T) {
	t.Parallel()
	d := newDocument(t)
	i := integration.Integration{
		ID: "cspi-00001", Organization: "org-1", Environment: "env-1", Config: aws, Version: 2, Due: noon,
		Mapping: integration.Mapping{Status: integration.MappingReady, Platform: "p", Reason: "r", Tries: 1},
		Trust: integration.Trust{
			Status: integration.TrustValid, Asked: true, Again: true, Tries: 1, RefusedSince: noon, Doubts: 1, LastValid: noon,
			Report: &report, History: []integration.Change{{At: noon, From: integration.TrustPending, To: integration.TrustValid}},
		},
		Rotation: &integration.Rotation{
			Phase: integration.RotationRetiring, Other: "e0", StartedAt: noon, StartedBy: "u-1", Proved: true, Since: noon, AdmittedSince: noon, RefusedSince: noon, Tries: 1,
		},
		Connectors: map[integration.ConnectorID]integration.Binding{"lcc-1": {
			Tokens: []integration.Token{{Hash: "ab", Proof: "cd", AddedAt: noon, ExpiresAt: noon}}, Terms: terms, BoundAt: noon, BoundBy: "u-1",
		}},
	}
	receipt := integration.Receipt{
		Organization: "org-1", Source: "/cp", ID: "1", Integration: i.ID, Version: 1, At: noon,
		Refusal: &integration.Refusal{Code: integration.CodeQuota, Message: "m", Field: "/f"},
	}
	asker := integration.Asker{Source: "/cp", ID: "1"}
	check := func(name string, r *kgo.Record, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		value := json.RawMessage(r.Value)
		if value == nil {
			value = json.RawMessage("null")
		}
		if err := d.check(documentURL+"#/components/messages/"+name+"/payload", value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.check(documentURL+"#/components/messages/"+name+"/bindings/kafka/key", string(r.Key)); err != nil {
			t.Errorf("key of %s: %v", name, err)
		}
	}
	a := integration.Account{
		ID: "u-1", Organization: "org-1", Kind: integration.User, Name: "n", Description: "d", Identities: identities, Version: 1,
		Keys:      map[integration.KeyID]integration.APIKey{"K1": {Proof: "cd", Name: "n", Description: "d", CreatedAt: noon, CreatedBy: "u-1", ExpiresAt: noon}},
		CreatedAt: noon, CreatedBy: "u-1", UpdatedAt: noon,
	}
	r, err := topics.AccountRecord("org-1", a.ID, &a)
	check("state.account", r, err)
	r, err = topics.AccountRecord("org-1", "u/1", nil)
	check("state.account", r, err)
	for _, o := range []integration.Organization{{ID: "org-1", InsecureRoles: integration.InsecureBlock}, {
		ID: "org/1", InsecureRoles: integration.InsecureWarn,
		RoleBindings: []integration.RoleBinding{rights, {Principal: "u-1", Role: integration.OrganizationAdmin}},
		FirstKey:     &integration.FirstKey{Account: "u-1", Key: "K1"},
	}} {
		r, err := topics.OrganizationRecord(o)
		check("state.organization", r, err)
	}
	r, err = topics.IntegrationRecord("org-1", i.ID, &i)
	check("state.integration", r, err)
	r, err = topics.IntegrationRecord("org-1", i.ID, nil)
	check("state.integration", r, err)
	r, err = topics.ReceiptRecord("org-1", asker, &receipt)
	check("state.receipt", r, err)
	r, err = topics.ReceiptRecord("org-1", asker, nil)
	check("state.receipt", r, err)
	r, err = topics.CursorRecord(1, events.Cursor{"a": 5})
	check("state.cursor", r, err)

	doc := d.asyncAPI.Components
	for name, of := range map[string]struct {
		properties map[string]any
		stored     any
	}{
		"state.organization": {doc.Messages["state.organization"].Payload.Properties, integration.Organization{}},
		"state.integration":  {doc.Messages["state.integration"].Payload.Properties, i},
		"state.receipt":      {doc.Messages["state.receipt"].Payload.Properties, receipt},
		"mapping":            {doc.Schemas["mapping"].Properties, i.Mapping},
		"trust":              {doc.Schemas["trust"].Properties, i.Trust},
		"binding":            {doc.Schemas["binding"].Properties, integration.Binding{}},
		"rotation":           {doc.Schemas["rotation"].Properties, integration.Rotation{}},
		"state.account":      {doc.Messages["state.account"].Payload.Properties, a},
		"apiKey":             {doc.Schemas["apiKey"].Properties, integration.APIKey{}},
		"token":              {doc.Schemas["token"].Properties, integration.Token{}},
	} {
		var fields []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(of.stored)) {
			if !f.Anonymous {
				field, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				fields = append(fields, field)
			}
		}
		slices.Sort(fields)
		if got := slices.Sorted(maps.Keys(of.properties)); !slices.Equal(got, fields) {
			t.Errorf("fields of %s:\ngot  %v\nwant %v", name, got, fields)
		}
	}
}

func TestADeadLetterIsAsAsyncAPISays(t *testing.T) {
	t.Parallel()
	d := newDocument(t)
	again := topics.Again(&kgo.Record{Topic: "t.commands", Value: []byte("x")}, "3@17")
	large := kgo.Record{Topic: "t.commands", Key: make([]byte, 1<<20), Value: make([]byte, 1<<20), Headers: []kgo.RecordHeader{{Key: "x", Value: make([]byte, 1<<20)}}}
	for _, r := range []*kgo.Record{{Topic: "t.commands", Offset: 7}, again, &large} {
		headers := map[string]string{}
		for _, h := range topics.DeadLetter(r, events.ErrUnknownType, noon).Headers {
			headers[h.Key] = string(h.Value)
		}
		if err := d.check(d.headers("dead-letter"), headers); err != nil {
			t.Errorf("headers %v: %v", headers, err)
		}
	}
}

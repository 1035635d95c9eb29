package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/gowebpki/jcs"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/integration"
)

// StoredCheck checks records of the state topic that come from elsewhere more strictly than [ReadStored], which trusts the
// decider. Safe for concurrent use.
type StoredCheck struct {
	schemas map[string]*jsonschema.Schema // by the first part of a key
	topics  Topics
}

// asyncapiBase is where the AsyncAPI document stands among the schemas that it refers to.
const asyncapiBase = "https://rolebridge.dev/asyncapi.json"

// NewStoredCheck returns a check for the state of t. It fails only when the documents compiled into the program are broken.
func NewStoredCheck(t Topics) (*StoredCheck, error) {
	var raw any
	if err := yaml.Unmarshal(asyncapi, &raw); err != nil {
		return nil, fmt.Errorf("asyncapi.yaml: %w", err)
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("asyncapi.yaml: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("asyncapi.yaml: %w", err)
	}
	compiler, _, err := schemaCompiler()
	if err != nil {
		return nil, err
	}
	if err := compiler.AddResource(asyncapiBase, doc); err != nil {
		return nil, fmt.Errorf("asyncapi.yaml: %w", err)
	}
	c := &StoredCheck{topics: t, schemas: map[string]*jsonschema.Schema{}}
	for _, kind := range []string{keyOrganization, keyIntegration, keyAccount, keyReceipt} {
		if c.schemas[kind], err = compiler.Compile(asyncapiBase + "#/components/messages/state." + kind + "/payload"); err != nil {
			return nil, fmt.Errorf("asyncapi.yaml: %w", err)
		}
	}
	return c, nil
}

// Read reads a record of the state that is no tombstone and no cursor. It must be as AsyncAPI says, its key must be that of
// its value, nothing of it may be unknown to this program, which would lose it, and an aggregate must be one that decisions can
// lead to.
func (c *StoredCheck) Read(key string, value []byte) (Stored, error) {
	kind, _, _ := strings.Cut(key, "/")
	schema, ok := c.schemas[kind]
	if !ok {
		return Stored{}, fmt.Errorf("%w: key %q", errStored, key)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return Stored{}, fmt.Errorf("%q: not JSON: %w", key, err)
	}
	if doc == nil {
		return Stored{}, fmt.Errorf("%q: is null", key)
	}
	// Readers differ in which of two they take, and what is checked would not be what is written.
	if _, err := jcs.Transform(value); err != nil {
		return Stored{}, fmt.Errorf("%q: no canonical form (RFC 8785): %w", key, err)
	}
	var invalid *jsonschema.ValidationError
	if err := schema.Validate(doc); errors.As(err, &invalid) {
		return Stored{}, fmt.Errorf("%q: %s", key, leaf(invalid))
	} else if err != nil {
		return Stored{}, err
	}
	s, err := ReadStored(&kgo.Record{Key: []byte(key), Value: value})
	if err != nil {
		return Stored{}, err
	}
	again, err := c.topics.StoredRecord(s)
	if err != nil {
		return Stored{}, err
	}
	if string(again.Key) != key || !s.consistent() {
		return Stored{}, fmt.Errorf("%q: its value says that it is another's", key)
	}
	written, err := jsonschema.UnmarshalJSON(bytes.NewReader(again.Value))
	if err != nil {
		return Stored{}, err
	}
	if at, ok := within(doc, written, ""); !ok {
		return Stored{}, fmt.Errorf("%q: %q is not known to this program", key, at)
	}
	if refused := s.sound(); refused != nil {
		return Stored{}, fmt.Errorf("%q: %w", key, refused)
	}
	return s, nil
}

// sound says what no decision could have left in s; nil when nothing is.
func (s Stored) sound() *integration.Refusal {
	switch {
	case s.Organization != nil:
		return s.Organization.Sound()
	case s.Integration != nil:
		return s.Integration.Sound()
	case s.Account != nil:
		return s.Account.Sound()
	default:
		return s.Receipt.Sound()
	}
}

// consistent reports whether the value names what the key names.
func (s Stored) consistent() bool {
	switch {
	case s.Organization != nil:
		return s.Organization.ID == s.OrganizationID
	case s.Integration != nil:
		return s.Integration.ID == s.IntegrationID && s.Integration.Organization == s.OrganizationID
	case s.Account != nil:
		return s.Account.ID == s.AccountID && s.Account.Organization == s.OrganizationID
	case s.Receipt != nil:
		r := s.Receipt
		return r.Organization == s.OrganizationID && r.Source == s.Asker.Source && r.ID == s.Asker.ID
	}
	return false
}

// within reports whether all of a is in b, else where it is not.
func within(a, b any, at string) (string, bool) {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		for name, v := range a {
			if !ok {
				break
			}
			if where, in := within(v, b[name], at+"/"+name); !in {
				return where, false
			}
		}
		return at, ok
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return at, false
		}
		for n := range a {
			if where, in := within(a[n], b[n], fmt.Sprintf("%s/%d", at, n)); !in {
				return where, false
			}
		}
		return at, true
	case nil:
		return at, true // what is not set, perhaps left out
	}
	return at, reflect.DeepEqual(a, b)
}

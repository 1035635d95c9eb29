package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// member is one member of a JSON object: readers like the order in which somebody wrote them.
type member struct {
	name  string
	value json.RawMessage
}

type object []member

// UnmarshalJSON implements [json.Unmarshaler].
func (o *object) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.Join(fmt.Errorf("want an object, got %.40s", text), err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		m := member{name: name.(string)}
		if err := d.Decode(&m.value); err != nil {
			return err
		}
		*o = append(*o, m)
	}
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (o object) MarshalJSON() ([]byte, error) { //nolint:unparam // the interface wants the error
	var out bytes.Buffer
	for n, m := range o {
		out.WriteByte("{,"[min(n, 1)])
		fmt.Fprintf(&out, "%q:%s", m.name, m.value)
	}
	if len(o) == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// without leaves members out.
func (o object) without(names ...string) (rest object) {
	for _, m := range o {
		if !slices.Contains(names, m.name) {
			rest = append(rest, m)
		}
	}
	return rest
}

// schema is what the documents need to know of a JSON Schema.
type schema struct {
	Ref         string `json:"$ref"`
	Type        string
	Format      string
	Description string
	Enum        []string
	Required    []string
	Properties  object
	Items       *schema
	MinItems    *int
	MaxItems    *int
	MaxLength   *int
	Minimum     *int
}

// topic is what a topic carries.
type topic struct {
	name  string // as in the contract, without the prefix
	types []string
}

// schemas are all of the contract.
type schemas struct {
	topics []topic
	// texts are the schemas as they were written, types describes each type's data.
	texts map[string]object
	types map[string]schema
	// shared are the definitions that the others refer to, in their order.
	shared []member
	common map[string]schema
}

func namesOf[T interface{ Type() string }](all []T) (names []string) {
	for _, v := range all {
		names = append(names, v.Type())
	}
	return names
}

func readSchemas() (*schemas, error) {
	s := &schemas{
		topics: []topic{
			{"commands", namesOf(integration.Asks())},
			{"results", namesOf(integration.Findings())},
			{"events", namesOf(integration.Facts())},
			{"audit", namesOf(events.Notes())},
		},
		texts: map[string]object{}, types: map[string]schema{}, common: map[string]schema{},
	}
	for _, t := range s.topics {
		for _, name := range t.types {
			text, err := fs.ReadFile(events.Schemas(), name+".json")
			if err != nil {
				return nil, err
			}
			// In one document all references are local.
			text = bytes.ReplaceAll(text, []byte(`"common.json#/`), []byte(`"#/`))
			var as schema
			var whole object
			if err := errors.Join(json.Unmarshal(text, &whole), json.Unmarshal(text, &as)); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			s.texts[name], s.types[name] = whole, as
		}
	}
	text, err := fs.ReadFile(events.Schemas(), "common.json")
	if err != nil {
		return nil, err
	}
	var common struct {
		Defs object `json:"$defs"`
	}
	if err := json.Unmarshal(text, &common); err != nil {
		return nil, fmt.Errorf("common.json: %w", err)
	}
	for _, m := range common.Defs {
		var as schema
		if err := json.Unmarshal(m.value, &as); err != nil {
			return nil, fmt.Errorf("common.json: %s: %w", m.name, err)
		}
		s.common[m.name] = as
	}
	s.shared = common.Defs
	return s, nil
}

// target is the name of the shared definition that a schema refers to; empty without one.
func (of schema) target() string { return strings.TrimPrefix(of.Ref, "#/$defs/") }

// fields reads the properties, in their order.
func (of schema) fields() (names []string, fields map[string]schema, err error) {
	fields = map[string]schema{}
	for _, m := range of.Properties {
		var f schema
		if err := json.Unmarshal(m.value, &f); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", m.name, err)
		}
		names = append(names, m.name)
		fields[m.name] = f
	}
	return names, fields, nil
}

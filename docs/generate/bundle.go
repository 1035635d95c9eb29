package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
)

// envelopes describe the attributes of each topic's records; what their types are and what data belongs to each is added.
//
//go:embed envelopes.json
var envelopes []byte

// bundle makes one JSON Schema of all: its root describes any record of the contract as a CloudEvent in structured mode,
// $defs has a definition for each topic, for each type's data, and for what those share. All references are local, so that
// tools which know one file only can use it.
func bundle(s *schemas) ([]byte, error) {
	var topics object
	if err := json.Unmarshal(envelopes, &topics); err != nil {
		return nil, fmt.Errorf("envelopes.json: %w", err)
	}
	var defs object
	var roots []map[string]string
	for n, of := range s.topics {
		if n >= len(topics) || topics[n].name != of.name {
			return nil, fmt.Errorf("envelopes.json: want %s in place %d", of.name, n+1)
		}
		text, err := envelope(topics[n].value, of.types)
		if err != nil {
			return nil, fmt.Errorf("envelopes.json: %s: %w", of.name, err)
		}
		defs = append(defs, member{of.name, text})
		roots = append(roots, map[string]string{"$ref": "#/$defs/" + of.name})
	}
	for _, of := range s.topics {
		for _, name := range of.types {
			text, err := json.Marshal(s.texts[name].without("$schema", "$id"))
			if err != nil {
				return nil, err
			}
			defs = append(defs, member{name, text})
		}
	}
	defs = append(defs, s.shared...)
	text, err := json.Marshal(struct {
		Schema      string              `json:"$schema"`
		ID          string              `json:"$id"`
		Title       string              `json:"title"`
		Description string              `json:"description"`
		AnyOf       []map[string]string `json:"anyOf"`
		Defs        object              `json:"$defs"`
	}{
		"https://json-schema.org/draft/2020-12/schema", "https://rolebridge.dev/schemas.json", "rolebridge",
		"Any record of rolebridge's topics as a CloudEvent in structured mode. $defs has each topic's records (commands, results, events, " +
			"audit), the data of each type under the type's name, and what those share. Made by go generate ./docs/generate",
		roots, defs,
	})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, text, "", "  ")
	out.WriteByte('\n')
	return out.Bytes(), err
}

// envelope fills the types into a topic's envelope, and ties the data to the type.
func envelope(text json.RawMessage, types []string) (json.RawMessage, error) {
	var o, properties object
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	names, err := json.Marshal(types)
	if err != nil {
		return nil, err
	}
	for n, m := range o {
		if m.name != "properties" {
			continue
		}
		if err := json.Unmarshal(m.value, &properties); err != nil {
			return nil, err
		}
		for k, p := range properties {
			if p.name == "type" {
				properties[k].value = bytes.Replace(p.value, []byte("[]"), names, 1)
			}
		}
		if o[n].value, err = json.Marshal(properties); err != nil {
			return nil, err
		}
	}
	type of map[string]any
	var all []of
	for _, name := range types {
		all = append(all, of{
			"if":   of{"properties": of{"type": of{"const": name}}, "required": []string{"type"}},
			"then": of{"properties": of{"data": of{"$ref": "#/$defs/" + name}}},
		})
	}
	ties, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return json.Marshal(append(o, member{"allOf", ties}))
}

package events

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed schemas/*.json
var schemaFiles embed.FS

// Schemas returns the published JSON Schemas (draft 2020-12): one file per type of command, result and event, named
// after it, and common.json with what they share.
func Schemas() fs.FS {
	sub, err := fs.Sub(schemaFiles, "schemas")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return sub
}

// schemaBase is the base of every schema's $id. It names, it does not locate.
const schemaBase = "https://rolebridge.dev/schemas/"

// schemaCompiler returns a compiler that knows all schemas, and their files' names.
func schemaCompiler() (c *jsonschema.Compiler, names []string, err error) {
	c = jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	err = fs.WalkDir(Schemas(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(Schemas(), name)
		if err != nil {
			return err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("schema %s: %w", name, err)
		}
		names = append(names, name)
		return c.AddResource(schemaBase+name, doc)
	})
	return c, names, err
}

// compileSchemas compiles all schemas, by the type of data that they describe.
func compileSchemas() (map[string]*jsonschema.Schema, error) {
	c, names, err := schemaCompiler()
	if err != nil {
		return nil, err
	}
	schemas := make(map[string]*jsonschema.Schema, len(names))
	for _, name := range names {
		s, err := c.Compile(schemaBase + name)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", name, err)
		}
		schemas[strings.TrimSuffix(name, path.Ext(name))] = s
	}
	return schemas, nil
}

// checkData checks data against the schema of its type and says where it differs.
func (c *Codec) checkData(kind string, data []byte) error {
	s, ok := c.schemas[kind]
	if !ok {
		return fmt.Errorf("%w: %q", ErrUnknownType, kind)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the data is not JSON: %w", err)
	}
	var invalid *jsonschema.ValidationError
	if err := s.Validate(doc); errors.As(err, &invalid) {
		return fmt.Errorf("the data is outside the schema of %s: %s", kind, leaf(invalid))
	} else if err != nil {
		return err
	}
	return nil
}

// leaf describes the deepest cause of a validation error: the field at fault, without the whole tree above it.
func leaf(e *jsonschema.ValidationError) string {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	at := "/" + strings.Join(e.InstanceLocation, "/")
	text := e.Error()
	if _, after, ok := strings.Cut(text, ": "); ok {
		text = after
	}
	return at + ": " + text
}

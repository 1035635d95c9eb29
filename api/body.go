package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// maxBody bounds what is read of a request. The largest that makes sense is a policy to be linted: 131,072 bytes are the
// most that IAM takes, and as a string in JSON it may grow. A hostile body of this size costs less than 16 MB of memory.
const maxBody = 192 << 10

// maxFaults bounds how many faults of one body are told.
const maxFaults = 10

// Names of schemas in the document.
const (
	bodyCreateV1  = "IntegrationRequestV1"
	bodyCreateV2  = "IntegrationRequestV2"
	bodyUpdateV2  = "IntegrationUpdateV2"
	bodyValidate  = "IntegrationValidateRequest"
	bodyConnector = "ConnectorRequest"
	bodyDryRun    = "DryRunRequest"
	bodyRotation  = "TokenRotationRequest"
	bodyLint      = "LintRequest"

	bodyAccount       = "AccountRequest"
	bodyAccountUpdate = "AccountUpdate"
	bodyAPIKey        = "APIKeyRequest"
	bodyRoleBinding   = "RoleBindingRequest"
	bodyOrganization  = "OrganizationUpdate"
)

// bodies reads the bodies of requests and compares them with the document's schemas.
type bodies struct {
	schemas map[string]*jsonschema.Schema
	printer *message.Printer
}

func newBodies() (*bodies, error) {
	var doc any
	if err := yaml.Unmarshal(document, &doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	text, err := json.Marshal(doc) // the compiler wants the numbers of JSON
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	if doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	const name = "openapi.json"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	b := &bodies{schemas: map[string]*jsonschema.Schema{}, printer: message.NewPrinter(language.English)}
	for _, schema := range []string{
		bodyCreateV1, bodyCreateV2, bodyUpdateV2, bodyValidate, bodyConnector, bodyDryRun, bodyRotation, bodyLint,
		bodyAccount, bodyAccountUpdate, bodyAPIKey, bodyRoleBinding, bodyOrganization,
	} {
		if b.schemas[schema], err = c.Compile(name + "#/components/schemas/" + schema); err != nil {
			return nil, fmt.Errorf("openapi.yaml: %w", err)
		}
	}
	return b, nil
}

// read reads the body of r into v, which has a field for everything in the schema that matters.
func (b *bodies) read(r *http.Request, schema string, v any) error {
	media, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := parameters["charset"]; err != nil || media != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return fail(codeContentType, "want a body of application/json, which is UTF-8")
	}
	text, err := io.ReadAll(r.Body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return fail(codeTooLarge, "the body has more than %d bytes", maxBody)
	} else if err != nil {
		return fail(codeMalformed, "the body ended too early")
	}
	return b.parse(text, schema, v)
}

func (b *bodies) parse(text []byte, schema string, v any) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fail(codeMalformed, "the body is not one JSON document")
	}
	if err := b.schemas[schema].Validate(doc); err != nil {
		invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
		if !ok {
			return err
		}
		f := &failure{code: codeMalformed}
		b.explain(invalid, f)
		return f
	}
	// What was checked is what is used: of a member that is there twice package json would merge both. And to a schema 1.0 and
	// 1e3 are integers, to package json they are not.
	text, err = json.Marshal(whole(doc))
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fail(codeMalformed, "the body is not what /openapi.yaml says")
	}
	return nil
}

// whole writes all integers in doc without fraction and exponent, as far as a float holds every one of them.
func whole(doc any) any {
	switch v := doc.(type) {
	case map[string]any:
		for name := range v {
			v[name] = whole(v[name])
		}
	case []any:
		for n := range v {
			v[n] = whole(v[n])
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return json.Number(strconv.FormatInt(int64(f), 10))
		}
	}
	return doc
}

// explain adds the faults at the leaves of e, each with a pointer to the field, also to one that is missing.
func (b *bodies) explain(e *jsonschema.ValidationError, f *failure) {
	for _, cause := range e.Causes {
		b.explain(cause, f)
	}
	if len(e.Causes) > 0 {
		return
	}
	add := func(detail string, steps ...string) {
		if len(f.faults) < maxFaults {
			f.faults = append(f.faults, fault{detail: detail, pointer: pointer(steps)})
		}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			add("is missing", append(e.InstanceLocation, name)...)
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			add("is not known here", append(e.InstanceLocation, name)...)
		}
	default:
		add(k.LocalizedString(b.printer), e.InstanceLocation...)
	}
}

// longestPointer bounds what a hostile field name puts into an answer.
const longestPointer = 256

// pointer writes a JSON pointer (RFC 6901).
func pointer(steps []string) string {
	var p strings.Builder
	for _, step := range steps {
		p.WriteByte('/')
		p.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	return fmt.Sprintf("%.*s", longestPointer, p.String())
}

package api_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/wire"
)

// answers and requests are the schemas of bodies, and the types of package wire that stand for them. They are generated, but
// not the types of the domain in them, nor the union of the clouds' configurations.
var (
	answers = map[string]any{
		"IntegrationV1": wire.IntegrationV1{}, "IntegrationListV1": wire.IntegrationListV1{}, "IntegrationV2": wire.IntegrationV2{},
		"IntegrationListV2": wire.IntegrationListV2{}, "Failure": wire.Failure{}, "Connector": wire.Connector{}, "Bound": wire.Bound{},
		"ConnectorList": wire.ConnectorList{}, "Validation": wire.Validation{}, "DryRun": wire.DryRun{}, "Revocation": wire.Revocation{},
		"Rotation": wire.Rotation{}, "Policies": wire.Policies{}, "Lint": wire.Lint{}, "Event": wire.Event{}, "EventList": wire.EventList{},
		"User": wire.Account{}, "UserList": wire.AccountList{}, "ServiceAccount": wire.ServiceAccount{},
		"ServiceAccountList": wire.ServiceAccountList{}, "APIKey": wire.APIKey{}, "APIKeyList": wire.APIKeyList{},
		"RoleBinding": wire.RoleBinding{}, "RoleBindingList": wire.RoleBindingList{}, "Organization": wire.Organization{},
	}
	requests = map[string]any{
		"IntegrationRequestV1": wire.IntegrationRequestV1{}, "IntegrationRequestV2": wire.IntegrationRequestV2{},
		"IntegrationUpdateV2": wire.IntegrationUpdateV2{}, "IntegrationValidateRequest": wire.IntegrationValidateRequest{},
		"ConnectorRequest": wire.ConnectorRequest{}, "TokenRotationRequest": wire.TokenRotationRequest{}, "DryRunRequest": wire.DryRunRequest{},
		"LintRequest": wire.LintRequest{}, "AccountRequest": wire.AccountRequest{}, "AccountUpdate": wire.AccountUpdate{},
		"APIKeyRequest": wire.APIKeyRequest{}, "RoleBindingRequest": wire.RoleBindingRequest{}, "OrganizationUpdate": wire.OrganizationUpdate{},
	}
)

func TestTheServersTypesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	schemas := document.Components.Schemas
	for name, value := range answers {
		likeness{T: t, answer: true}.compare(name, schemas[name], reflect.TypeOf(value))
	}
	for name, value := range requests {
		likeness{T: t}.compare(name, schemas[name], reflect.TypeOf(value))
	}
	// Nothing that an operation names is left out.
	named := slices.AppendSeq(slices.Collect(maps.Keys(answers)), maps.Keys(requests))
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			for _, content := range contents(operation) {
				if media := content.Get("application/json"); media != nil && !slices.Contains(named, strings.TrimPrefix(media.Schema.Ref, "#/components/schemas/")) {
					t.Errorf("%s %s: no type is compared with the schema %q", method, path, media.Schema.Ref)
				}
			}
		}
	}
}

func contents(o *openapi3.Operation) (all []openapi3.Content) {
	if o.RequestBody != nil {
		all = append(all, o.RequestBody.Value.Content)
	}
	for _, response := range o.Responses.Map() {
		all = append(all, response.Value.Content)
	}
	return all
}

// likeness compares types with schemas. What is in an answer is in both; a request may have fields that are ignored.
type likeness struct {
	*testing.T
	answer bool
}

func (l likeness) compare(at string, schema *openapi3.SchemaRef, typ reflect.Type) {
	l.Helper()
	if schema == nil {
		l.Errorf("%s: the document has no such schema", at)
		return
	}
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch properties, whole := propertiesOf(schema.Value); {
	case typ == reflect.TypeFor[json.RawMessage]():
	case typ == reflect.TypeFor[time.Time]():
		if schema.Value.Format != "date-time" {
			l.Errorf("%s: a time whose format is %q", at, schema.Value.Format)
		}
	case typ.Kind() == reflect.Struct:
		l.fields(at, properties, schema.Value.Required, whole, typ)
	case typ.Kind() == reflect.Slice:
		if !schema.Value.Type.Is("array") {
			l.Errorf("%s: %s and %v", at, typ, schema.Value.Type)
			return
		}
		l.compare(at+"/0", schema.Value.Items, typ.Elem())
	default:
		want := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer"}[typ.Kind()]
		if is := schema.Value.Type; want != "" && is != nil && !slices.Contains(*is, want) {
			l.Errorf("%s: %s and %v", at, typ, *is)
		}
	}
}

func (l likeness) fields(at string, properties openapi3.Schemas, required []string, whole bool, typ reflect.Type) {
	l.Helper()
	var has []string
	for _, field := range encoded(typ) {
		tag, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		has = append(has, tag)
		property, ok := properties[tag]
		if !ok {
			if l.answer {
				l.Errorf("%s: the document does not have %s/%s", typ, at, tag)
			}
			continue
		}
		if always := options == ""; l.answer && whole && always != slices.Contains(required, tag) {
			l.Errorf("%s/%s: always there is %t in the type, %t in the document", at, tag, always, !always)
		}
		l.compare(at+"/"+tag, property, field.Type)
	}
	for name, property := range properties {
		if !slices.Contains(has, name) && !strings.HasPrefix(property.Value.Description, "ignored") {
			l.Errorf("%s does not have %s/%s of the document", typ, at, name)
		}
	}
}

// encoded are the fields of a struct that are in its JSON, those of structs that it embeds too.
func encoded(typ reflect.Type) (all []reflect.StructField) {
	for field := range typ.Fields() {
		switch {
		case field.Anonymous && field.Tag.Get("json") == "":
			all = append(all, encoded(field.Type)...)
		case field.Tag.Get("json") != "-":
			all = append(all, field)
		}
	}
	return all
}

// propertiesOf are those of a schema and of the parts that it is made of; whole is false where an object has those of some parts.
func propertiesOf(schema *openapi3.Schema) (all openapi3.Schemas, whole bool) {
	all, whole = maps.Clone(schema.Properties), true
	if all == nil {
		all = openapi3.Schemas{}
	}
	for _, part := range slices.Concat(schema.AllOf, schema.OneOf, schema.AnyOf) {
		whole = false
		more, _ := propertiesOf(part.Value)
		maps.Copy(all, more)
	}
	return all, whole
}

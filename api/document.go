package api

import (
	_ "embed"
	"net/http"

	"github.com/rolebridge/rolebridge/events"
)

// document is the published description of the API, OpenAPI 3.1. Its schemas are also what requests are checked against.
//
//go:embed openapi.yaml
var document []byte

// Document returns the OpenAPI 3.1 description of the API, in YAML.
func Document() []byte { return append([]byte(nil), document...) }

func serveDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(document)
}

// serveSchemas answers with the schemas of what is on Kafka, for producers of commands and readers of events.
func serveSchemas(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/schema+json")
	_, _ = w.Write(events.SchemaBundle())
}

// Package wire is what goes over the wire of the REST API: the bodies of requests and answers, as the server writes them
// and our client reads them.
//
// Its types are generated from the API's document, openapi.yaml beside the server. overlay.yaml adds to the document what
// concerns Go alone. Written by hand are the union of the clouds' configurations, since a generated one is text that is
// encoded and decoded twice, and constants.
//
// It is not the domain: nothing is decided here, and the names and shapes are those of the provider-integration API,
// which never change.
//
// The life of a value: the server makes it of an aggregate (or of a refusal), encodes it once, and forgets it.
package wire

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config codegen.yaml ../openapi.yaml

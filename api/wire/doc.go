// Package wire is what goes over the wire of the REST API: the bodies of requests and answers, as the server writes them
// and our client reads them.
//
// It is not the domain: nothing is decided here, and the names and shapes are those of the provider-integration API,
// which never change. openapi.yaml, beside the server, says the same to everybody else; tests compare the two.
//
// The life of a value: the server makes it of an aggregate (or of a refusal), encodes it once, and forgets it.
package wire

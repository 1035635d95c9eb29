// Package client calls the REST API: the second version of the provider-integration API, and what only we have.
//
// It is not an SDK for others, who have SDKs of the provider-integration API already, and openapi.yaml for the rest: it is
// what the command line needs.
//
// The life of a call: a request with the key's Basic credentials; where it is safe (reads, and writes with an
// Idempotency-Key of its own), a few more tries while the service is unavailable; then the answer's type of package wire,
// or an [Error] with the server's words and code.
package client

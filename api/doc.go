// Package api is the REST surface: the provider-integration API that clients know (PIM v1 and v2), and beside it, under
// /rolebridge/v1, what only we have: connectors, validation reports, policies, revocation.
//
// It decides nothing and stores nothing. A write becomes a command on Kafka, and the answer is the decider's; a read
// comes from a replica of the state in memory, so reads go on while Kafka is away. Nor does it hand out credentials:
// that is package creds.
//
// The life of a request (server.go): the key in its Authorization header names a principal and an organization
// (keys.go); it takes one token of its key's rate (limit.go); its body is compared with the schema in openapi.yaml
// (body.go), which is the same document that clients get; an endpoint answers or returns an error (pim.go and its
// neighbours for PIM, connectors.go and its neighbours for the rest); every error becomes the one shape of failure.go.
//
// The life of a write (command.go): an id, from the Idempotency-Key where there is one; an answer that is known already
// is given again; else the command goes to Kafka (producer.go), and the replica is watched until it has the answer. What
// the answer is about was written in the same transaction, so a client reads what it wrote.
package api

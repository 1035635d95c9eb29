// Package apitest is a control plane in one process, for tests of the api and of the command line: the real domain
// decides, and the rest is memory.
//
// It is not a Kafka, and nothing here survives or is transactional over processes; the end-to-end tests have real
// servers. Its workers answer at once and do what the test says: [ControlPlane.Mapping], [ControlPlane.Trust].
//
// The life of a command: Send decides it under a lock, carries out what the decision asks the workers for, and publishes
// the new state as a whole, as one transaction would.
package apitest

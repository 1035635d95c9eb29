// Package creds hands short-lived cloud credentials to running connectors.
//
// It is not a secret store: nothing outlives its expiry, and losing every cache loses no data. Nor does it judge trust:
// the verdict and the binding come from the replica of the state, which is asked again for every answer.
//
// The life of a session: [Broker.Session] finds the binding that whoever asks has proved (asker.go), by its token (token.go)
// or as a workload (package identity), and its plan (plan.go), looks for the binding's session in
// memory (slot.go), then in a [Store] that replicas share (store.go; sealed in Redis), and last asks the cloud under a
// lease, so that one replica asks for the whole fleet (fetch.go, upstream.go). A session that is read is renewed at half
// of its life (refresh.go), dropped 60 s before its expiry, and unreachable as soon as the integration's epoch moves.
//
// Two types to know: [Recipe], all that a session depends on, whose hash is the [Key] of every cache; and [Broker].
//
// What a caller gets when things fail:
//
//   - the cloud is away: what is cached, as long as it is valid; else [integration.CodeUnavailable], retryable
//   - the store is away or lies: the cloud is asked without a lease, at a bounded rate
//   - the customer's role refuses: [integration.CodeDenied], remembered for 30 to 120 s
//   - many keys are cold at once: organizations take turns (turns.go); over the bound [integration.CodeThrottled]
//   - the external ID is exchanged: what is cached, and a rotation's other ID where the current one is refused (rotation.go)
//   - an answer takes long: what is cached, else [integration.CodeUnavailable] within [Config.Patience], while the
//     fetch goes on
//
// Invariants that do not show: a warm read takes no lock and allocates nothing; whoever fetches holds no lock while
// it waits; leases are taken for the customer's role first and the platform's role second, never the other way round.
package creds

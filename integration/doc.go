// Package integration is the domain of rolebridge: what a provider integration is, what may be asked of it, and what
// is decided. It is pure: no clock, no randomness, no network, nothing but the standard library, so every rule can be
// tested by calling a function.
//
// It is not a store, and it speaks to no cloud: Kafka, REST and the clouds are other packages, which all import this
// one and are imported by none of it.
//
// The life of an integration: a control plane asks ([Command] with [Create]); [Decide] answers with [Event]s or a
// [Refusal]; [Evolve] applies the events to the [State] of the organization. Two workers report back what they did
// ([Result]): the mapping worker made the platform's identity, the trust worker tried the customer's trust policy.
// [DecideResult] turns reports into events. What has to happen later is a due time in the aggregate; when it has
// come, [TimerIsDue] is the input that says so.
//
// The consistency boundary is one organization: quota and uniqueness are counted in its State, and one decider at a
// time owns it. Where to start reading: decide.go for what may be asked, trust.go for when credentials may flow.
package integration

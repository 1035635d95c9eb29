// Package trust proves the customer's trust policy: that it lets us in with the external ID, and nobody without it.
//
// It judges nothing: whether a refusal is the echo of an older policy, and what follows from a report, is the decider's
// word. It tries, as the broker would, and reports what happened. Where a role permits that it is read, the linter's
// findings about its trust policy are added (reading.go); they never count as proof. Of the resources that bindings name
// it looks whether the role reaches them (permissions.go); that never weighs in the verdict, which is about trust alone.
//
// The life of an order: package orders brings it, at least once. A [Prover] makes all checks in their order
// (checks.go), on connections that are new and closed afterwards, because servers behind a connection that lives long
// have answered from a policy that was minutes old. A check that meets throttling, a 5xx or a time-out is made again a
// few times and then counts as not made: that never speaks against the customer, and never for them. Calls into one
// customer account are limited (limits.go). The report holds codes and remedies; no request id, token or session.
package trust

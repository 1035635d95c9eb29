// Package mapping makes and removes the platform's own identity for each integration: for AWS a role named after it.
//
// It decides nothing: whether there should be an identity is the decider's word, and so is when to try again. Nor does it
// look at the customer's side; that is package trust.
//
// The life of an order: package orders brings it, at least once. "ensure" makes the role or adopts and corrects ours,
// "remove" removes it; both may be repeated, since the role's name and tags say whose it is. What passes by itself
// (throttling, 5xx, a principal that IAM does not know yet) is tried again for [Config.Retry] and then reported as
// temporary; what stays (no right to, a foreign role, all accounts full) is reported at once with its reason.
package mapping

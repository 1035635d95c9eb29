// Package aws does at AWS what an integration needs: it makes and removes platform roles (IAM), and assumes roles with
// short-lived sessions (STS).
//
// It decides nothing about trust, caches no session and never tries again: the workers and the broker know how long an
// answer may take, so the SDK's own retries are off for every call made here. (Those of the SDK's credentials chain stay
// on.) Nor does it write policies of its own: they come from package policy.
//
// The life of a call: [Client] or [Platform] asks under a time-out of its own, an [Observer] hears of the outcome, and
// whatever AWS answers becomes a [cloud.Session] or a [cloud.Error] (fault.go): classified by the SDK's types, without
// request ids, without anything that could be a key or a token.
//
// A platform role is ours when its tags say so (role.go). Ours is adopted and corrected; a foreign one is never touched.
package aws

// Package signature proves which producer sent a command: a detached Ed25519 signature (RFC 8032) over the event.
//
// It is not encryption, and it does not say what an actor may do: it says whether whoever holds a key may speak for that
// actor. Without it, everybody who may write to the commands topic may name any actor.
//
// The life of a signature: the producer takes its event in the JSON format of CloudEvents 1.0, with the attribute
// signaturekey, brings it into the canonical form of RFC 8785 and signs those bytes; the signature, in base64url, becomes
// the attribute signature. Binary or structured mode makes no difference. A decider looks the key up among its [Signers],
// makes the same bytes again, and judges the actor, the organization, the source and the age ([Policy.Check]). A record that is sent
// again has the same source and id, so it is decided once; one that is older than receipts are kept is refused.
package signature

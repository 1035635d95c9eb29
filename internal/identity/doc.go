// Package identity tells whether whoever asks is a workload that a binding names, or a principal that an account is of: by a
// token that an OpenID Connect issuer signed, or (workloads only) by a certificate with a SPIFFE id.
//
// It finds no binding and gives nothing out: it is told what would be enough, and says yes, no, or not now. Nor does it
// keep a list of issuers: one is asked for its keys when a token that claims all that a binding wants has to be verified,
// and never otherwise.
//
// The life of a token's verdict: [Verifier.Token] looks for an earlier verdict, which holds until the token expires or its
// key is withdrawn (verdict.go); else it reads the claims, compares them, gets the key (issuer.go), and verifies. Whatever
// fails, one signature is verified: with a key of our own if there is no other (decoy.go), so that the time of a refusal
// says nothing about what bindings name. An issuer is a customer's choice, so how it is reached is guarded (web.go): https
// to public addresses only, no redirects, with bounds of size and time, in a goroutine of its own for each issuer.
//
// The life of a certificate's: [Bundles.VerifyClient] at the handshake, and [Bundles.ID] at each request, since trust may
// have been withdrawn while the connection lasts (svid.go).
package identity

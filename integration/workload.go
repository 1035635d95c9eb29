package integration

import (
	"net/url"
	"strings"
)

// Workload is an identity that a connector's runtime has anyway and may show instead of a token. Exactly one of the two
// is set.
type Workload struct {
	OIDC OIDC `json:"oidc,omitzero"`
	// SPIFFE is a SPIFFE id, compared as a whole.
	SPIFFE string `json:"spiffe_id,omitempty"`
}

// OIDC names the holder of signed tokens of an issuer. All three are compared as a whole: there are no patterns.
type OIDC struct {
	// Issuer is an https URL without user, query and fragment, as in the tokens' iss.
	Issuer   string `json:"issuer"`
	Audience string `json:"audience"` // one of the tokens' aud
	Subject  string `json:"subject"`  // the tokens' sub
}

// Bounds of workload identities, in bytes. A SPIFFE id's are those of its specification.
const (
	maxIssuer      = 512
	maxAudience    = 256
	maxSubject     = 512
	maxSPIFFE      = 2048
	maxTrustDomain = 255
)

func (w Workload) check(at string) *Refusal {
	switch oidc := w.OIDC != (OIDC{}); {
	case oidc == (w.SPIFFE != ""):
		return refuseField(at, "want either oidc or spiffe_id")
	case oidc:
		return w.OIDC.check(at + "/oidc")
	case !validSPIFFE(w.SPIFFE):
		return refuseField(at+"/spiffe_id", "want spiffe://trust-domain/path, at most %d bytes: lower-case letters, digits and .-_ in the domain, letters, digits and .-_ in the path", maxSPIFFE)
	}
	return nil
}

func (o OIDC) check(at string) *Refusal {
	if !validIssuer(o.Issuer) {
		return refuseField(at+"/issuer", "want an https URL of at most %d bytes without user, query and fragment", maxIssuer)
	}
	if !plainText(o.Audience, maxAudience) {
		return refuseField(at+"/audience", "want 1 to %d printable ASCII characters without white space around them", maxAudience)
	}
	if !plainText(o.Subject, maxSubject) {
		return refuseField(at+"/subject", "want 1 to %d printable ASCII characters without white space around them", maxSubject)
	}
	return nil
}

// validIssuer follows OpenID Connect Discovery 1.0, section 3.
func validIssuer(issuer string) bool {
	if !plainText(issuer, maxIssuer) || strings.ContainsAny(issuer, "?# ") {
		return false
	}
	u, err := url.Parse(issuer)
	return err == nil && strings.HasPrefix(issuer, "https://") && u.User == nil && u.Hostname() != "" && u.Opaque == ""
}

// plainText reports whether s has 1 to most printable ASCII characters, none of them white space at an end.
func plainText(s string, most int) bool {
	if s == "" || len(s) > most || strings.TrimSpace(s) != s {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// validSPIFFE follows the SPIFFE-ID specification, sections 2.1 to 2.3. An id without a path names a whole trust domain, and
// no workload.
func validSPIFFE(id string) bool {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	domain, path, found := strings.Cut(rest, "/")
	if !ok || !found || len(id) > maxSPIFFE || len(domain) > maxTrustDomain || !consistsOf(domain, isDomain) {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." || !consistsOf(segment, isSegment) {
			return false
		}
	}
	return true
}

func consistsOf(s string, allowed func(rune) bool) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !allowed(r) })
}

func isDomain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}

func isSegment(r rune) bool { return isDomain(r) || r >= 'A' && r <= 'Z' }

package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"

	// maxSkew is how far a request's date may be from the sandbox's clock (S3 user guide, "Authenticating Requests").
	maxSkew = 15 * time.Minute
	// maxPresigned is how long a presigned URL may be good for.
	maxPresigned = 7 * 24 * time.Hour
)

// signed is what a request says about its signature, before anything of it is believed.
type signed struct {
	keyID, day, region, service string
	headers                     []string // lower case, in the order given
	signature                   string
	at                          time.Time
	token                       string
	presigned                   bool
	validFor                    time.Duration // presigned only
}

func (g signed) scope() string { return g.day + "/" + g.region + "/" + g.service + "/aws4_request" }

// readSignature finds the signature in the headers or, presigned, in the query. ok is false when there is none.
func readSignature(r *http.Request) (_ signed, ok bool, _ error) {
	query := r.URL.Query()
	authorization := r.Header.Get("Authorization")
	switch {
	case authorization != "":
		g, err := headerSignature(r, authorization)
		return g, true, err
	case query.Has("AWSAccessKeyId") && query.Has("Signature"):
		return signed{service: "s3"}, true, refuseV2()
	case query.Has("X-Amz-Algorithm") || query.Has("X-Amz-Signature"):
		g, err := querySignature(query)
		return g, true, err
	default:
		return signed{}, false, nil
	}
}

func headerSignature(r *http.Request, authorization string) (signed, error) {
	if strings.HasPrefix(authorization, "AWS ") {
		return signed{service: "s3"}, refuseV2()
	}
	rest, ok := strings.CutPrefix(authorization, sigAlgorithm+" ")
	if !ok {
		return signed{}, refuse(400, "IncompleteSignature", "only %s signatures are accepted", sigAlgorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	g := signed{
		headers:   strings.Split(parts["SignedHeaders"], ";"),
		signature: parts["Signature"],
		token:     r.Header.Get("X-Amz-Security-Token"),
	}
	date := r.Header.Get("X-Amz-Date")
	return g.withScope(parts["Credential"], date)
}

// refuseV2 answers the signatures of before 2014, which AWS accepts in its oldest regions only and some clients still make
// for presigned URLs.
func refuseV2() error {
	return refuse(400, "InvalidRequest", "The authorization mechanism you have provided is not supported. Please use %s.", sigAlgorithm)
}

func querySignature(query url.Values) (signed, error) {
	if query.Get("X-Amz-Algorithm") != sigAlgorithm {
		return signed{}, refuse(400, "AuthorizationQueryParametersError", "X-Amz-Algorithm only supports %q", sigAlgorithm)
	}
	seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	if err != nil || seconds < 1 || seconds > int(maxPresigned/time.Second) {
		return signed{}, refuse(400, "AuthorizationQueryParametersError", "X-Amz-Expires must be 1 to 604800 seconds")
	}
	g := signed{
		headers:   strings.Split(query.Get("X-Amz-SignedHeaders"), ";"),
		signature: query.Get("X-Amz-Signature"),
		token:     query.Get("X-Amz-Security-Token"),
		presigned: true,
		validFor:  time.Duration(seconds) * time.Second,
	}
	return g.withScope(query.Get("X-Amz-Credential"), query.Get("X-Amz-Date"))
}

// withScope reads the credential, KEY/DAY/REGION/SERVICE/aws4_request, and the date. What it could read it returns also
// with an error: the service decides in whose words the error is told.
func (g signed) withScope(credential, date string) (signed, error) {
	part := strings.Split(credential, "/")
	if len(part) != 5 || part[4] != "aws4_request" || g.signature == "" || !slices.Contains(g.headers, "host") {
		return g, refuse(400, "IncompleteSignature", "the signature needs a Credential of five parts, SignedHeaders with host, and a Signature")
	}
	g.keyID, g.day, g.region, g.service = part[0], part[1], part[2], part[3]
	at, err := time.Parse(sigTime, date)
	if err != nil {
		return g, refuse(400, "IncompleteSignature", "X-Amz-Date must be in ISO 8601 basic form")
	}
	g.at = at
	if date[:8] != g.day {
		return g, refuse(403, "SignatureDoesNotMatch", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
	}
	return g, nil
}

// checkTime refuses what was signed at another time. The SDKs know these codes and correct their clock.
func (g signed) checkTime(now time.Time) error {
	age := now.Sub(g.at)
	switch {
	case g.presigned && (age > g.validFor || age < -maxSkew):
		return refuse(403, "AccessDenied", "Request has expired")
	case g.presigned || age.Abs() <= maxSkew:
		return nil
	case g.service == "s3":
		return refuse(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
	default:
		return refuse(400, "RequestExpired", "Signature expired or not yet current: %s is more than 15 minutes from %s", g.at.Format(sigTime), now.UTC().Format(sigTime))
	}
}

// checkSignature computes the signature again with secret. payloadHash is what the client says, or for the query protocol
// what the body hashes to.
func (g signed) checkSignature(r *http.Request, secret, payloadHash string) error {
	if !g.presigned {
		// AWS insists on this, so that nobody on the way adds a header that means something.
		for name := range r.Header {
			name = strings.ToLower(name)
			if strings.HasPrefix(name, "x-amz-") && !slices.Contains(g.headers, name) {
				return refuse(403, "AccessDenied", "There were headers present in the request which were not signed: %s", name)
			}
		}
	}
	sum := sha256.Sum256([]byte(g.canonical(r, payloadHash)))
	want := hex.EncodeToString(mac(g.signingKey(secret), g.stringToSign(hex.EncodeToString(sum[:]))))
	if subtle.ConstantTimeCompare([]byte(want), []byte(g.signature)) != 1 {
		return refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	}
	return nil
}

func (g signed) canonical(r *http.Request, payloadHash string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n")
	path := awsEscape(r.URL.Path, true)
	if g.service != "s3" {
		path = awsEscape(path, true) // everywhere but in S3 the path is escaped twice
	}
	b.WriteString(path + "\n" + canonicalQuery(r.URL.RawQuery) + "\n")
	for _, name := range g.headers {
		b.WriteString(name + ":" + canonicalHeader(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(g.headers, ";") + "\n" + payloadHash)
	return b.String()
}

func (g signed) stringToSign(hash string) string {
	return sigAlgorithm + "\n" + g.at.Format(sigTime) + "\n" + g.scope() + "\n" + hash
}

func (g signed) signingKey(secret string) []byte {
	k := mac([]byte("AWS4"+secret), g.day)
	k = mac(k, g.region)
	k = mac(k, g.service)
	return mac(k, "aws4_request")
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func canonicalHeader(r *http.Request, name string) string {
	switch name {
	case "host": // net/http takes these two out of the header
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i := range values {
		values[i] = strings.Join(strings.Fields(values[i]), " ")
	}
	return strings.Join(values, ",")
}

// canonicalQuery sorts by the escaped name, then the escaped value, and leaves out the signature itself.
func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if pair != "" && name != "X-Amz-Signature" {
			pairs = append(pairs, awsEscape(name, false)+"="+awsEscape(value, false))
		}
	}
	slices.SortFunc(pairs, func(a, b string) int {
		aName, aValue, _ := strings.Cut(a, "=")
		bName, bValue, _ := strings.Cut(b, "=")
		if c := strings.Compare(aName, bName); c != 0 {
			return c
		}
		return strings.Compare(aValue, bValue)
	})
	return strings.Join(pairs, "&")
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// awsEscape leaves only RFC 3986's unreserved characters, and in a path the slashes, as they are.
func awsEscape(s string, path bool) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', path && c == '/':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

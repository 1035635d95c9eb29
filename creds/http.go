package creds

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// Path is where [Broker.Handler] answers: the path of AWS_CONTAINER_CREDENTIALS_FULL_URI.
const Path = "/v1/credentials"

// maxToken bounds the Authorization header: our tokens have 64 characters at most, workload tokens a few thousand.
const maxToken = 8 << 10

// tooLong stands for a token that is longer: a token still, so that no certificate counts in its place.
const tooLong = "too long"

// maxQuery bounds the query: two names and a format.
const maxQuery = 1 << 10

// containerCredentials is the answer of the AWS container-credentials protocol.
type containerCredentials struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string `json:"SecretAccessKey"`
	Token           string `json:"Token"`
	Expiration      string `json:"Expiration"`
	AccountID       string `json:"AccountId,omitempty"`
	RoleARN         string `json:"RoleArn,omitempty"`
}

// processCredentials is what an AWS SDK reads of a credential_process.
type processCredentials struct {
	Version         int    `json:"Version"`
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string `json:"SecretAccessKey"`
	SessionToken    string `json:"SessionToken"`
	Expiration      string `json:"Expiration"`
	AccountID       string `json:"AccountId,omitempty"`
}

// problem is an error as SDKs read it: some look for code and message, some for Code and Message.
type problem struct {
	Code     integration.Code `json:"code"`
	Message  string           `json:"message"`
	Code2    integration.Code `json:"Code"`
	Message2 string           `json:"Message"`
}

// refusalOf is the refusal that a broker's answer tells of; nil when it tells of none.
func refusalOf(answer []byte) *integration.Refusal {
	var said problem
	if json.Unmarshal(answer, &said) == nil && said.Code != "" {
		return &integration.Refusal{Code: said.Code, Message: said.Message}
	}
	return nil
}

// Values of headers, shared by all answers and never changed.
var (
	jsonType   = []string{"application/json"}
	noStore    = []string{"no-store"}
	retryAfter = []string{"1"}
)

// What is shown wrongly is answered with prepared bytes, so that it costs the same whatever is wrong.
var (
	unauthenticated = problemOf(errUnauthenticated)
	limited         = problemOf(integration.Refuse(integration.CodeThrottled,
		"the token is not known, and too many attempts from this address have failed; what is right is always answered"))
)

// document is a body that is ready to be written, with the value of its Content-Length.
type document struct {
	body   []byte
	length []string
}

func newDocument(of any) (document, error) {
	body, err := json.Marshal(of)
	return document{body, []string{strconv.Itoa(len(body))}}, err
}

// Handler answers GET [Path] in the AWS container-credentials protocol, or with ?format=process in the shape of a
// credential_process, so that curl is enough for one. The token is the Authorization header, as it is or behind
// "Bearer ". A workload, whose token is an issuer's or who shows a certificate, names its binding in the query:
// ?integration=…&connector=…. Limits of header size, time and connections are the listener's.
func (b *Broker) Handler() http.Handler { return http.HandlerFunc(b.serve) }

func (b *Broker) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Content-Type"] = jsonType
	header["Cache-Control"] = noStore
	switch {
	case r.URL.Path != Path:
		refuse(w, integration.Refuse(integration.CodeNotFound, "only %s is here", Path), http.StatusNotFound)
		return
	case r.Method != http.MethodGet:
		header.Set("Allow", http.MethodGet)
		refuse(w, integration.Refuse(integration.CodeInvalid, "only GET is answered"), http.StatusMethodNotAllowed)
		return
	}
	c, process, err := readQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, err, http.StatusBadRequest)
		return
	}
	c.token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if len(c.token) > maxToken {
		c.token = tooLong
	}
	if r.TLS != nil {
		c.chain = r.TLS.PeerCertificates
	}
	found, failed := b.document(r.Context(), c, process)
	if failed != nil {
		b.fail(w, r, failed)
		return
	}
	answer(w, http.StatusOK, found)
}

// document is the answer to a read in one of two shapes.
func (b *Broker) document(ctx context.Context, c credential, process bool) (document, error) {
	p, err := b.read(ctx, c)
	switch {
	case err != nil:
		return document{}, err
	case process:
		return p.forProcess()
	}
	return p.container, nil
}

// readQuery reads the name of the binding and the shape of the answer; most warm reads have no query.
func readQuery(query string) (c credential, process bool, refused *integration.Refusal) {
	if query == "" {
		return c, false, nil
	}
	q, err := url.ParseQuery(query)
	if err != nil || len(query) > maxQuery {
		return c, false, integration.Refuse(integration.CodeInvalid, "the query cannot be read")
	}
	c.integration, c.connector = integration.ID(q.Get("integration")), integration.ConnectorID(q.Get("connector"))
	if (c.integration == "") != (c.connector == "") || len(q["integration"]) > 1 || len(q["connector"]) > 1 {
		return c, false, integration.Refuse(integration.CodeInvalid, "a binding is named by one integration and one connector")
	}
	switch format := q.Get("format"); format {
	case "", "container":
		return c, false, nil
	case "process":
		return c, true, nil
	default:
		return c, false, integration.Refuse(integration.CodeInvalid, "format must be container or process")
	}
}

// javaAgent begins the User-Agent of the AWS SDK for Java, 1 and 2.
const javaAgent = "aws-sdk-java/"

// fail answers an error of a read. What may pass is answered so that the SDK in question tries again: an overload with
// 429, and Java's with 503, since it repeats 5xx only; everything else with 503.
func (b *Broker) fail(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *integration.Refusal
	if !errors.As(err, &refusal) {
		if r.Context().Err() == nil {
			b.log.ErrorContext(r.Context(), "credentials not answered", "error", err)
		}
		refusal = integration.Refuse(integration.CodeInternal, "internal error")
	}
	status := refusal.Code.Answer().HTTP
	switch refusal.Code {
	case integration.CodeUnauthenticated:
		b.unauthenticated(w, r)
		return
	case integration.CodeThrottled:
		if strings.HasPrefix(r.UserAgent(), javaAgent) {
			status = http.StatusServiceUnavailable
		}
		w.Header()["Retry-After"] = retryAfter
	case integration.CodeUnavailable:
		w.Header()["Retry-After"] = retryAfter
	}
	refuse(w, refusal, status)
}

// unauthenticated answers whoever has not proved a binding: all alike, and more slowly asked for when one source fails often.
func (b *Broker) unauthenticated(w http.ResponseWriter, r *http.Request) {
	from := b.sources.Of(r)
	ctx := r.Context()
	over := func() { b.log.WarnContext(ctx, "too many failed attempts", "source", from.String()) }
	if !b.attempts.Failed(from, time.Now(), over) {
		answer(w, http.StatusUnauthorized, unauthenticated)
		return
	}
	b.metrics.limited.Inc()
	w.Header()["Retry-After"] = retryAfter
	answer(w, http.StatusTooManyRequests, limited)
}

func refuse(w http.ResponseWriter, r *integration.Refusal, status int) {
	answer(w, status, problemOf(r))
}

func answer(w http.ResponseWriter, status int, d document) {
	w.Header()["Content-Length"] = d.length
	w.WriteHeader(status)
	_, _ = w.Write(d.body) // who does not listen has gone
}

func problemOf(r *integration.Refusal) document {
	d, err := newDocument(problem{r.Code, r.Message, r.Code, r.Message})
	if err != nil {
		panic(err) // texts always have a JSON form
	}
	return d
}

package trust_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/workers/trust"
)

func TestMain(m *testing.M) {
	testenv.CleanAWSEnv()
	goleak.VerifyTestMain(m)
}

const (
	rightID  = "2f4c8a56-58b2-4a0f-9d7e-6d1c1f0b7a11"
	platform = "arn:aws:iam::111111111111:role/rolebridge/cspi-abc12"
	customer = "arn:aws:iam::222222222222:role/customer"
)

func claim() trust.Claim {
	return trust.Claim{
		Integration: "cspi-abc12", Config: integration.Config{Kind: integration.KindAWS, Customer: customer},
		Platform: platform, ExternalID: rightID,
	}
}

func newProver(t *testing.T, client *aws.Client, reg prometheus.Registerer, change ...func(*trust.ProverConfig)) *trust.Prover {
	t.Helper()
	c := trust.ProverDefaults()
	c.FirstPause, c.Budget = time.Millisecond, 20*time.Second
	for _, f := range change {
		f(&c)
	}
	p, err := trust.NewProver(c, client, reg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func prove(t *testing.T, p *trust.Prover, c trust.Claim) integration.Report {
	t.Helper()
	report, err := p.Prove(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// outcomes writes the outcomes of a report's checks of trust in their order, a letter each: Pass, Fail, Skipped, Error.
func outcomes(r integration.Report) string {
	var b strings.Builder
	for _, c := range r.Checks {
		if c.Name == integration.CheckPermissions {
			continue
		}
		b.WriteByte(c.Outcome[0])
	}
	return b.String()
}

func check(t *testing.T, r integration.Report, name integration.CheckName) integration.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("the report has no check %s", name)
	return integration.Check{}
}

// world is a sandbox in which the platform's role is made.
func world(t *testing.T) *awstest.World {
	t.Helper()
	w := awstest.New(t)
	spec := aws.RoleSpec{Name: "cspi-abc12", Organization: "o-1", Customer: customer}
	if got, err := w.Roles(t).EnsureRole(t.Context(), spec); err != nil || got != platform {
		t.Fatalf("the platform's role: got %s, %v, want %s", got, err, platform)
	}
	return w
}

// sts is an STS whose every answer a test decides; see right for the answers of one where all is well.
type sts struct {
	url string

	mu     sync.Mutex
	answer func(form url.Values) (status int, body string)
	seen   []url.Values
	conns  map[string]http.ConnState
}

const (
	secretOfSession = "sEcReTsEcReTsEcReTsEcReTsEcReTsEcReTsEcReT"
	requestID       = "0d9e8f7a-request-id-1234"
)

var tokenOfSession = strings.Repeat("FwoGZXIvYXdzE", 30)

func newSTS(t *testing.T, answer func(form url.Values) (int, string)) *sts {
	t.Helper()
	s := &sts{answer: answer, conns: map[string]http.ConnState{}}
	server := httptest.NewUnstartedServer(s)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns[c.RemoteAddr().String()] = state
	}
	server.Start()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *sts) client(t *testing.T) *aws.Client {
	t.Helper()
	client, err := aws.New(t.Context(), aws.Config{
		Region: awstest.Region, Endpoint: s.url, Credentials: awstest.Static("AKIABASEBASEBASEBASE", "base-secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// ServeHTTP implements http.Handler.
func (s *sts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, r.PostForm)
	answer := s.answer
	s.mu.Unlock()
	status, body := answer(r.PostForm)
	w.Header().Set("X-Amzn-Requestid", requestID)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// hop2 reports whether a request is the second hop.
func hop2(form url.Values) bool { return form.Get("RoleArn") == customer }

// right answers as STS does when the trust policy is right.
func right(form url.Values) (int, string) {
	if form.Get("Action") == "GetCallerIdentity" {
		return identity("222222222222")
	}
	if form.Get("Action") == "GetRole" {
		return refusal(403, "AccessDenied", "not authorized")
	}
	if hop2(form) && form.Get("ExternalId") != rightID {
		return refusal(403, "AccessDenied", "not authorized")
	}
	return admission(form.Get("RoleArn"))
}

func identity(account string) (int, string) {
	return 200, fmt.Sprintf(`<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::%[1]s:assumed-role/r/s</Arn>`+
		`<UserId>AROA:s</UserId><Account>%[1]s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, account)
}

func admission(role string) (int, string) {
	return 200, fmt.Sprintf(`<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROA:s</AssumedRoleId><Arn>%s</Arn></AssumedRoleUser>`+
		`<Credentials><AccessKeyId>ASIASESSIONSESSION12</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken>`+
		`<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
		strings.Replace(role, ":iam:", ":sts:", 1), secretOfSession, tokenOfSession, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

func refusal(status int, code, message string) (int, string) {
	return status, fmt.Sprintf(`<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`,
		code, message, requestID)
}

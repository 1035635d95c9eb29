package creds_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// failure is one row of the table "What connectors get" in docs/OPERATIONS.md.
type failure struct {
	name string
	warm answer // for a key whose session is in memory
	cold answer // for a key that nobody read before, at first
	then answer // for a cold key in the end, while the fault lasts; zero: what it got at first
	run  func(t *testing.T, f failure)
}

var (
	ok          = answer{status: 200, left: creds.MinLife}
	lasting     = answer{status: 200, left: creds.HardLimit} // what is cached is used up
	unavailable = answer{status: 503, code: integration.CodeUnavailable}
	denied      = answer{status: 403, code: integration.CodeDenied}
)

func failures() []failure {
	return []failure{
		{name: "STS answers after 5 s", warm: ok, cold: unavailable, then: ok, run: simulated(20*time.Second, cloudFault(credstest.Fault{Latency: 5 * time.Second}))},
		{name: "STS answers 5xx", warm: lasting, cold: unavailable, run: both(
			simulated(40*time.Second, cloudFault(credstest.Fault{Fault: cloud.FaultUnavailable})),
			onTheWire(cloud.FaultUnavailable, wire{500, "InternalFailure"}, wire{503, "ServiceUnavailable"}, wire{502, "unknown"}),
		)},
		{name: "STS throttles", warm: lasting, cold: unavailable, run: both(
			simulated(time.Minute, cloudFault(credstest.Fault{Fault: cloud.FaultThrottled})),
			onTheWire(cloud.FaultThrottled, wire{400, "Throttling"}),
		)},
		{name: "STS refuses the role", warm: lasting, cold: denied, run: both(
			simulated(2*time.Minute, cloudFault(credstest.Fault{Role: customerRole, Fault: cloud.FaultDenied})),
			onTheWire(cloud.FaultDenied, wire{403, "AccessDenied"}),
		)},
		{name: "STS refuses connections", warm: lasting, cold: unavailable, run: both(
			simulated(40*time.Second, cloudFault(credstest.Fault{Fault: cloud.FaultUnavailable})),
			onTheWire(cloud.FaultUnavailable, wire{}),
		)},
		{name: "STS gone for 25 minutes", warm: lasting, cold: unavailable, run: simulated(
			40*time.Second, cloudFault(credstest.Fault{Fault: cloud.FaultUnavailable, Latency: 3 * time.Second}),
		)},

		{name: "Redis slow", warm: ok, cold: ok, run: both(simulated(0, slowRedis(80*time.Millisecond, nil)), onRedis(behindProxy(80*time.Millisecond)))},
		{name: "Redis hangs", warm: ok, cold: ok, run: both(simulated(0, slowRedis(100*time.Millisecond, errBroken)), onRedis(suspended))},
		{name: "Redis gone", warm: ok, cold: ok, run: both(simulated(0, slowRedis(0, errBroken)), onRedis(gone))},
		{name: "Redis flushed", warm: ok, cold: ok, run: onRedis(flushed)},
		{name: "Redis full", warm: ok, cold: ok, run: onRedis(full)},
		{name: "Redis read-only", warm: ok, cold: ok, run: onRedis(readOnly)},
		{name: "Redis cannot save", warm: ok, cold: ok, run: onRedis(cannotSave)},
		{name: "Redis failing over", warm: ok, cold: ok, run: onRedis(failingOver)},
		{name: "Redis refuses our password", warm: ok, cold: ok, run: onRedis(wrongPassword)},
		{name: "Redis returns garbage", warm: ok, cold: ok, run: both(onRedis(garbled), unreadable("garbage", "nothing", "a changed byte", "a list", "no expiry"))},
		{name: "An entry of another key", warm: ok, cold: ok, run: unreadable("an entry of another key")},
		{name: "An entry sealed with an unknown key", warm: ok, cold: ok, run: unreadable("an unknown key")},

		{name: "Kafka gone for an hour", warm: ok, cold: ok, run: kafkaGone},
		{name: "The replica of the state still loads", warm: unavailable, cold: unavailable, run: stillLoading},
		{name: "A replica killed while it holds the lease", warm: ok, cold: unavailable, then: ok, run: both(leaseHolderKilled, leaseHolderKilledForReal)},
		{name: "The clock 5 minutes ahead", warm: ok, cold: ok, run: clockOff(5 * time.Minute)},
		{name: "The clock 5 minutes behind", warm: ok, cold: ok, run: clockOff(-5 * time.Minute)},
		{name: "A process suspended past a session's expiry", warm: ok, cold: ok, run: suspendedForReal},
	}
}

func TestFailures(t *testing.T) {
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) { f.run(t, f) })
	}
}

func TestOperationsSaysWhatConnectorsGet(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "OPERATIONS.md"))
	must(t, err)
	_, section, found := strings.Cut(string(text), "## What connectors get\n")
	if !found {
		t.Fatal("OPERATIONS.md does not say what connectors get")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); strings.HasPrefix(line, "| ") {
			rows = append(rows, cells)
		}
	}
	all := failures()
	if len(rows) != len(all)+1 { // the heading
		t.Errorf("OPERATIONS.md has %d faults, the tests %d", len(rows)-1, len(all))
	}
	for n, row := range rows[1:min(len(rows), len(all)+1)] {
		f := all[n]
		cold := f.cold.String()
		if f.then != (answer{}) {
			cold += ", then " + f.then.String()
		}
		for cell, want := range []string{"| " + f.name, f.warm.String(), cold} {
			if row[cell] != want {
				t.Errorf("row %d of OPERATIONS.md has %q, want %q", n+1, row[cell], want)
			}
		}
		if len(row) != 5 || len(row[3]) < 6 || len(row[4]) < 3 {
			t.Errorf("row %d of OPERATIONS.md does not say what recovers and what to do: %q", n+1, row)
		}
	}
}

// answer is what a connector gets.
type answer struct {
	status int
	code   integration.Code
	left   time.Duration // of the session, at least
}

func (a answer) String() string {
	if a.status == http.StatusOK {
		return fmt.Sprintf("200, at least %d min left", int(a.left/time.Minute))
	}
	return fmt.Sprintf("%d %#q", a.status, a.code)
}

// asked asks as a connector does, without a network.
func asked(t *testing.T, b *creds.Broker, token secret.Text) answer {
	t.Helper()
	r := ask(t, b, http.MethodGet, creds.Path, token.Reveal())
	return answered(t, r)
}

// answered reads an answer and checks what all have in common.
func answered(t *testing.T, r *http.Response) answer {
	t.Helper()
	var said struct {
		Code       integration.Code `json:"code"`
		Expiration time.Time        `json:"Expiration"`
	}
	if err := json.NewDecoder(r.Body).Decode(&said); err != nil {
		t.Fatalf("the answer %d is no JSON: %v", r.StatusCode, err)
	}
	got := answer{status: r.StatusCode, code: said.Code}
	if got.status == http.StatusOK {
		got.left = time.Until(said.Expiration)
	}
	if retry := r.Header.Get("Retry-After"); (retry != "") != (got.status == 503 || got.status == 429) {
		t.Errorf("an answer %d has Retry-After %q", got.status, retry)
	}
	return got
}

// want compares; clocks of whole seconds lose less than one.
func (a answer) want(t *testing.T, what string, want answer) {
	t.Helper()
	if a.status != want.status || a.code != want.code || a.left < want.left-time.Second {
		t.Errorf("%s: got %v with %s left, want %v", what, a, a.left.Round(time.Second), want)
	}
}

func both(one, two func(*testing.T, failure)) func(*testing.T, failure) {
	return func(t *testing.T, f failure) {
		t.Run("first", func(t *testing.T) { one(t, f) })
		t.Run("second", func(t *testing.T) { two(t, f) })
	}
}

// trouble begins a fault in a world and returns what ends it and how often it was met.
type trouble func(t *testing.T, w *world) (end func(), met func() int)

// lasts is how long a simulated fault lasts.
const lasts = 25 * time.Minute

// simulated lets three replicas live through a fault in simulated time, beginning at several moments of a session's life.
// Answers come within 800 ms, always; after the fault cold keys are well again within back.
func simulated(back time.Duration, begins trouble) func(*testing.T, failure) {
	return func(t *testing.T, f failure) {
		for _, at := range []time.Duration{time.Minute, 15 * time.Minute, 29 * time.Minute, 36 * time.Minute, 50 * time.Minute} {
			t.Run(fmt.Sprint("after ", at), func(t *testing.T) { simulate(t, f, begins, at, back) })
		}
	}
}

func simulate(t *testing.T, f failure, begins trouble, at, back time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store = &harmed{Store: w.store}
		fleet := []*creds.Broker{w.broker(t), w.broker(t), w.broker(t)}
		cold := w.connectors(len(fleet) + 1)
		read := func(b *creds.Broker, token secret.Text) answer {
			start := time.Now()
			got := asked(t, b, token)
			if took := time.Since(start); took > 800*time.Millisecond {
				t.Errorf("an answer took %s, want at most 800 ms", took)
			}
			return got
		}
		for end := time.Now().Add(at); time.Now().Before(end); bubbletest.Pass(10 * time.Second) {
			for _, b := range fleet {
				read(b, w.token).want(t, "before", ok)
			}
		}
		over, met := begins(t, w)
		var last []answer
		for end := time.Now().Add(lasts); time.Now().Before(end) && !t.Failed(); bubbletest.Pass(10 * time.Second) {
			var now []answer
			for n, b := range fleet {
				read(b, w.token).want(t, "warm", f.warm)
				now = append(now, read(b, cold[n]))
				if last == nil {
					now[n].want(t, "cold", f.cold)
				}
			}
			last = now
		}
		then := f.then
		if then == (answer{}) {
			then = f.cold
		}
		for _, got := range last {
			got.want(t, "cold, in the end", then)
		}
		if met() == 0 {
			t.Error("the fault was never met")
		}
		over()
		bubbletest.Pass(back)
		for n, b := range fleet {
			read(b, cold[n]) // it may begin the fetch
		}
		bubbletest.Pass(time.Second)
		for n, b := range fleet {
			read(b, cold[n]).want(t, fmt.Sprintf("cold, %s after the fault", back), ok)
			read(b, w.token).want(t, fmt.Sprintf("warm, %s after the fault", back), ok)
		}
		read(fleet[0], cold[len(fleet)]).want(t, "a new key after the fault", ok)
	})
}

// cloudFault is trouble with the cloud.
func cloudFault(fault credstest.Fault) trouble {
	return func(_ *testing.T, w *world) (func(), func() int) {
		i := w.cloud.Inject(fault)
		return i.Remove, i.Fired
	}
}

// wire is how AWS says something. A status of 0 refuses the connection.
type wire struct {
	status int
	code   string
}

// onTheWire checks that AWS's words are understood as the fault that is simulated.
func onTheWire(want cloud.Fault, words ...wire) func(*testing.T, failure) {
	return func(t *testing.T, _ failure) {
		for _, say := range words {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(say.status)
				_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code></Error></ErrorResponse>`, say.code)
			}))
			t.Cleanup(server.Close)
			if say.status == 0 {
				server.Close()
			}
			client, err := aws.New(t.Context(), aws.Config{
				Region: "eu-west-1", Endpoint: server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
			})
			must(t, err)
			t.Cleanup(client.Close)
			_, err = creds.FromAWS(client).Assume(t.Context(), nil, creds.Role{ARN: customerRole, SessionName: "sink", Duration: time.Hour})
			if got := cloud.FaultOf(err); err == nil || got != want {
				t.Errorf("%d %s is understood as %s (%v), want %s", say.status, say.code, got, err, want)
			}
		}
	}
}

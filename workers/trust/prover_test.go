package trust_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/orders"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/workers/trust"
)

func open(t *testing.T, cfg aws.Config) *aws.Client {
	t.Helper()
	client, err := aws.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestTroubleThatPassesIsNotSeen(t *testing.T) {
	t.Parallel()
	final, err := policy.FinalTrust(platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]sandbox.Fault{
		"throttling":    {Service: "sts", Trouble: sandbox.Throttle, Times: 3},
		"5xx":           {Service: "sts", Trouble: sandbox.Break, Times: 3},
		"a broken line": {Service: "sts", Trouble: sandbox.Disconnect, Times: 3},
		"latency":       {Service: "sts", Trouble: sandbox.Slow, Latency: 50 * time.Millisecond, Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world(t)
			w.Role(t, w.Customer, "customer", string(final.JSON()))
			injected := w.Inject(fault)
			report := prove(t, newProver(t, w.Client(t), prometheus.NewRegistry()), claim())
			if got := outcomes(report); got != "PPPPPPPP" {
				t.Errorf("got %s, want PPPPPPPP\n%s", got, table(report))
			}
			if got := injected.Fired(); got != 3 {
				t.Errorf("the fault hit %d requests, want 3", got)
			}
		})
	}
}

func TestTroubleThatStaysIsAnErrorAndNeverAVerdict(t *testing.T) {
	t.Parallel()
	trouble := map[string]func() (int, string){
		"throttling":         func() (int, string) { return refusal(400, "Throttling", "Rate exceeded") },
		"5xx":                func() (int, string) { return refusal(500, "InternalFailure", "sorry") },
		"a proxy's 502":      func() (int, string) { return 502, "<html>" },
		"a key of ours gone": func() (int, string) { return refusal(403, "InvalidClientTokenId", "no such key") },
	}
	at := map[string]struct {
		hit      func(form url.Values) bool
		outcomes string
	}{
		"at our own identity":    {func(f url.Values) bool { return f.Get("Action") == "GetCallerIdentity" }, "ESSSSSSS"},
		"at the first hop":       {func(f url.Values) bool { return f.Get("RoleArn") == platform }, "PESSSSSS"},
		"at every second hop":    {hop2, "PPEEESSS"},
		"at the negative checks": {func(f url.Values) bool { return hop2(f) && f.Get("ExternalId") != rightID }, "PPPEEPPP"},
		"at the tags":            {func(f url.Values) bool { return f.Has("Tags.member.1.Key") }, "PPPPPEPP"},
	}
	for what, answer := range trouble {
		for where, c := range at {
			t.Run(what+" "+where, func(t *testing.T) {
				t.Parallel()
				want := c.outcomes
				if what == "a key of ours gone" && where == "at our own identity" {
					want = "FSSSSSSS" // that is what this check is about
				}
				var fired atomic.Int32
				server := newSTS(t, func(form url.Values) (int, string) {
					if c.hit(form) {
						fired.Add(1)
						return answer()
					}
					return right(form)
				})
				report := prove(t, newProver(t, server.client(t), prometheus.NewRegistry()), claim())
				if got := outcomes(report); got != want || fired.Load() == 0 {
					t.Errorf("got %s, want %s; the fault fired %d times\n%s", got, want, fired.Load(), table(report))
				}
				if v := report.Verdict(); v != integration.VerdictInconclusive && where != "at the tags" {
					t.Errorf("verdict %s, want inconclusive", v)
				}
			})
		}
	}
}

func TestAProofEndsWithItsBudget(t *testing.T) {
	t.Parallel()
	w := world(t)
	injected := w.Inject(sandbox.Fault{Action: "AssumeRole", Trouble: sandbox.Slow, Latency: time.Hour})
	p := newProver(t, w.Client(t), prometheus.NewRegistry(), func(c *trust.ProverConfig) { c.Budget = time.Second })
	begin := time.Now()
	report := prove(t, p, claim())
	if took := time.Since(begin); took > time.Minute { // of the hour that the cloud takes
		t.Errorf("it took %s with a budget of a second", took)
	}
	if got := outcomes(report); got != "PESSSSSS" || injected.Fired() == 0 {
		t.Errorf("got %s, want PESSSSSS; the fault fired %d times", got, injected.Fired())
	}
	if got := check(t, report, integration.CheckPlatformRole).Reason; got != aws.CodeTimeout {
		t.Errorf("reason %q, want %s", got, aws.CodeTimeout)
	}
}

func TestAStopIsNoReport(t *testing.T) {
	t.Parallel()
	w := world(t)
	w.Inject(sandbox.Fault{Action: "AssumeRole", Trouble: sandbox.Slow, Latency: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if report, err := newProver(t, w.Client(t), prometheus.NewRegistry()).Prove(ctx, claim()); err == nil {
		t.Errorf("got %+v, want an error: nothing was found out", report)
	}
}

func TestASessionOfAnotherAccountIsAFailure(t *testing.T) {
	t.Parallel()
	server := newSTS(t, func(form url.Values) (int, string) {
		if form.Get("Action") == "GetCallerIdentity" {
			return identity("333333333333")
		}
		return right(form)
	})
	report := prove(t, newProver(t, server.client(t), prometheus.NewRegistry()), claim())
	got := check(t, report, integration.CheckAccount)
	if got.Outcome != integration.Fail || got.Reason != trust.ReasonAccountMismatch || !strings.Contains(got.Detail, "333333333333") {
		t.Errorf("got %+v, want a failure that names 333333333333", got)
	}
	if v := report.Verdict(); v != integration.VerdictRefused {
		t.Errorf("verdict %s, want refused", v)
	}
}

func TestARoleWhoseSessionsAreTooShortIsAFailureOfThatCheckOnly(t *testing.T) {
	t.Parallel()
	server := newSTS(t, func(form url.Values) (int, string) {
		if hop2(form) && form.Get("DurationSeconds") != "900" {
			return refusal(400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
		}
		return right(form)
	})
	report := prove(t, newProver(t, server.client(t), prometheus.NewRegistry()), claim())
	got := check(t, report, integration.CheckMaxSession)
	if outcomes(report) != "PPPPPPPF" || !strings.Contains(got.Remedy, "--max-session-duration 3600") {
		t.Errorf("got %s, %+v, want PPPPPPPF with the command", outcomes(report), got)
	}
	if v := report.Verdict(); v != integration.VerdictClean {
		t.Errorf("verdict %s, want clean", v)
	}
}

func TestSessionsSayWhoAsksAndWrongIDsAreNeverTheSame(t *testing.T) {
	t.Parallel()
	server := newSTS(t, right)
	p := newProver(t, server.client(t), prometheus.NewRegistry())
	for range 3 {
		prove(t, p, claim())
	}
	wrong := map[string]bool{}
	for _, form := range server.seen {
		if form.Get("Action") != "AssumeRole" {
			continue
		}
		if got, want := form.Get("RoleSessionName"), "rolebridge-validator-cspi-abc12"; got != want {
			t.Errorf("session name %q, want %q", got, want)
		}
		if id := form.Get("ExternalId"); id != "" && id != rightID {
			wrong[id] = true
		}
		if !hop2(form) && form.Get("ExternalId") != "" {
			t.Error("the first hop carries an external ID")
		}
	}
	if len(wrong) != 3 {
		t.Errorf("%d different wrong external IDs in three proofs, want 3: %v", len(wrong), wrong)
	}
}

func TestEveryProofHasConnectionsOfItsOwn(t *testing.T) {
	t.Parallel()
	server := newSTS(t, right)
	p := newProver(t, server.client(t), prometheus.NewRegistry())
	for n := 1; n <= 3; n++ {
		prove(t, p, claim())
		polltest.Until(t, fmt.Sprintf("after %d proofs there was one connection each, and all are closed", n), func() bool {
			server.mu.Lock()
			defer server.mu.Unlock()
			closed := 0
			for _, state := range server.conns {
				if state == http.StateClosed {
					closed++
				}
			}
			return len(server.conns) == n && closed == n
		})
	}
}

func TestCallsIntoAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	server := newSTS(t, right)
	reg := prometheus.NewRegistry()
	p := newProver(t, server.client(t), reg, func(c *trust.ProverConfig) {
		c.CallsPerSecond, c.CallsBurst, c.CallWait = 0.001, 8, 0
	})
	if got := outcomes(prove(t, p, claim())); got != "PPPPPPPP" {
		t.Errorf("the first proof: got %s, want PPPPPPPP", got)
	}
	report := prove(t, p, claim())
	if got := outcomes(report); got != "PPPEESSS" && got != "PPPEEEEE" {
		t.Errorf("the second proof: got %s, want errors once the account had its share\n%s", got, table(report))
	}
	if got := check(t, report, integration.CheckWrongID).Reason; got != trust.ReasonLimited {
		t.Errorf("reason %q, want %s", got, trust.ReasonLimited)
	}
	other := claim()
	other.Config.Customer = "arn:aws:iam::222222222223:role/customer"
	if got := check(t, prove(t, p, other), integration.CheckWithoutID); got.Reason == trust.ReasonLimited {
		t.Error("another account is limited as well")
	}
	if n, err := testutil.GatherAndCount(reg, "rolebridge_trust_limited_total"); err != nil || n != 2 {
		t.Errorf("%d series of limited calls (%v), want 2", n, err)
	}
}

// Anybody may name any account. Whoever does, by an integration or by a dry run, must not delay the proofs of others.
func TestOneWhoUsesUpItsCallsDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	server := newSTS(t, right)
	by := func(o integration.OrganizationID, dryRun bool) trust.Claim {
		c := claim()
		c.Organization, c.Unsaved = o, dryRun
		return c
	}
	for name, first := range map[string]trust.Claim{"proofs": by("o-1", false), "dry runs": by("o-1", true)} {
		p := newProver(t, server.client(t), prometheus.NewRegistry(), func(c *trust.ProverConfig) {
			c.CallsPerSecond, c.CallsBurst, c.CallWait = 0.001, 40, 0
		})
		limited := func(c trust.Claim) bool {
			return slices.ContainsFunc(prove(t, p, c).Checks, func(c integration.Check) bool { return c.Reason == trust.ReasonLimited })
		}
		made := 0
		for !limited(first) {
			if made++; made > 10 {
				t.Fatalf("%s: %d of them at once are not limited", name, made)
			}
		}
		if most := 40 / 7; first.Unsaved && made > 1 || !first.Unsaved && made > most {
			t.Errorf("%s: %d are made at once, of 10 calls for dry runs and 40 for proofs", name, made)
		}
		for _, other := range []trust.Claim{by("o-1", !first.Unsaved), by("o-2", false), by("o-2", true)} {
			if limited(other) {
				t.Errorf("after %s of o-1: those of %s are limited (dry run: %t)", name, other.Organization, other.Unsaved)
			}
		}
	}
}

func TestLimitedCallsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	server := newSTS(t, right)
	p := newProver(t, server.client(t), prometheus.NewRegistry(), func(c *trust.ProverConfig) {
		c.CallsPerSecond, c.CallsBurst = 50, 1
	})
	begin := time.Now()
	if got := outcomes(prove(t, p, claim())); got != "PPPPPPPP" {
		t.Errorf("got %s, want PPPPPPPP", got)
	}
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("six calls at 50 a second took %s, want 100 ms at least", took)
	}
}

// Whatever the cloud's texts hold, the report, the result and the log show nothing that could open something.
func TestNoSecretTokenOrRequestIDIsInAReportOrLog(t *testing.T) {
	t.Parallel()
	leaky := "User is not authorized (RequestId: " + requestID + "; Token: " + tokenOfSession + ") for ASIASESSIONSESSION12"
	topics := events.Topics{Prefix: "t.", Partitions: 4}
	codec, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(url.Values) (int, string){
		"all is well": right,
		"the second hop is refused": func(f url.Values) (int, string) {
			if hop2(f) {
				return refusal(403, "AccessDenied", leaky)
			}
			return right(f)
		},
		"the second hop is insecure": func(f url.Values) (int, string) {
			if hop2(f) {
				return admission(customer)
			}
			return right(f)
		},
		"a signature is wrong": func(url.Values) (int, string) { return refusal(403, "SignatureDoesNotMatch", leaky) },
		"the first hop fails": func(f url.Values) (int, string) {
			if f.Get("Action") == "AssumeRole" {
				return refusal(500, "InternalFailure", leaky)
			}
			return right(f)
		},
		"tags and time are refused": func(f url.Values) (int, string) {
			if f.Has("Tags.member.1.Key") || f.Get("DurationSeconds") == "3600" {
				return refusal(400, "ValidationError", leaky)
			}
			return right(f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged bytes.Buffer
			log := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c := trust.Defaults()
			c.Topics, c.Prover.FirstPause = topics, time.Millisecond
			w, err := trust.New(c, codec, newSTS(t, answer).client(t), log, prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			o := orders.Order[integration.TrustAsked]{
				Organization: "o-1", Integration: "cspi-abc12", Attempt: 3,
				Ask: integration.TrustAsked{Attempt: 3, Config: claim().Config, Platform: platform, ExternalID: rightID},
			}
			finding, err := w.Handle(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			record, err := codec.ResultRecord(events.SourceTrust, integration.Result{
				Organization: o.Organization, Integration: o.Integration, Attempt: o.Attempt, Finding: finding,
			})
			if err != nil {
				t.Fatalf("the result does not fit its schema: %v", err)
			}
			printed, err := json.Marshal(finding)
			if err != nil {
				t.Fatal(err)
			}
			if len(record.Value) > 8<<10 {
				t.Errorf("the report has %d bytes, want 8 KiB at most", len(record.Value))
			}
			all := fmt.Sprintf("%s %s %+v %s", record.Value, printed, finding, logged.String())
			for what, never := range map[string]string{
				"a session's secret": secretOfSession, "a token": tokenOfSession[:40], "a request id": "request-id",
				"our own secret": "base-secret", "a key id": "ASIASESSION",
			} {
				if strings.Contains(all, never) {
					t.Errorf("it shows %s (%s):\n%s", what, never, all)
				}
			}
		})
	}
}

func TestAWrongConfigurationIsExplained(t *testing.T) {
	t.Parallel()
	err := trust.Config{}.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"topics.partitions", "orders.concurrency", "orders.handle_timeout", "trust.max_session", "trust.tries",
		"trust.first_pause", "trust.budget", "trust.calls_per_second", "trust.calls_burst", "trust.accounts",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the faults lack %q:\n%v", want, err)
		}
	}
}

// The decider refuses such a role. One that it took before it knew, or that somebody tries, opens nothing.
func TestARoleOfThePlatformIsRefusedWhateverItAdmits(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	if _, err := w.Roles(t).EnsureRole(t.Context(), aws.RoleSpec{Name: "cspi-abc12", Organization: "o-1"}); err != nil { // a draft's
		t.Fatal(err)
	}
	final, err := policy.FinalTrust(platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	for name, account := range map[string]sandbox.Account{"the account of the platform role": w.Platform, "another one of ours": w.Spare, "a customer's": w.Customer} {
		w.Role(t, account, "admin", string(final.JSON()))
		p := newProver(t, w.Client(t), prometheus.NewRegistry(), func(c *trust.ProverConfig) { c.Own = []string{w.Spare.ID} })
		c := claim()
		c.Config.Customer, c.Unsaved = "arn:aws:iam::"+account.ID+":role/admin", true
		report := prove(t, p, c)
		if account.ID == w.Customer.ID {
			if report.Verdict() != integration.VerdictClean {
				t.Fatalf("%s: got %s\n%s", name, report.Verdict(), table(report))
			}
			continue
		}
		entry := check(t, report, integration.CheckWithExternalID)
		if report.Verdict() != integration.VerdictRefused || entry.Reason != trust.ReasonOwnAccount || !strings.Contains(entry.Remedy, "customer's own account") {
			t.Errorf("%s: got %s, %+v", name, report.Verdict(), entry)
		}
	}
}

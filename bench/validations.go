package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/workers/trust"
)

// Load of [validations].
const (
	validated       = 1500
	proofsAtOnce    = 64
	stsTakes        = 60 * time.Millisecond
	validatorsRight = "2f4c8a56-58b2-4a0f-9d7e-6d1c1f0b7a11"
)

// validations measures proofs of trust per second of one worker, from orders on Kafka to results on Kafka, against an STS
// that takes 60 ms for each answer. The baseline is what 64 proofs at once can be at best, each making its calls one after
// the other.
func validations(ctx context.Context) (r Result, err error) {
	err = withSite(ctx, func(s *site) error {
		r, err = proveAll(ctx, s)
		return err
	})
	return r, err
}

func proveAll(ctx context.Context, s *site) (Result, error) {
	server := httptest.NewServer(slowSTS{})
	defer server.Close()
	var made, took atomic.Int64 // calls, and their time as the worker saw it, in nanoseconds
	client, err := aws.New(ctx, aws.Config{
		Region: "eu-central-1", Endpoint: server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIABENCH", "secret", ""),
		Observe: func(_ string, _ aws.Outcome, d time.Duration) {
			made.Add(1)
			took.Add(int64(d))
		},
	})
	if err != nil {
		return Result{}, err
	}
	defer client.Close()
	orders := make([]*kgo.Record, validated)
	for n := range orders {
		orders[n], err = s.codec.EventRecord(integration.Event{
			Organization: organizationID(n), Integration: integration.ID(fmt.Sprintf("cspi-%06d", n)), Version: 1, Time: time.Now(),
			Fact: integration.TrustAsked{
				Attempt: 1, Config: integration.Config{Kind: integration.KindAWS, Customer: fmt.Sprintf("arn:aws:iam::%012d:role/customer", n+1)},
				Platform: fmt.Sprintf("arn:aws:iam::999999999999:role/cspi-%06d", n), ExternalID: validatorsRight, Due: time.Now().Add(time.Hour),
			},
		})
		if err != nil {
			return Result{}, err
		}
	}
	if err := s.produce(ctx, orders); err != nil {
		return Result{}, err
	}
	c := trust.Defaults()
	c.Topics, c.Client, c.Concurrency = s.topics, s.client, proofsAtOnce
	worker, err := trust.New(c, s.codec, client, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	stop := clock()
	go func() { ended <- worker.Run(running) }()
	at, err := results(ctx, s)
	used := stop()
	end()
	if err := errors.Join(err, <-ended); err != nil {
		return Result{}, err
	}
	// Not the first, which begin together, nor the last, beside which slots are empty.
	middle := at[2*proofsAtOnce : len(at)-2*proofsAtOnce]
	calls := float64(made.Load()) / validated
	call := time.Duration(took.Load() / max(1, made.Load()))
	ours := float64(len(middle)-1) / middle[len(middle)-1].Sub(middle[0]).Seconds()
	plain, err := plainCalls(ctx, server.URL, int(math.Round(calls)))
	if err != nil {
		return Result{}, err
	}
	theoretical := proofsAtOnce / (calls * stsTakes.Seconds())
	return Result{
		Value: ours, Unit: "validations/s of one worker", Baseline: theoretical,
		Targets: []Target{atLeast("validations/s to the theoretical rate", ours/theoretical, 0.9)},
		Details: map[string]any{
			"baseline_is":           "concurrency / (calls of a proof × time of a call)",
			"plain_baseline":        rounded(plain),
			"plain_ratio":           rounded(ours / plain),
			"plain_baseline_is":     "as many calls by net/http alone, on as many connections: what the machine gives at this moment",
			"call_seconds":          rounded(call.Seconds()),
			"slots_in_calls":        rounded(ours * calls * call.Seconds() / proofsAtOnce),
			"slots_in_calls_is":     "share of the slots' time that is spent in calls as long as they took; the rest is the prover's, the consumer's and Kafka's. A little more than 1 is possible: the rate is that of the middle of the run, the calls' time that of the whole, whose begin is slower",
			"validations":           validated,
			"concurrency":           proofsAtOnce,
			"sts_seconds":           stsTakes.Seconds(),
			"calls_per_validation":  rounded(calls),
			"cpu_ms_per_validation": rounded(used.cpu.Seconds() * 1000 / validated),
		},
	}, nil
}

// plainCalls makes the calls of proofs without a prover: so many after one another on a connection of their own, 64 such
// rows at once. It returns the rows per second.
func plainCalls(ctx context.Context, url string, calls int) (float64, error) {
	const rows = 10 * proofsAtOnce
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(proofsAtOnce)
	begin := time.Now()
	for range rows {
		g.Go(func() error {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for range calls {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("Action=GetCallerIdentity&Version=2011-06-15"))
				if err != nil {
					return err
				}
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				resp, err := transport.RoundTrip(req)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if err := errors.Join(err, resp.Body.Close()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return rows / time.Since(begin).Seconds(), err
}

// results waits for the result of every order, all of them clean, and returns when they were written.
func results(ctx context.Context, s *site) ([]time.Time, error) {
	cl, err := kgo.NewClient(append(slices.Clone(s.client), kgo.ConsumeTopics(s.topics.Results()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var at []time.Time
	for len(at) < validated {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%d of %d validations: %w", len(at), validated, err)
		}
		for _, r := range fetches.Records() {
			result, err := s.codec.Result(r)
			if err != nil {
				return nil, err
			}
			probed, ok := result.Finding.(integration.TrustWasProbed)
			if !ok || probed.Report.Verdict() != integration.VerdictClean {
				return nil, fmt.Errorf("%s: got %+v, want a clean report", result.Integration, result.Finding)
			}
			at = append(at, r.Timestamp)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	return at, nil
}

// slowSTS answers as STS does when the trust policy is right, 60 ms later. It checks no signature: that would be the
// server's time.
type slowSTS struct{}

// ServeHTTP implements http.Handler.
func (slowSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	role, id := r.FormValue("RoleArn"), r.FormValue("ExternalId")
	if pause(r.Context(), stsTakes-time.Since(begin)) != nil {
		return // nobody waits for the answer
	}
	account := "000000000000"
	if parts := strings.Split(role, ":"); len(parts) > 4 {
		account = parts[4]
	}
	switch {
	case r.FormValue("Action") == "GetRole": // the platform may not read the role, which is usual
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message></Error></ErrorResponse>`)
	case r.FormValue("Action") == "GetCallerIdentity":
		// The session's key holds its account, as the session's own did.
		account = accountOfKey(r.Header.Get("Authorization"))
		_, _ = fmt.Fprintf(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::%[1]s:assumed-role/r/s</Arn><UserId>AROA:s</UserId>`+ //nolint:gosec // no browser reads it
			`<Account>%[1]s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, account)
	case account != "999999999999" && id != validatorsRight:
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message></Error></ErrorResponse>`)
	default:
		_, _ = fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROA:s</AssumedRoleId>`+
			`<Arn>arn:aws:sts::%[1]s:assumed-role/r/s</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIA%[1]s</AccessKeyId>`+
			`<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>%[2]s</Expiration></Credentials>`+
			`</AssumeRoleResult></AssumeRoleResponse>`, account, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}
}

// accountOfKey returns the account that the key id of a signature holds.
func accountOfKey(authorization string) string {
	_, rest, _ := strings.Cut(authorization, "Credential=ASIA")
	account, _, _ := strings.Cut(rest, "/")
	return account
}

package dryrun_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
	"github.com/rolebridge/rolebridge/internal/secret"
)

var claim = dryrun.Claim{
	Organization: "o-1", Integration: "cspi-abc12",
	Ask: integration.TrustAsked{
		Config:   integration.Config{Kind: integration.KindAWS, Customer: "arn:aws:iam::222222222222:role/customer"},
		Platform: "arn:aws:iam::111111111111:role/cspi-abc12", ExternalID: "an-external-id", Next: "the-next-one", Tags: true,
		SourceIdentity: true, ResourcesLeftOut: 7,
		Resources: slices.Repeat([]integration.Resource{{S3: integration.S3Objects{
			Bucket: strings.Repeat("b", 63), Prefix: strings.Repeat("p", 512), Access: integration.AccessReadWrite,
		}}}, integration.MaxProbed), // as long as a claim can be
	},
}

var report = integration.Report{
	StartedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), FinishedAt: time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC),
	Checks: []integration.Check{{Name: integration.CheckWithExternalID, Outcome: integration.Fail, Reason: "AccessDenied", Remedy: "x"}},
}

func serve(t *testing.T, p dryrun.Prover) string {
	t.Helper()
	server, err := dryrun.NewServer(p, secret.New("the-token"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	return s.URL
}

func open(t *testing.T, url, token string) *dryrun.Client {
	t.Helper()
	c, err := dryrun.NewClient(url+"/", secret.New(token))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAClaimGoesOverAndItsReportComesBack(t *testing.T) {
	t.Parallel()
	var got dryrun.Claim
	var left time.Duration
	url := serve(t, dryrun.ProverFunc(func(ctx context.Context, c dryrun.Claim) (integration.Report, error) {
		got = c
		end, _ := ctx.Deadline()
		left = time.Until(end)
		return report, nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	back, err := open(t, url, "the-token").Prove(ctx, claim)
	if err != nil || !reflect.DeepEqual(got, claim) || len(back.Checks) != 1 || back.Checks[0] != report.Checks[0] || !back.FinishedAt.Equal(report.FinishedAt) {
		t.Errorf("got %+v of %+v, %v", back, got, err)
	}
	if left <= 0 || left >= 10*time.Second {
		t.Errorf("the prover has %s, want less than the asker's 10 s", left)
	}
}

func TestOnlyWhoHasTheTokenIsAnswered(t *testing.T) {
	t.Parallel()
	asked := false
	url := serve(t, dryrun.ProverFunc(func(context.Context, dryrun.Claim) (integration.Report, error) {
		asked = true
		return report, nil
	}))
	_, err := open(t, url, "another-token").Prove(t.Context(), claim)
	if refusal, ok := errors.AsType[*integration.Refusal](err); err == nil || ok {
		t.Errorf("got %v (a refusal for the client's eyes: %+v), want a fault of the set-up", err, refusal)
	}
	for _, header := range []string{"", "Bearer ", "the-token", "Basic the-token", "bearer the-token", "Bearer the-token2"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url+dryrun.Path, strings.NewReader("{}"))
		r.Header["Authorization"] = []string{header}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		if got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q: got %d, want 401", header, got.StatusCode)
		}
	}
	if asked {
		t.Error("somebody without the token had a proof made")
	}
	if _, err := dryrun.NewServer(dryrun.ProverFunc(nil), secret.New(""), nil); err == nil {
		t.Error("a server without a token was made")
	}
}

func TestWhatIsNoClaimIsRefused(t *testing.T) {
	t.Parallel()
	url := serve(t, dryrun.ProverFunc(func(context.Context, dryrun.Claim) (integration.Report, error) {
		t.Error("asked")
		return report, nil
	}))
	for body, want := range map[string]int{
		"": 422, "{": 422, `{"more":1}`: 422, `[]`: 422, `{"platform":"` + strings.Repeat("x", 70_000) + `"}`: 422,
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url+dryrun.Path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer the-token")
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var refusal integration.Refusal
		if err := json.NewDecoder(got.Body).Decode(&refusal); err != nil || got.StatusCode != want || refusal.Code != integration.CodeInvalid {
			t.Errorf("%.40s: got %d %+v, want %d", body, got.StatusCode, refusal, want)
		}
		_ = got.Body.Close()
	}
}

func TestARefusalComesBackAsOneAndAFaultDoesNot(t *testing.T) {
	t.Parallel()
	var err error
	url := serve(t, dryrun.ProverFunc(func(context.Context, dryrun.Claim) (integration.Report, error) { return integration.Report{}, err }))
	c := open(t, url, "the-token")
	for _, code := range []integration.Code{integration.CodeThrottled, integration.CodeUnavailable, integration.CodeTimeout} {
		err = integration.Refuse(code, "later")
		_, got := c.Prove(t.Context(), claim)
		if refusal, ok := errors.AsType[*integration.Refusal](got); !ok || refusal.Code != code || refusal.Message != "later" {
			t.Errorf("%s: got %v", code, got)
		}
	}
	err = errors.New("a secret of ours")
	_, got := c.Prove(t.Context(), claim)
	if _, ok := errors.AsType[*integration.Refusal](got); got == nil || ok || strings.Contains(got.Error(), "secret") {
		t.Errorf("got %v, want a fault without its text", got)
	}
	err = nil
	if _, got := open(t, "http://127.0.0.1:1", "the-token").Prove(t.Context(), claim); !isCode(got, integration.CodeUnavailable) {
		t.Errorf("nobody listens: got %v, want %s", got, integration.CodeUnavailable)
	}
}

func isCode(err error, code integration.Code) bool {
	refusal, ok := errors.AsType[*integration.Refusal](err)
	return ok && refusal.Code == code
}

func TestDryRunsAreBoundedInNumberAndTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := dryrun.Bounded(dryrun.ProverFunc(func(ctx context.Context, _ dryrun.Claim) (integration.Report, error) {
			<-ctx.Done()
			return integration.Report{}, ctx.Err()
		}))
		of := func(n int) dryrun.Claim {
			c := claim
			c.Organization = integration.OrganizationID(fmt.Sprint("o-", n))
			return c
		}
		for range 2 { // what is over makes room
			began := time.Now()
			ends := make(chan error, dryrun.MostAtOnce)
			for n := range dryrun.MostAtOnce {
				go func() {
					_, err := p.Prove(t.Context(), of(n/dryrun.MostOfOne))
					ends <- err
				}()
				synctest.Wait()
				if n == dryrun.MostOfOne-1 {
					if _, err := p.Prove(t.Context(), of(0)); !isCode(err, integration.CodeThrottled) {
						t.Errorf("one more than %d of one organization: got %v, want %s", dryrun.MostOfOne, err, integration.CodeThrottled)
					}
				}
			}
			if _, err := p.Prove(t.Context(), of(99)); !isCode(err, integration.CodeThrottled) {
				t.Errorf("one more than %d: got %v, want %s", dryrun.MostAtOnce, err, integration.CodeThrottled)
			}
			for range dryrun.MostAtOnce {
				if err := <-ends; !isCode(err, integration.CodeTimeout) {
					t.Errorf("got %v, want %s", err, integration.CodeTimeout)
				}
			}
			if took := time.Since(began); took != dryrun.Longest {
				t.Errorf("it took %s, want %s", took, dryrun.Longest)
			}
		}
	})
}

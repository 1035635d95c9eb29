package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// provedWithin is far above what a verdict takes: a refusal is believed after a minute, and there is an hour to the next
// proof of the schedule.
const provedWithin = 3 * time.Minute

// founded is a world with its organization, whose trust worker is a process of its own.
func founded(t *testing.T) (w *world, broker, trust *process, c *customer) {
	t.Helper()
	w = newWorld(t)
	broker, trust = w.start("broker", "broker"), w.start("trust", "trust")
	platform := w.start("platform", "api,lifecycle,mapping")
	for _, p := range []*process{platform, broker, trust} {
		p.ready()
	}
	w.found()
	c = w.customer(platform.url("api"))
	return w, broker, trust, c
}

// facts are what was decided about an integration after a version.
func (w *world) facts(id string, after int64) (all []integration.Fact) {
	w.t.Helper()
	for p := range w.topics.Partitions {
		_, err := events.Replay(w.ctx, w.cl, w.topics.Events(), p, func(r *kgo.Record) error {
			e, err := w.codec.Event(r)
			if err == nil && e.Integration == integration.ID(id) && e.Version > after {
				all = append(all, e.Fact)
			}
			return err
		})
		w.must(err)
	}
	return all
}

// types are the names of facts.
func types(all []integration.Fact) (names []string) {
	for _, f := range all {
		names = append(names, f.Type())
	}
	return names
}

func TestTrustThatBreaksIsProvedAtOnceWhenSTSRefusesTheBrokerAndStopsCredentials(t *testing.T) {
	w, broker, _, c := founded(t)
	type broken struct {
		role    string
		policy  func(p wire.Policies, platform, externalID string) string
		status  integration.TrustStatus
		failing integration.CheckName

		id, token string
		version   int64
		final     wire.Policies
	}
	cases := []*broken{
		{role: "shut", status: integration.TrustDenied, failing: integration.CheckWithExternalID, policy: func(wire.Policies, string, string) string {
			return string(policy.FirstTrust().JSON())
		}},
		// It refuses us with our external ID, and lets everybody in who comes through us without one.
		{role: "open", status: integration.TrustInsecure, failing: integration.CheckWithoutID, policy: func(_ wire.Policies, platform, externalID string) string {
			return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"},`+
				`{"Effect":"Deny","Principal":{"AWS":%q},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":%q}}}]}`, platform, platform, externalID)
		}},
	}
	for _, b := range cases {
		b.id = c.integrate(b.role, b.role+"-bucket")
		bound, err := c.api.Bind(w.ctx, b.id, wire.ConnectorRequest{Connector: "lcc-1"})
		w.must(err)
		b.token = bound.Token
		w.must(w.readsCold(w.ctx, broker, b.token))
		w.eventually(time.Minute, "the proof that the bind asked for is over", func() error {
			v, err := c.api.Validation(w.ctx, b.id, 0, 0)
			if err == nil && !v.Settled {
				err = errors.New("it is under way")
			}
			return err
		})
		b.final, err = c.api.Policies(w.ctx, b.id, nil)
		w.must(err)
		i, err := c.api.Read(w.ctx, environment, b.id)
		w.must(err)
		c.trusts(b.role, []byte(b.policy(b.final, i.Config.Platform(), *i.Config.ExternalID)))
		_, err = c.api.Revoke(w.ctx, b.id) // so that the broker asks STS
		w.must(err)
		v, err := c.api.Validation(w.ctx, b.id, 0, 0)
		w.must(err)
		b.version = v.Version
	}
	for _, b := range cases {
		w.eventually(time.Minute, "STS refuses the broker a session of "+b.role, func() error {
			s, err := credentials(w.ctx, broker, b.token)
			if err == nil && s.status != http.StatusForbidden {
				err = fmt.Errorf("status %d", s.status)
			}
			return err
		})
	}
	for _, b := range cases {
		var v wire.Validation
		w.eventually(provedWithin, fmt.Sprintf("trust in %s is %s", b.role, b.status), func() (err error) {
			if v, err = c.api.Validation(w.ctx, b.id, 0, 0); err == nil && v.Trust.Status != b.status {
				err = fmt.Errorf("it is %s", v.Trust.Status)
			}
			return err
		})
		if v.Trust.Report.Outcome(b.failing) != integration.Fail || v.Credentials.Allowed || len(v.Trust.History) == 0 ||
			v.Trust.History[len(v.Trust.History)-1].From != integration.TrustValid {
			t.Errorf("%s: the API shows %+v", b.role, v)
		}
		for _, check := range v.Trust.Report.Checks {
			if check.Name == b.failing && !strings.Contains(check.Remedy, `"Statement"`) {
				t.Errorf("%s: %s says nothing to paste: %+v", b.role, check.Name, check)
			}
		}
		facts := w.facts(b.id, b.version)
		names := types(facts)
		if len(names) < 4 || !slices.Equal(names[:3], []string{"integration.trust-questioned", "trust.requested", "integration.validated"}) {
			t.Errorf("%s: after the refusal: %v; want it questioned, and proved at once", b.role, names)
		}
		if !slices.Contains(facts, integration.Fact(integration.TrustChanged{From: integration.TrustValid, To: b.status})) {
			t.Errorf("%s: no event says that trust changed from valid to %s: %v", b.role, b.status, names)
		}
		w.eventually(time.Minute, "credentials of "+b.role+" have stopped", func() error {
			s, err := credentials(w.ctx, broker, b.token)
			if err == nil && s.status == http.StatusOK {
				err = errors.New("they flow")
			}
			return err
		})
	}
	// The customer pastes what the report says.
	for _, b := range cases {
		c.trusts(b.role, b.final.FinalTrust)
		_, err := c.api.Validate(w.ctx, b.id, 0)
		w.must(err)
	}
	for _, b := range cases {
		w.eventually(provedWithin, "credentials of "+b.role+" flow again", func() error {
			s, err := credentials(w.ctx, broker, b.token)
			if err == nil && s.status != http.StatusOK {
				err = fmt.Errorf("status %d", s.status)
			}
			return err
		})
	}
}

func TestABindHasTrustProvedAtOnceAndAKilledTrustWorkerProvesAfterItsRestart(t *testing.T) {
	w, _, trust, c := founded(t)
	const role = "orders"
	id := c.integrate(role, "orders-bucket")
	i, err := c.api.Read(w.ctx, environment, id)
	w.must(err)
	v, err := c.api.Validation(w.ctx, id, 0, 0)
	w.must(err)

	// Nobody asks for a proof, and the next one is an hour away: what breaks is found when a connector is bound.
	c.trusts(role, fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"}}`, i.Config.Platform()))
	_, err = c.api.Bind(w.ctx, id, wire.ConnectorRequest{Connector: "lcc-1"})
	w.must(err)
	w.eventually(provedWithin, "the role is found to be insecure", func() error {
		now, err := c.api.Validation(w.ctx, id, 0, 0)
		if err == nil && now.Trust.Status != integration.TrustInsecure {
			err = fmt.Errorf("it is %s", now.Trust.Status)
		}
		return err
	})
	if got := types(w.facts(id, v.Version)); len(got) < 3 || !slices.Equal(got[:3], []string{"connector.bound", "trust.requested", "integration.validated"}) {
		t.Errorf("after the bind: %v, want a proof at once", got)
	}

	// A worker that dies in the middle of a proof leaves the order where it was.
	w.eventually(time.Minute, "nothing is under way", func() error {
		if v, err = c.api.Validation(w.ctx, id, 0, 0); err == nil && !v.Settled {
			err = errors.New("a proof is")
		}
		return err
	})
	slow := w.aws.Inject(sandbox.Fault{Service: "sts", Action: "AssumeRole", Trouble: sandbox.Slow, Latency: 4 * time.Second})
	_, err = c.api.Validate(w.ctx, id, 0)
	w.must(err)
	w.eventually(time.Minute, "the proof is under way", func() error {
		if slow.Fired() == 0 {
			return errors.New("nobody asks STS")
		}
		return nil
	})
	trust.kill()
	killed := time.Now()
	slow.Remove()
	w.eventually(provedWithin, "the proof is made after all", func() error {
		now, err := c.api.Validation(w.ctx, id, 0, 0)
		if err == nil && (!now.Settled || now.Trust.Report.StartedAt.Before(killed)) {
			err = fmt.Errorf("the last report is of %s", now.Trust.Report.StartedAt)
		}
		return err
	})
	proofs := map[int64]int{}
	var asked int64
	for _, f := range w.facts(id, v.Version) {
		switch f := f.(type) {
		case integration.TrustAsked:
			asked = f.Attempt
		case integration.Validated:
			proofs[asked]++
		}
	}
	if len(proofs) == 0 || trust.count() < 2 {
		t.Errorf("%d proofs, the worker was started %d times", len(proofs), trust.count())
	}
	for attempt, n := range proofs {
		if n != 1 {
			t.Errorf("order %d was answered %d times", attempt, n)
		}
	}
}

func TestARoleOfThePlatformIsRefusedInEveryProcess(t *testing.T) {
	w, _, _, c := founded(t)
	ours := &wire.ConfigRequest{Kind: string(integration.KindAWS), CustomerIAMRoleARN: "arn:aws:iam::" + platformAccount + ":role/admin"}
	request := wire.IntegrationRequestV2{DisplayName: "ours", Provider: "AWS", Environment: wire.ReferenceRequest{ID: environment}, Config: ours}
	_, err := c.api.Create(w.ctx, request)
	wantRefused := func(what string, err error) {
		t.Helper()
		if client.Code(err) != integration.CodeInvalid || !strings.Contains(err.Error(), "platform's own") {
			t.Errorf("%s: got %v, want a refusal", what, err)
		}
	}
	wantRefused("a creation", err)
	request.Config = nil
	draft, err := c.api.Create(w.ctx, request)
	w.must(err)
	_, err = c.api.Update(w.ctx, draft.ID, wire.IntegrationUpdateV2{Environment: request.Environment, Config: *ours})
	wantRefused("an update of a draft", err)
	_, err = c.api.DryRun(w.ctx, draft.ID, ours)
	wantRefused("a dry run", err)
}

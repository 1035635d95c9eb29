package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// rotator is a customer whose role accepts what the test says.
type rotator struct {
	t    *testing.T
	site *apitest.Site
	*cli
	id   integration.ID
	same *strings.Replacer
}

func newRotator(t *testing.T) *rotator {
	t.Helper()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, same := create(t, c, "--customer-role-arn", roleARN)
	return &rotator{t, s, c, integration.ID(i.ID), same}
}

// accepts says whether the role accepts the external ID beside the current one, which it does accept.
func (r *rotator) accepts(other bool) {
	r.site.Trust(func(asked integration.TrustAsked) integration.Report {
		report, check := apitest.Report(), integration.Check{Outcome: integration.Pass}
		switch {
		case asked.Next != "" && other:
			check.Name = integration.CheckNextID
		case asked.Next != "":
			check.Name, check.Outcome, check.Reason = integration.CheckNextID, integration.Fail, "AccessDenied"
		case asked.Former != "" && other:
			check.Name, check.Outcome, check.Reason = integration.CheckFormerID, integration.Fail, "Admitted"
		case asked.Former != "":
			check.Name = integration.CheckFormerID
		default:
			return report
		}
		report.Checks = append(report.Checks, check)
		return report
	})
}

// proved has the role proved, d later.
func (r *rotator) proved(d time.Duration) {
	r.t.Helper()
	r.site.Later(d)
	r.site.Do(r.t, apitest.OrgA, "u-admin-a", integration.Validate{Integration: r.id})
}

// steady is text without what differs from run to run.
func (r *rotator) steady(text string, ids ...string) string {
	for n, id := range ids {
		text = strings.ReplaceAll(text, id, strings.Repeat(string(rune('a'+n)), len(id)))
	}
	return moment.ReplaceAllString(r.same.Replace(text), "2026-01-02 03:04:05 UTC")
}

// lints checks that the policy that is printed to be pasted accepts these external IDs and no others.
func (r *rotator) lints(text string, ids ...string) {
	r.t.Helper()
	i, _ := r.site.Integration(r.id)
	_, document, _ := strings.Cut(text, ":\n\n{")
	document, _, _ = strings.Cut("{"+document, "\n\n  $")
	findings := policy.Parse(policy.Trust, []byte(document)).Lint(policy.Expect{
		PlatformRole: i.Mapping.Platform, ExternalIDs: ids, CustomerRole: roleARN,
	})
	if len(findings) != 0 {
		r.t.Errorf("the policy to paste has findings: %+v\n%s", findings, text)
	}
}

func TestARotationPrintsWhatToDoInEachPhase(t *testing.T) {
	t.Parallel()
	r := newRotator(t)
	id := string(r.id)
	describe := func() string { return r.want(t, 0, "pi", "describe", id).out }
	r.accepts(false)
	if text := describe(); strings.Contains(text, "Rotation") {
		t.Errorf("described without a rotation: %s", text)
	}
	begun := r.want(t, 0, "pi", "rotate-external-id", id)
	i, _ := r.site.Integration(r.id)
	old, next := i.ExternalID, i.NextExternalID()
	golden(t, "rotate", r.steady(begun.out+begun.err, next))
	r.lints(begun.err, next, old)
	for _, verb := range []string{"describe", "report"} {
		if got := r.want(t, 0, "pi", verb, id); !strings.Contains(got.out, "proving: "+next+" is to be accepted too") {
			t.Errorf("%s: got %s", verb, got.out)
		}
	}

	r.accepts(true)
	r.proved(0)
	if text := describe(); !strings.Contains(text, "proving: "+next+" is accepted since ") {
		t.Errorf("described while the new ID is accepted: %s", text)
	}
	r.proved(integration.Propagation)
	turned := r.want(t, 0, "pi", "rotate-external-id", id, "--status")
	golden(t, "rotate-exchanged", r.steady(turned.out+turned.err, next))
	r.lints(turned.err, next)
	if text := describe(); !strings.Contains(text, "retiring: "+old+" is to be refused") {
		t.Errorf("described while the former ID is accepted: %s", text)
	}

	r.accepts(false)
	r.proved(0)
	if text := describe(); !strings.Contains(text, "retiring: "+old+" is refused since ") {
		t.Errorf("described while the former ID is refused: %s", text)
	}
	r.proved(10 * time.Minute)
	over := r.want(t, 0, "pi", "rotate-external-id", id, "--status")
	golden(t, "rotate-over", r.steady(over.out+over.err, next))
}

func TestAnAbortedRotationPrintsThePolicyToGoBackTo(t *testing.T) {
	t.Parallel()
	r := newRotator(t)
	r.accepts(false)
	r.want(t, 0, "pi", "rotate-external-id", string(r.id))
	i, _ := r.site.Integration(r.id)
	got := r.want(t, 0, "pi", "rotate-external-id", string(r.id), "--abort")
	golden(t, "rotate-abort", r.steady(got.out+got.err))
	r.lints(got.err, i.ExternalID)
}

func TestMachinesAreToldOfARotationWithoutHelp(t *testing.T) {
	t.Parallel()
	r := newRotator(t)
	r.accepts(false)
	r.want(t, 0, "pi", "rotate-external-id", string(r.id))
	i, _ := r.site.Integration(r.id)
	for form, read := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
		got := r.want(t, 0, "pi", "rotate-external-id", string(r.id), "--status", "-o", form)
		var fields map[string]any
		if err := read([]byte(got.out), &fields); err != nil || got.err != "" {
			t.Fatalf("%s: got %q and %q, %v", form, got.out, got.err, err)
		}
		for _, verb := range []string{"describe", "report"} {
			var all map[string]any
			shown := r.cli.run(t, "pi", verb, string(r.id), "-o", form)
			if err := read([]byte(shown.out), &all); err != nil {
				t.Fatalf("%s %s: got %q, %v", verb, form, shown.out, err)
			}
			turn, _ := all["rotation"].(map[string]any)
			if turn["phase"] != "proving" || turn["next_external_id"] != i.NextExternalID() || turn["trust_policy"] != nil {
				t.Errorf("%s %s: the rotation is shown as %v", verb, form, all["rotation"])
			}
		}
		if fields["phase"] != "proving" || fields["next_external_id"] != i.NextExternalID() || fields["trust_policy"] == nil {
			t.Errorf("%s: got %v", form, fields)
		}
	}
}

func TestTheExitCodesOfARotation(t *testing.T) {
	t.Parallel()
	r := newRotator(t)
	r.accepts(false)
	id := string(r.id)
	try := func(code int, args ...string) {
		t.Helper()
		r.want(t, code, append([]string{"pi", "rotate-external-id"}, args...)...)
	}
	try(2)
	try(2, id, "--abort", "--status")
	try(2, id, "--abort", "--wait")
	try(4, "cspi-unknown1")
	try(4, id, "--environment", "env-other")
	try(5, id, "--abort")
	at(r.site, apitest.Assigner).want(t, 3, "pi", "rotate-external-id", id)
	at(r.site, apitest.Assigner).want(t, 0, "pi", "rotate-external-id", id, "--status")
	try(0, id)
	try(5, id)
	try(7, id, "--status", "--wait", "--wait-timeout", "50ms")
}

// waiting runs the verb with --wait until it has said something, and then does what goes on meanwhile.
func (r *rotator) waiting(t *testing.T, meanwhile func(), args ...string) result {
	t.Helper()
	said, done := make(chan struct{}), make(chan result, 1)
	go func() {
		done <- r.runSaying(t, said, append([]string{"pi", "rotate-external-id", string(r.id), "--wait"}, args...)...)
	}()
	select {
	case <-said:
	case <-time.After(time.Minute):
		t.Fatal("nothing is said for a minute")
	}
	meanwhile()
	return <-done
}

func TestWaitFollowsARotationFromItsBeginToItsEnd(t *testing.T) {
	t.Parallel()
	r := newRotator(t)
	r.accepts(false)
	old, _ := r.site.Integration(r.id)
	var next string
	got := r.waiting(t, func() {
		i, _ := r.site.Integration(r.id)
		next = i.NextExternalID()
		r.accepts(true)
		r.proved(0)
		r.proved(integration.Propagation)
	})
	if got.code != 0 || !strings.Contains(got.err, "proving: "+next+" is to be accepted too; trust valid; assume-with-next-external-id FAIL (AccessDenied)\n") ||
		!strings.Contains(got.err, "retiring: "+old.ExternalID+" is to be refused; trust valid") || !strings.Contains(got.err, "can be removed now") {
		t.Errorf("until the exchange: got %d\n%s%s", got.code, got.out, got.err)
	}
	_, last, _ := strings.Cut(got.err, "can be removed now")
	r.lints(last, next)

	got = r.waiting(t, func() {
		r.accepts(false)
		r.proved(0)
		r.proved(10 * time.Minute)
	}, "--status", "-o", "json")
	var over wire.Rotation
	if err := json.Unmarshal([]byte(got.out), &over); err != nil || got.code != 0 || over.Phase != wire.RotationNone || over.ExternalID != next {
		t.Errorf("until the end: got %d, %+v, %v", got.code, over, err)
	}
	if !strings.Contains(got.err, "no rotation: "+next+" is in use; trust valid") || strings.Contains(got.err, "Next:") {
		t.Errorf("until the end: got %s", got.err)
	}
}

func TestWaitEndsWithAConflictWhenTheRotationIsAborted(t *testing.T) {
	t.Parallel()
	r := newRotator(t)
	r.accepts(false)
	got := r.waiting(t, func() {
		r.site.Do(t, apitest.OrgA, "u-admin-a", integration.AbortRotation{Integration: r.id})
	})
	if got.code != 5 || !strings.Contains(got.err, "no rotation: ") {
		t.Errorf("got %d\n%s%s", got.code, got.out, got.err)
	}
}

package lifecycle

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

// days is a partition that lives by its timers: nothing happens but what is due, and workers answer at once. It is not
// the whole worker, since franz-go holds a lock over a pause while it ends a transaction, which stops a bubble's clock.
type days struct {
	*bench
	answer  func(integration.ID) integration.Report
	proofs  map[integration.ID][]time.Time
	changes []integration.TrustChanged
}

func newDays(t *testing.T, integrations int) *days {
	t.Helper()
	d := &days{bench: newBench(t), proofs: map[integration.ID][]time.Time{}}
	d.now = time.Now()
	d.d.fresh = func() integration.Inputs {
		in := freshInputs(nil)()
		in.Now = d.now
		return in
	}
	d.answer = func(integration.ID) integration.Report { return reportOf(integration.Pass, integration.Pass) }
	d.founded()
	for n := range integrations {
		d.happens(d.command(fmt.Sprint("c", n), "u-admin", org, create(fmt.Sprint("n", n), fmt.Sprintf("arn:aws:iam::%012d:role/c", n))))
	}
	return d
}

// reportOf is a report in which the external ID is needed, or not, and lets us in, or not.
func reportOf(with, without integration.Outcome) integration.Report {
	r := integration.Report{StartedAt: time.Now().UTC(), FinishedAt: time.Now().UTC()}
	outcomes := map[integration.CheckName]integration.Outcome{integration.CheckWithExternalID: with, integration.CheckWithoutID: without}
	for _, name := range []integration.CheckName{
		integration.CheckPlatformIdentity, integration.CheckPlatformRole, integration.CheckWithExternalID,
		integration.CheckWithoutID, integration.CheckWrongID, integration.CheckAccount,
	} {
		c := integration.Check{Name: name, Outcome: integration.Pass}
		if o, ok := outcomes[name]; ok {
			c.Outcome = o
		}
		r.Checks = append(r.Checks, c)
	}
	return r
}

// happens decides records, and what the workers answer, and what they answer to that.
func (d *days) happens(records ...*kgo.Record) {
	d.t.Helper()
	for len(records) > 0 {
		out := d.decide(d.at(records...)...)
		records = nil
		for _, r := range out {
			if r.Topic == topics.Events() {
				if answer := d.hear(r); answer != nil {
					records = append(records, answer)
				}
			}
		}
	}
}

// hear is what the worker of an order answers.
func (d *days) hear(r *kgo.Record) *kgo.Record {
	d.t.Helper()
	e, err := d.codec.Event(r)
	if err != nil {
		d.t.Fatal(err)
	}
	result := integration.Result{Organization: e.Organization, Integration: e.Integration}
	switch fact := e.Fact.(type) {
	case integration.MappingAsked:
		result.Attempt, result.Finding = fact.Attempt, integration.MappingWasMade{Platform: "arn:aws:iam::111111111111:role/p"}
	case integration.TrustAsked:
		d.proofs[e.Integration] = append(d.proofs[e.Integration], d.now)
		result.Attempt, result.Finding = fact.Attempt, integration.TrustWasProbed{Report: d.answer(e.Integration)}
	case integration.TrustChanged:
		d.changes = append(d.changes, fact)
		return nil
	default:
		return nil
	}
	answer, err := d.codec.ResultRecord(events.SourceTrust, result)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer
}

// run lets time pass, as the worker's loop does.
func (d *days) run(long time.Duration) {
	d.t.Helper()
	for end := time.Now().Add(long); ; {
		next, ok := d.p.due.next()
		if !ok || next.After(end) {
			bubbletest.Pass(time.Until(end))
			d.now = time.Now()
			return
		}
		bubbletest.Pass(time.Until(next))
		d.now = time.Now()
		due, err := d.p.reminders(d.codec, d.now, 1000)
		if err != nil {
			d.t.Fatal(err)
		}
		d.happens(due...)
	}
}

// restart is a decider that comes after another, when the state topic was compacted.
func (d *days) restart() {
	d.t.Helper()
	d.now = time.Now()
	latest := map[string]*kgo.Record{} // as compaction leaves it
	for _, r := range d.log {
		if r.Topic == topics.State() {
			latest[string(r.Key)] = r
		}
	}
	d.log = slices.Collect(maps.Values(latest))
	d.p = d.restored()
}

// gaps returns the shortest and the longest time between two proofs of one integration, but for the first two: where the
// hour's slot is, is a matter of chance.
func (d *days) gaps() (shortest, longest time.Duration) {
	shortest = 1000 * time.Hour
	for _, at := range d.proofs {
		for n := 2; n < len(at); n++ {
			gap := at[n].Sub(at[n-1])
			shortest, longest = min(shortest, gap), max(longest, gap)
		}
	}
	return shortest, longest
}

func TestProofsGoOnHourlyForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, 10)
		d.run(7 * 24 * time.Hour)
		if shortest, longest := d.gaps(); shortest < 54*time.Minute || longest > 66*time.Minute {
			t.Errorf("proofs are %v to %v apart, want an hour ± 6 minutes", shortest, longest)
		}
		for id, at := range d.proofs {
			if len(at) < 7*24-2 {
				t.Errorf("%s was proved %d times in a week", id, len(at))
			}
		}
	})
}

func TestProofsGoOnWhateverIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, 10)
		for n := range 60 { // two days and a half, in which nothing runs for longer than an hour
			d.run(time.Duration(5+n%55) * time.Minute)
			bubbletest.Pass(time.Duration(n%40) * time.Minute) // nobody runs
			d.restart()
		}
		for id, at := range d.proofs {
			if len(at) < 30 {
				t.Errorf("%s was proved %d times in 50 hours, of which 30 had a decider", id, len(at))
			}
		}
		// Late by a restart or two; never forgotten.
		if _, longest := d.gaps(); longest > 4*time.Hour {
			t.Errorf("two proofs are %v apart", longest)
		}
	})
}

func TestWhatBecameDueWhileNobodyRanIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 100 // an organization has no more by default
		d := newDays(t, many)
		d.run(3 * time.Hour)
		bubbletest.Pass(2 * time.Hour)
		clear(d.proofs)
		d.restart()
		d.run(time.Minute)
		if got := len(d.proofs); got == 0 || got > many/10 {
			t.Errorf("%d of %d integrations were proved in the first minute after an outage, want a sixtieth or so", got, many)
		}
		d.run(time.Hour)
		if got := len(d.proofs); got != many {
			t.Errorf("%d of %d integrations were proved within an hour and a minute after an outage", got, many)
		}
	})
}

func TestABrokenPolicyIsFoundAndToldWithBeforeAndAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, 3)
		d.run(5 * time.Hour)
		d.changes = nil
		d.answer = func(integration.ID) integration.Report { return reportOf(integration.Fail, integration.Pass) }
		d.run(70 * time.Minute)
		d.restart()
		d.run(24 * time.Hour)
		d.answer = func(integration.ID) integration.Report { return reportOf(integration.Pass, integration.Pass) }
		d.run(2 * time.Hour)
		d.answer = func(integration.ID) integration.Report { return reportOf(integration.Pass, integration.Fail) }
		d.run(70 * time.Minute)
		counts := map[integration.TrustChanged]int{}
		for _, c := range d.changes {
			counts[c]++
		}
		want := map[integration.TrustChanged]int{
			{From: integration.TrustValid, To: integration.TrustDenied}:   3,
			{From: integration.TrustDenied, To: integration.TrustValid}:   3,
			{From: integration.TrustValid, To: integration.TrustInsecure}: 3,
		}
		if !maps.Equal(counts, want) {
			t.Errorf("the changes are %v, want %v", counts, want)
		}
	})
}

package integration_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/integration"
)

// edit is a trust policy from its moment on: the external IDs that it accepts.
type edit struct {
	at      time.Time
	accepts []string
	open    bool            // accepts any, and none
	reaches []time.Duration // each of the cloud's places so much later
}

// cloudOf is a cloud with several places, each of which hears of an edit in its own time.
type cloudOf struct {
	w     *world
	rt    *rapid.T
	id    integration.ID
	edits []edit
	reads bool // every read must succeed
}

const places = 3

func newCloudOf(t *testing.T, rt *rapid.T) *cloudOf {
	c := &cloudOf{w: newWorld(t), rt: rt}
	c.id = c.w.create(roleA)
	c.w.mapped(c.id)
	c.accept(c.w.get(c.id).ExternalID)
	c.w.now = c.w.now.Add(integration.Propagation)
	c.prove()
	return c
}

// accept edits the trust policy now.
func (c *cloudOf) accept(ids ...string) {
	e := edit{at: c.w.now, accepts: ids}
	for range places {
		// Every place has heard of it within the time in which a refusal is not believed.
		e.reaches = append(e.reaches, time.Duration(rapid.IntRange(0, 59).Draw(c.rt, "lag"))*time.Second)
	}
	c.edits = append(c.edits, e)
}

// admits asks one place, any, at a time.
func (c *cloudOf) admits(id string, at time.Time) bool {
	place := rapid.IntRange(0, places-1).Draw(c.rt, "place")
	for _, e := range slices.Backward(c.edits) {
		if !at.Before(e.at.Add(e.reaches[place])) {
			return e.open || slices.Contains(e.accepts, id)
		}
	}
	return false
}

// prove answers the order that is under way, each check at a place of its own.
func (c *cloudOf) prove() {
	i := c.w.get(c.id)
	if !i.Trust.Asked {
		return
	}
	outcome := func(id string, want bool) integration.Outcome {
		if c.admits(id, c.w.now) == want {
			return integration.Pass
		}
		return integration.Fail
	}
	r := report(outcome(i.ExternalID, true), outcome("", false), outcome("wrong", false))
	if id := i.NextExternalID(); id != "" {
		r = with(r, integration.CheckNextID, outcome(id, true))
	}
	if id := i.FormerExternalID(); id != "" {
		r = with(r, integration.CheckFormerID, outcome(id, false))
	}
	c.w.probed(c.id, r)
}

// pass lets time pass: proofs when they are due, and connectors that read all the time.
func (c *cloudOf) pass(d time.Duration) {
	for end := c.w.now.Add(d); c.w.now.Before(end); {
		next := end
		if due := c.w.get(c.id).Due; due.After(c.w.now) && due.Before(end) {
			next = due
		}
		for range 3 {
			c.read(c.w.now.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(c.w.now))-1).Draw(c.rt, "read"))))
		}
		c.w.now = next
		c.w.result(c.id, 0, integration.TimerIsDue{})
		for c.w.get(c.id).Trust.Asked {
			c.prove()
		}
	}
}

// read asks for a session without anything cached, which is the hardest case.
func (c *cloudOf) read(at time.Time) {
	i := c.w.get(c.id)
	ok := c.w.allowed(c.id) && (c.admits(i.ExternalID, at) || i.StandIn() != "" && c.admits(i.StandIn(), at))
	if c.reads && !ok {
		c.rt.Fatalf("a read at %v fails: allowed %t, external ID %s, stand-in %q, rotation %+v\nedits %+v", at, c.w.allowed(c.id), i.ExternalID, i.StandIn(), i.Rotation, c.edits)
	}
}

// waits is how long a customer takes.
func (c *cloudOf) waits() {
	c.pass(time.Duration(rapid.OneOf(rapid.IntRange(1, 90), rapid.IntRange(90, 20000)).Draw(c.rt, "seconds")) * time.Second)
}

// until lets time pass until something has come, for some hours at most.
func (c *cloudOf) until(what string, done func(integration.Integration) bool) {
	for range 40 {
		if done(c.w.get(c.id)) {
			return
		}
		c.pass(5 * time.Minute)
	}
	c.rt.Fatalf("never %s: %+v, trust %s\nedits %+v", what, c.w.get(c.id).Rotation, c.w.get(c.id).Trust.Status, c.edits)
}

// obey does what the report says until the rotation is over.
func (c *cloudOf) obey() {
	c.accept(c.w.get(c.id).AcceptedExternalIDs()...)
	c.w.mustDo(admin, integration.Validate{Integration: c.id})
	c.until("exchanged", inPhase(integration.RotationRetiring))
	c.waits()
	c.accept(c.w.get(c.id).AcceptedExternalIDs()...)
	c.w.mustDo(admin, integration.Validate{Integration: c.id})
	c.until("over", over)
}

func TestACustomerWhoFollowsTheInstructionsNeverMissesASession(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := newCloudOf(t, rt)
		c.reads = true
		before := c.w.get(c.id).ExternalID
		c.w.mustDo(admin, integration.RotateExternalID{Integration: c.id})
		next := c.w.get(c.id).NextExternalID()
		c.waits()
		c.obey()
		c.waits()
		if got := c.w.get(c.id).ExternalID; got != next || got == before {
			rt.Errorf("the external ID is %s, want %s", got, next)
		}
	})
}

func TestWhateverACustomerDoesTheExternalIDIsOneThatWasAdmittedAndFollowingTheReportMendsAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := newCloudOf(t, rt)
		c.w.watch = func(e integration.Event, _ integration.Integration) {
			to := ""
			switch fact := e.Fact.(type) {
			case integration.ExternalIDRotated:
				to = fact.ExternalID
			case integration.ExternalIDRestored:
				to = fact.ExternalID
			default:
				return
			}
			for _, p := range c.edits { // an edit that some place may still see
				if slices.Contains(p.accepts, to) {
					return
				}
			}
			rt.Fatalf("%s to %s, which no policy accepts: %+v", e.Fact.Type(), to, c.edits)
		}
		c.w.mustDo(admin, integration.RotateExternalID{Integration: c.id})
		a, b := c.w.get(c.id).ExternalID, c.w.get(c.id).NextExternalID()
		for range rapid.IntRange(1, 5).Draw(rt, "edits") {
			c.accept(rapid.SliceOfDistinct(rapid.SampledFrom([]string{a, b, "typo"}), rapid.ID).Draw(rt, "accepts")...)
			c.edits[len(c.edits)-1].open = rapid.IntRange(0, 5).Draw(rt, "open") == 0
			if rapid.Bool().Draw(rt, "asks") {
				c.w.mustDo(admin, integration.Validate{Integration: c.id})
			}
			c.waits()
		}
		if c.w.get(c.id).Rotation == nil {
			return
		}
		if inPhase(integration.RotationRetiring)(c.w.get(c.id)) {
			c.accept(c.w.get(c.id).AcceptedExternalIDs()...)
			c.w.mustDo(admin, integration.Validate{Integration: c.id})
			c.until("over", func(i integration.Integration) bool { return over(i) || inPhase(integration.RotationProving)(i) })
		}
		if c.w.get(c.id).Rotation != nil {
			c.obey()
		}
		c.until("trusted", func(integration.Integration) bool { return c.w.allowed(c.id) })
		if i := c.w.get(c.id); i.ExternalID != b {
			rt.Errorf("the external ID is %s, want %s", i.ExternalID, b)
		}
	})
}

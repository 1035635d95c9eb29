package integration

import (
	"math/bits"
	"time"
)

// Bounds of the timers. Sources: IAM changes are seen "within minutes" (IAM user guide, eventual consistency); a
// worker that was killed is replaced within seconds. docs/adr/0008-slots-in-the-hour.md has the reasons for the slots.
const (
	answerWithin  = 2 * time.Minute  // a worker that has not answered by then is asked again
	round         = time.Hour        // everything at rest is looked at this often
	soonest       = 48 * time.Minute // a slot that is nearer than this is left out
	slotJitter    = 3 * time.Minute  // to both sides of the slot
	firstRetry    = 2 * time.Second  // the first wait while somebody waits for us; it doubles up to a round
	calmRetry     = 15 * time.Minute // the first wait when valid trust could not be looked at
	pendingRetry  = 15 * time.Second // while a refusal may be propagation, look at least this often
	questionAgain = 5 * time.Minute  // refusals of the broker lead to a proof at most this often
	remapAfter    = 5                // rounds without the platform's role before it is made again
)

// slot is the integration's own time in the hour: the first one from soonest on, ± slotJitter. Slots follow from the id
// and are spread evenly, so that whatever brings many integrations together (all made in one minute, an outage that
// ends) spreads again within one round. A proof at one slot is followed by one at the next, an hour later.
func (id ID) slot(now time.Time, jitter float64) time.Time {
	const hour = int64(round / time.Millisecond)
	from := now.Add(soonest).UnixMilli()
	at := from - from%hour + id.phase().Milliseconds()
	if at < from {
		at += hour
	}
	at += int64((2*jitter - 1) * float64(slotJitter.Milliseconds()))
	return time.UnixMilli(at).UTC()
}

// phase is where in the hour the slot is: FNV-1a, which alone would give ids that differ in the last letter almost the
// same, and the finalizer of MurmurHash3.
func (id ID) phase() time.Duration {
	sum := uint64(0xcbf29ce484222325)
	for n := range len(id) {
		sum = (sum ^ uint64(id[n])) * 0x100000001b3
	}
	sum = (sum ^ sum>>33) * 0xff51afd7ed558ccd
	part, _ := bits.Mul64(sum^sum>>33, uint64(round))
	return time.Duration(part) //nolint:gosec // less than an hour
}

// retry is when to try for the n-th time (counted from 1) after a first wait that doubles with every try; once that
// would be a round or more, it is the integration's slot. So it becomes slow, and never ends.
func (i Integration) retry(first time.Duration, n int, now time.Time, jitter float64) time.Time {
	wait := first << min(max(n, 1)-1, 20)
	if wait >= round {
		return i.ID.slot(now, jitter)
	}
	return now.Add(spread(wait, jitter))
}

// spread changes a wait by up to a third: that of one try then ends where that of the next, twice as long, begins, and a
// crowd that started together goes on as an even stream.
func spread(d time.Duration, jitter float64) time.Duration {
	return time.Duration(float64(d) * (2 + 2*jitter) / 3).Truncate(time.Millisecond)
}

// NextProof is when trust is proved again if nobody asks for it, after a proof that ended now. jitter is in [0, 1).
func (i Integration) NextProof(now time.Time, jitter float64) time.Time {
	at := i.nextLook(now, jitter)
	if i.Rotation != nil {
		at = sooner(at, i.nextTurn(now, jitter))
	}
	return at
}

// nextLook is when trust by the current external ID wants to be proved again.
func (i Integration) nextLook(now time.Time, jitter float64) time.Time {
	t := i.Trust
	switch {
	case t.Status == TrustValid && t.Tries == 0:
		return i.ID.slot(now, jitter)
	case t.Status == TrustValid && t.RefusedSince.IsZero() && t.Report.Outcome(CheckPlatformRole) != Fail:
		// The cloud is away. All others wait for it too, and nobody for us.
		return i.retry(calmRetry, t.Tries, now, jitter)
	}
	at := i.retry(firstRetry, t.Tries, now, jitter)
	if !t.RefusedSince.IsZero() && now.Sub(t.RefusedSince) < Propagation || t.Doubts > 0 && t.Doubts < cleanRounds {
		// A refusal may still be propagation; and one more clean round lifts "insecure".
		return sooner(at, now.Add(spread(pendingRetry, jitter)))
	}
	return at
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// patience is how long to wait for a worker's answer. When nobody answered the last order either, it is twice as long
// as before, up to a round: workers that are away for long are not buried in orders.
func (i Integration) patience(now time.Time, unanswered bool, jitter float64) time.Duration {
	wait := answerWithin
	if unanswered && !i.Due.IsZero() && !now.Before(i.Due) {
		wait = min(max(wait, 2*i.waited()), round)
	}
	return spread(wait, jitter)
}

// waited is the wait that the due time ends: every decision that sets one is a change.
func (i Integration) waited() time.Duration { return i.Due.Sub(i.UpdatedAt) }

// CatchUp is when to look at an integration whose due time has passed while nobody looked. behind is how many others
// became due before it meanwhile, of how many there are altogether: they are taken up oldest first and at the pace at
// which they come anyway, however many have piled up.
func (i Integration) CatchUp(now time.Time, behind, of int) time.Time {
	wait := min(max(i.NextDue().Sub(i.UpdatedAt), 0), round)
	return now.Add(time.Duration(float64(wait) * float64(behind) / float64(max(of, 1))))
}

// furthest is further away than any due time that a decision sets: a slot is, by soonest, round and slotJitter, and the longest
// wait, by spread.
const furthest = 2 * time.Hour

// Resumed is i, of which somebody else says what it is, as it begins anew at now. No time that decisions wait for or count from
// is one that they could not have left: a due time that is too far away has come, and nothing has begun that is still to come.
func (i Integration) Resumed(now time.Time) Integration {
	if i.Due.After(now.Add(furthest)) {
		i.Due = now
	}
	times := []*time.Time{&i.Trust.RefusedSince, &i.Trust.QuestionedAt}
	if i.Rotation != nil {
		n := *i.Rotation
		i.Rotation = &n
		times = append(times, &n.Since, &n.AdmittedSince, &n.RefusedSince)
	}
	for _, at := range times {
		if at.After(now) {
			*at = now
		}
	}
	return i
}

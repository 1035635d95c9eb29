package integration

import (
	"math"
	"time"
)

// Bounds of the timers. Sources: IAM changes are seen "within minutes" (IAM user guide, eventual consistency); a
// worker that was killed is replaced within seconds.
const (
	answerWithin  = 2 * time.Minute // a worker that has not answered by then is asked again
	revalidate    = time.Hour       // valid trust is proved again this often, ± revalidateJitter
	firstRetry    = 2 * time.Second
	slowestRetry  = time.Hour
	pendingRetry  = 15 * time.Second // while a refusal may be propagation, look at least this often
	retryGrowth   = 2.0
	jitterPortion = 0.1
	remapAfter    = 5 // rounds without the platform's role before it is made again
)

// backoff is the wait before try n (counted from 1), with jitter in [0, 1) spreading it by ± 10 %.
func backoff(n int, jitter float64) time.Duration {
	wait := float64(firstRetry) * math.Pow(retryGrowth, float64(min(max(n, 1), 20)-1))
	return spread(time.Duration(min(wait, float64(slowestRetry))), jitter)
}

func spread(d time.Duration, jitter float64) time.Duration {
	return time.Duration(float64(d) * (1 - jitterPortion + 2*jitterPortion*jitter))
}

// nextRound is the wait before trust is tried again: an hour when it is valid, else a growing backoff, which stays
// short while a refusal may still be propagation, and while one more clean round lifts "insecure".
func (t Trust) nextRound(now time.Time, jitter float64) time.Duration {
	if t.Status == TrustValid && t.Tries == 0 {
		return spread(revalidate, jitter)
	}
	wait := backoff(t.Tries, jitter)
	if !t.RefusedSince.IsZero() && now.Sub(t.RefusedSince) < Propagation || t.Doubts > 0 && t.Doubts < cleanRounds {
		return min(wait, pendingRetry)
	}
	return wait
}

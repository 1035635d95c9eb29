package integration_test

import (
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// crowd is far fewer integrations than the schedule is made for. Those of a crowd are independent and alike, so what an
// hour's sum deviates by, seen against the mean, shrinks as their number grows: few are the harder case, which
// TestAYearHasNoBursts shows. `make bench` has the year of all 100,000 with the same bad starts.
const crowd = 5000

func (f *fleet) crowd() {
	n := crowd
	if testing.Short() {
		n /= 5
	}
	f.create(n, time.Minute)
}

// even fails when some hour from a time on, whenever it begins, has more than 1.3 times the proofs of the mean.
func (f *fleet) even(from time.Duration) {
	f.t.Helper()
	worst, mean := f.worstHour(from)
	f.t.Logf("from %s on: %.0f proofs in the worst hour, %.0f in the mean, ratio %.3f", from, worst, mean, worst/mean)
	if worst > 1.3*mean {
		f.t.Errorf("from %s on the worst hour has %.2f times the mean, want 1.3 at most", from, worst/mean)
	}
}

// smooth fails when some minute from a time on has far more than its share of an hour, and what is caught up as well.
func (f *fleet) smooth(from time.Duration) {
	f.t.Helper()
	share := float64(len(f.ids)) / 60
	if got := float64(f.worstMinute(from)); got > 2.5*share {
		f.t.Errorf("from %s on one minute has %.0f proofs, want %.0f or so", from, got, share)
	}
}

// settledCrowd is a crowd whose first proofs are over.
func settledCrowd(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t)
	f.crowd()
	f.run(3 * time.Hour)
	return f
}

// calm lets time pass, which has to be even and smooth from the first minute on.
func (f *fleet) calm(long time.Duration) {
	f.t.Helper()
	from := f.now.Sub(f.begin)
	f.run(long)
	f.even(from)
	f.smooth(from)
}

func TestManyIntegrationsMadeInOneMinuteSpreadAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.crowd()
	f.run(6 * time.Hour)
	f.even(0) // with the first proofs, which are asked for
	f.smooth(2 * time.Minute)
}

func TestWhatBecameDueDuringAnOutageIsTakenUpAtTheUsualPace(t *testing.T) {
	t.Parallel()
	for name, outages := range map[string][]time.Duration{
		"an hour":             {time.Hour},
		"a day":               {24 * time.Hour},
		"restarts one by one": {10 * time.Second, 3 * time.Minute, 30 * time.Second, 20 * time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := settledCrowd(t)
			for _, d := range outages {
				f.sleep(d)
				from := f.now
				f.run(7 * time.Minute)
				f.smooth(from.Sub(f.begin))
			}
			f.calm(8 * time.Hour)
		})
	}
}

// The worst that can be thought of: by whatever fault, all have the very same due time, and that was a moment ago.
func TestTimersThatAreAllDueAtOneMomentAreSpread(t *testing.T) {
	t.Parallel()
	f := settledCrowd(t)
	for _, id := range f.ids {
		i, _ := f.state.Integration(id)
		i.Due, i.UpdatedAt = f.now, f.now.Add(-time.Hour)
		f.state.SetIntegration(i)
	}
	f.sleep(10 * time.Second)
	f.calm(8 * time.Hour)
}

func TestWorkersThatAreAwayAreNotBuriedInOrders(t *testing.T) {
	t.Parallel()
	f := settledCrowd(t)
	f.answer = func(integration.ID) *integration.Report { return nil }
	away := f.now.Sub(f.begin)
	f.run(4 * time.Hour)
	worst, _ := f.worstHour(away)
	if each := worst / float64(len(f.ids)); each > 5.5 {
		t.Errorf("%.1f orders for each integration in an hour without workers, want those of 2, 4, 8, 16 and 32 minutes", each)
	}
	// They come back, and do at once what lies there.
	f.answer = func(integration.ID) *integration.Report { return &clean }
	from := f.now.Sub(f.begin)
	for _, id := range f.ids {
		i, _ := f.state.Integration(id)
		f.result(id, i.Trust.Attempt, integration.TrustWasProbed{Report: clean})
	}
	f.run(8 * time.Hour)
	f.even(from)
	f.smooth(from + time.Minute)
}

func TestAYearHasNoBursts(t *testing.T) {
	t.Parallel()
	var before float64
	for _, c := range []struct {
		integrations int
		days         int
	}{{30, 365}, {240, 20}, {1920, 2}} {
		if testing.Short() {
			c.days = 1 + c.days/10
		}
		f := newFleet(t)
		f.create(c.integrations, time.Minute)
		f.run(time.Duration(c.days*24) * time.Hour)
		f.even(0)
		worst, mean := f.worstHour(2 * time.Hour)
		if ratio := worst / mean; before != 0 && ratio > before {
			t.Errorf("%d integrations have a worst hour of %.3f, more than the %.3f of fewer", c.integrations, ratio, before)
		}
		before = worst / mean
		if got, want := mean, float64(c.integrations); got < 0.95*want || got > 1.05*want {
			t.Errorf("%d integrations are proved %.0f times an hour", c.integrations, got)
		}
	}
}

func TestValidTrustIsProvedHourlyWithinSixMinutes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.create(50, time.Minute)
	last := map[integration.ID]time.Time{}
	seen := 0
	f.answer = func(id integration.ID) *integration.Report {
		if at, ok := last[id]; ok {
			gap := f.now.Sub(at)
			if first := at.Sub(start) < time.Minute; first && (gap < 45*time.Minute || gap > 111*time.Minute) ||
				!first && (gap < 54*time.Minute || gap > 66*time.Minute) {
				t.Errorf("%s is proved %v after the last time", id, gap)
			}
			seen++
		}
		last[id] = f.now
		return &clean
	}
	f.run(7 * 24 * time.Hour)
	if seen < 50*7*23 {
		t.Errorf("only %d proofs were seen", seen)
	}
}

func TestPendingTrustIsTriedFastThenSlowlyAndForEver(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.answer = func(integration.ID) *integration.Report { return &refusing }
	f.create(200, time.Minute)
	f.run(30 * 24 * time.Hour)
	each := func(from, to time.Duration) float64 {
		sum := 0
		for _, n := range f.proofs[from/time.Minute : to/time.Minute] {
			sum += n
		}
		return float64(sum) / 200
	}
	if got := each(0, 2*time.Minute); got < 6 {
		t.Errorf("%.1f tries in the first minute, want 6 or more", got)
	}
	if got := each(0, time.Hour); got > 14 {
		t.Errorf("%.1f tries in the first hour, want 14 at most", got)
	}
	for day := 1; day < 30; day++ {
		if got := each(time.Duration(day)*24*time.Hour, time.Duration(day+1)*24*time.Hour); got < 23 || got > 25 {
			t.Errorf("%.1f tries on day %d, want 24", got, day+1)
		}
	}
	f.even(3 * time.Hour)
	// The customer mends the policy: that is found out without anybody asking.
	f.answer = func(integration.ID) *integration.Report { return &clean }
	f.run(2 * time.Hour)
	for _, id := range f.ids {
		if i, _ := f.state.Integration(id); i.Trust.Status != integration.TrustValid {
			t.Fatalf("%s is %s two hours after the policy was mended", id, i.Trust.Status)
		}
	}
}

func TestAnOutageOfTheCloudIsNotAnsweredWithAStorm(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.create(2000, time.Minute)
	f.run(3 * time.Hour)
	f.answer = func(integration.ID) *integration.Report { return &outage }
	from := f.now.Sub(f.begin)
	f.run(6 * time.Hour)
	if worst, _ := f.worstHour(from); worst > 2.5*2000 {
		t.Errorf("%.1f proofs for each integration in an hour without a cloud, want 2.5 at most", worst/2000)
	}
	for _, id := range f.ids {
		if i, _ := f.state.Integration(id); i.Trust.Status != integration.TrustValid {
			t.Fatalf("an outage made %s %s", id, i.Trust.Status)
		}
	}
}

func TestInsecureTrustIsLookedAtAgainSoonAfterItWasMended(t *testing.T) {
	w, id := mappedWorld(t)
	for range 30 {
		w.probed(id, careless)
		w.due(id)
	}
	if got := w.probed(id, clean); got != integration.TrustInsecure {
		t.Fatalf("one clean round makes it %s", got)
	}
	if wait := w.get(id).Due.Sub(w.now); wait > 80*time.Second {
		t.Errorf("the second clean round comes in %v, want about a minute", wait)
	}
}

func TestTheOldestIsCaughtUpFirstAndNoneWaitsMoreThanARound(t *testing.T) {
	w, id := mappedWorld(t)
	w.probed(id, clean)
	i := w.get(id)
	now := i.Due.Add(time.Hour)
	if got := i.CatchUp(now, 0, 1000); !got.Equal(now) {
		t.Errorf("the oldest is looked at in %v, want now", got.Sub(now))
	}
	if got := i.CatchUp(now, 999, 1000); got.Sub(now) < 40*time.Minute || got.Sub(now) > time.Hour {
		t.Errorf("the last of all is looked at in %v, want an hour at most", got.Sub(now))
	}
	i.Due = i.UpdatedAt.Add(10 * time.Second) // somebody waits for this one
	if got := i.CatchUp(now, 999, 1000); got.Sub(now) > 10*time.Second {
		t.Errorf("one that waits 10 s is looked at in %v", got.Sub(now))
	}
}

func TestWhatComesFromElsewhereIsLookedAtAndQuestionedInTime(t *testing.T) {
	w, id := mappedWorld(t)
	w.mustDo(admin, integration.RotateExternalID{Integration: id})
	w.probed(id, clean)
	i, far := w.get(id), time.Date(9990, 1, 1, 0, 0, 0, 0, time.UTC)
	i.Due, i.Trust.RefusedSince, i.Trust.QuestionedAt = far, far, far
	before := *i.Rotation
	n := before
	n.Since, n.AdmittedSince, n.RefusedSince = far, far, far
	i.Rotation = &n
	got := i.Resumed(w.now)
	if r := got.Rotation; !n.Since.Equal(far) || !r.Since.Equal(w.now) || !r.AdmittedSince.Equal(w.now) || !r.RefusedSince.Equal(w.now) || !got.Trust.RefusedSince.Equal(w.now) {
		t.Errorf("got %+v of %+v, %+v; want what began in the future to begin now, and what it was made of as it was", *r, n, got.Trust)
	}
	w.state.SetIntegration(got)
	if asked := w.result(id, 0, integration.TimerIsDue{}); len(asked) != 1 {
		t.Errorf("got %v, want trust to be asked for", asked)
	}
	w.probed(id, clean)
	w.now = w.now.Add(10 * time.Minute)
	if asked := w.result(id, 0, integration.SessionWasRefused{}); len(asked) != 2 {
		t.Errorf("got %v, want a refusal of the broker to lead to a proof", asked)
	}
}

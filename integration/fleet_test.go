package integration_test

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

// fleet is many integrations whose timers ring when they are due and whose workers answer at once. It counts the proofs
// that are asked for, whoever asks.
type fleet struct {
	t      testing.TB
	state  *integration.State
	now    time.Time
	random *rand.Rand
	ids    []integration.ID
	alarms alarms
	begin  time.Time
	proofs []int // by the minute from begin on

	// answer is what the trust worker finds; nil while there is none.
	answer func(integration.ID) *integration.Report
}

type alarm struct {
	at, due time.Time
	id      integration.ID
}

type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}

func newFleet(t testing.TB) *fleet {
	f := &fleet{t: t, state: integration.NewState(), now: start, begin: start, random: rand.New(rand.NewPCG(1, 2))}
	f.answer = func(integration.ID) *integration.Report { return &clean }
	f.command(control, integration.CreateOrganization{Admin: admin})
	quota := integration.MaxQuota
	f.command(control, integration.ConfigureOrganization{IntegrationQuota: &quota})
	return f
}

func (f *fleet) inputs() integration.Inputs {
	const letters = "0123456789abcdefghjkmnpqrstvwxyz"
	id := []byte(integration.IDPrefix)
	for range 10 {
		id = append(id, letters[f.random.IntN(len(letters))])
	}
	return integration.Inputs{Now: f.now, ID: integration.ID(id), ExternalID: "e", Jitter: f.random.Float64()}
}

func (f *fleet) command(actor integration.Principal, ask integration.Ask) []integration.Event {
	in := f.inputs()
	events, err := integration.Decide(f.state, integration.Command{
		Source: "test", ID: string(in.ID), Organization: org, Actor: actor, Digest: "d", Ask: ask,
	}, in)
	if err != nil {
		f.t.Fatal(err)
	}
	if refused, ok := events[0].Fact.(integration.Refused); ok {
		f.t.Fatalf("%s was refused: %v", ask.Type(), &refused.Refusal)
	}
	f.happened(events)
	f.state.DropReceipt(integration.Asker{Source: "test", ID: string(in.ID)})
	return events
}

func (f *fleet) result(id integration.ID, attempt int64, finding integration.Finding) {
	f.happened(integration.DecideResult(f.state, integration.Result{
		Organization: org, Integration: id, Attempt: attempt, Finding: finding,
	}, f.inputs()))
}

// happened applies what was decided and lets the workers answer.
func (f *fleet) happened(events []integration.Event) {
	asked := false
	for _, e := range events {
		integration.Evolve(f.state, e)
		if _, ok := e.Fact.(integration.TrustAsked); ok {
			minute := int(f.now.Sub(f.begin) / time.Minute)
			for len(f.proofs) <= minute {
				f.proofs = append(f.proofs, 0)
			}
			f.proofs[minute]++
			asked = true
		}
	}
	if len(events) == 0 || events[0].Integration == "" {
		return
	}
	id := events[0].Integration
	i, ok := f.state.Integration(id)
	switch {
	case !ok:
		return
	case i.Mapping.Status == integration.MappingRequested:
		f.result(id, i.Mapping.Attempt, integration.MappingWasMade{Platform: "p"})
	case asked:
		if r := f.answer(id); r != nil {
			f.result(id, i.Trust.Attempt, integration.TrustWasProbed{Report: *r})
			return
		}
		heap.Push(&f.alarms, alarm{at: i.Due, due: i.Due, id: id})
	case !i.Due.IsZero():
		heap.Push(&f.alarms, alarm{at: i.Due, due: i.Due, id: id})
	}
}

// create makes n integrations at even distances within a time.
func (f *fleet) create(n int, within time.Duration) {
	for k := range n {
		f.now = start.Add(within * time.Duration(k) / time.Duration(n))
		f.ids = append(f.ids, f.command(admin, integration.Create{
			Environment: env, Name: "n",
			Config: integration.Config{Kind: integration.KindAWS, Customer: fmt.Sprintf("arn:aws:iam::%012d:role/c", k)},
		})[0].Integration)
	}
}

// run lets time pass.
func (f *fleet) run(d time.Duration) {
	end := f.now.Add(d)
	for len(f.alarms) > 0 && f.alarms[0].at.Before(end) {
		a := heap.Pop(&f.alarms).(alarm)
		if i, ok := f.state.Integration(a.id); !ok || !i.Due.Equal(a.due) {
			continue
		}
		if a.at.After(f.now) {
			f.now = a.at
		}
		f.result(a.id, 0, integration.TimerIsDue{})
	}
	f.now = end
}

// sleep lets time pass while nobody decides, and then restores the timers from the state, as a new decider does.
func (f *fleet) sleep(d time.Duration) {
	f.now = f.now.Add(d)
	f.alarms = nil
	var late []integration.Integration
	for _, id := range f.ids {
		i, _ := f.state.Integration(id)
		if i.Due.Before(f.now) {
			late = append(late, i)
			continue
		}
		heap.Push(&f.alarms, alarm{at: i.Due, due: i.Due, id: id})
	}
	slices.SortFunc(late, func(a, b integration.Integration) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) })
	for behind, i := range late {
		heap.Push(&f.alarms, alarm{at: i.CatchUp(f.now, behind, len(f.ids)), due: i.Due, id: i.ID})
	}
}

// worstHour is the most proofs in any 60 minutes from a time on, whenever they begin, and how many an hour has in the mean.
func (f *fleet) worstHour(from time.Duration) (worst, mean float64) {
	minutes := f.proofs[from/time.Minute:]
	sum, all := 0, 0
	for n, count := range minutes {
		all += count
		if sum += count; n >= 60 {
			sum -= minutes[n-60]
		}
		worst = max(worst, float64(sum))
	}
	return worst, float64(all) / (float64(len(minutes)) / 60)
}

// worstMinute is the most proofs in one minute from a time on.
func (f *fleet) worstMinute(from time.Duration) int { return slices.Max(f.proofs[from/time.Minute:]) }

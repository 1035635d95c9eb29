package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// producer is kcat: a program that knows nothing of us and partitions in its own way. It sends CloudEvents in
// structured mode, one a line.
type producer struct {
	t     *testing.T
	stdin io.WriteCloser
	cmd   *exec.Cmd
}

func (w *world) producer() *producer {
	w.t.Helper()
	// librdkafka's own partitioner (CRC32), so that most organizations are not sent to their home partition.
	cmd := exec.CommandContext(w.ctx, testenv.Kcat(w.t), "-P", "-E", "-b", w.kafka.Address(), "-t", w.topics.Commands(), "-K", "\t",
		"-H", "content-type=application/cloudevents+json", "-X", "partitioner=consistent",
		// In order, but with nothing that keeps a lost acknowledgement from becoming a second record: that is our part.
		"-X", "enable.idempotence=false", "-X", "acks=all", "-X", "max.in.flight.requests.per.connection=1", "-X", "message.timeout.ms=120000",
		"-X", "socket.timeout.ms=10000", "-X", "linger.ms=5", "-X", "log.connection.close=false")
	p := &producer{t: w.t, cmd: cmd}
	var err error
	p.stdin, err = cmd.StdinPipe()
	w.must(err)
	w.must(cmd.Start())
	return p
}

func (p *producer) line(organization integration.OrganizationID, text string) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.stdin, "%s\t%s\n", organization, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *producer) send(c command) {
	p.t.Helper()
	data, err := json.Marshal(c.ask)
	if err != nil {
		p.t.Fatal(err)
	}
	p.line(c.organization, fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/kcat","type":%q,"organization":%q,"actor":%q,"datacontenttype":"application/json","data":%s}`,
		c.id, c.ask.Type(), c.organization, c.actor, data))
}

// finish waits until everything is acknowledged.
func (p *producer) finish() {
	p.t.Helper()
	if err := errors.Join(p.stdin.Close(), p.cmd.Wait()); err != nil {
		p.t.Fatalf("kcat: %v", err)
	}
}

// command is one command and the answer that it must get; an empty code is an acceptance.
type command struct {
	id           string
	organization integration.OrganizationID
	actor        integration.Principal
	ask          integration.Ask
	want         integration.Code
}

const (
	organizations = 4
	quota         = 50
)

// founding makes the organizations and sets their quotas.
func founding() (all []command) {
	for n := range organizations {
		o := integration.OrganizationID(fmt.Sprint("org-", n))
		limit := quota
		all = append(all,
			command{fmt.Sprint(o, "/found"), o, "platform:cp", integration.CreateOrganization{Admin: administrator}, ""},
			command{fmt.Sprint(o, "/quota"), o, "platform:cp", integration.ConfigureOrganization{IntegrationQuota: &limit}, ""})
	}
	return all
}

// creation asks for an integration of the n-th customer.
func creation(o integration.OrganizationID, n int, want integration.Code) command {
	return command{fmt.Sprintf("%s/create/%d", o, n), o, administrator, integration.Create{
		Environment: environment, Name: "made by kcat", Config: integration.Config{Kind: integration.KindAWS, Customer: customerRole(n, "customer")},
	}, want}
}

func customerRole(n int, name string) string {
	return fmt.Sprintf("arn:aws:iam::%012d:role/%s", n+1, name)
}

// script is what the customers of all organizations send: more creations than their quotas allow, and what must be
// refused for other reasons.
func script() (all []command) {
	for n := range quota + tooMany {
		for o := range organizations {
			org := integration.OrganizationID(fmt.Sprint("org-", o))
			want := integration.Code("")
			if n >= quota {
				want = integration.CodeQuota
			}
			all = append(all, creation(org, n, want))
			if n%20 == 5 {
				add := func(kind string, actor integration.Principal, role string, want integration.Code) {
					c := integration.Create{Environment: environment, Name: "made by kcat", Config: integration.Config{Kind: integration.KindAWS, Customer: role}}
					all = append(all, command{fmt.Sprintf("%s/%s/%d", org, kind, n), org, actor, c, want})
				}
				add("again", administrator, customerRole(n, "customer"), integration.CodeExists)
				add("stranger", "u-stranger", customerRole(n, "other"), integration.CodeDenied)
				add("bad", administrator, "arn:aws:iam::1:role/x-x-x-x-x", integration.CodeInvalid)
			}
		}
	}
	return all
}

const (
	tooMany = 6 // creations beyond the quota
	removed = 8 // integrations that each organization deletes once its quota is reached
)

// sequel is what follows the script, which must be sent before: deletions of what it made, and again more creations than
// there is room for.
func (w *world) sequel() (all []command) {
	w.t.Helper()
	ids := map[string]integration.ID{}
	w.eventually(2*time.Minute, "the integrations to delete are there", func() error {
		h, err := w.read()
		if err != nil {
			return err
		}
		for o := range organizations {
			for n := range removed {
				id := fmt.Sprintf("org-%d/create/%d", o, n)
				if len(h.answers[id]) == 0 {
					return fmt.Errorf("%s is not answered", id)
				}
				ids[id] = h.answers[id][0].Integration
			}
		}
		return nil
	})
	for n := range removed {
		for o := range organizations {
			org := integration.OrganizationID(fmt.Sprint("org-", o))
			all = append(all, command{fmt.Sprintf("%s/delete/%d", org, n), org, administrator, integration.Delete{
				Integration: ids[fmt.Sprintf("%s/create/%d", org, n)],
			}, ""})
		}
	}
	for n := range removed + tooMany {
		for o := range organizations {
			want := integration.Code("")
			if n >= removed {
				want = integration.CodeQuota
			}
			all = append(all, creation(integration.OrganizationID(fmt.Sprint("org-", o)), quota+tooMany+n, want))
		}
	}
	return all
}

// history is all that lifecycle wrote, read committed.
type history struct {
	answers map[string][]integration.Event // by command id
	deleted int
	letters int
}

// read replays the events topic and checks what must hold at each moment: versions without gap or double, and no quota
// exceeded.
func (w *world) read() (history, error) {
	h := history{answers: map[string][]integration.Event{}}
	versions := map[string]int64{}
	live := map[integration.OrganizationID]int{}
	var broken []error
	for p := range w.topics.Partitions {
		_, err := events.Replay(w.ctx, w.cl, w.topics.Events(), p, func(r *kgo.Record) error {
			e, err := w.codec.Event(r)
			if err != nil {
				return err
			}
			if e.Answers != nil {
				h.answers[e.Answers.ID] = append(h.answers[e.Answers.ID], e)
			}
			if e.Version > 0 {
				aggregate := fmt.Sprint(e.Organization, "/", e.Integration)
				if e.Version != versions[aggregate]+1 {
					broken = append(broken, fmt.Errorf("%s of %s has version %d after %d", e.Fact.Type(), aggregate, e.Version, versions[aggregate]))
				}
				versions[aggregate] = e.Version
			}
			switch e.Fact.(type) {
			case integration.Created:
				if live[e.Organization]++; live[e.Organization] > quota {
					broken = append(broken, fmt.Errorf("%s has %d integrations, its quota is %d", e.Organization, live[e.Organization], quota))
				}
			case integration.DeletionStarted: // from here on it does not count
				live[e.Organization]--
				h.deleted++
			}
			return nil
		})
		if err != nil {
			return h, err
		}
		if _, err := events.Replay(w.ctx, w.cl, w.topics.DeadLetters(), p, func(*kgo.Record) error { h.letters++; return nil }); err != nil {
			return h, err
		}
	}
	return h, errors.Join(broken...)
}

// answered waits until every command has its answer, and checks that it is the right one, once.
func (w *world) answered(within time.Duration, want []command) history {
	w.t.Helper()
	var h history
	w.eventually(within, fmt.Sprintf("all %d commands are answered", len(want)), func() (err error) {
		if h, err = w.read(); err != nil {
			return err
		}
		if len(h.answers) < len(want) {
			return fmt.Errorf("%d of %d are answered", len(h.answers), len(want))
		}
		return nil
	})
	for _, c := range want {
		got := h.answers[c.id]
		if len(got) != 1 {
			w.t.Errorf("%s was answered %d times: %+v", c.id, len(got), got)
			continue
		}
		refused, _ := got[0].Fact.(integration.Refused)
		if refused.Code != c.want {
			w.t.Errorf("%s was answered with %q, want %q", c.id, refused.Code, c.want)
		}
	}
	return h
}

// mapped waits until every integration has its platform role, and those that were deleted are gone.
func (w *world) mapped(within time.Duration, want int) {
	w.t.Helper()
	w.eventually(within, fmt.Sprintf("%d integrations are there, and mapped", want), func() error {
		ready, all := 0, 0
		for p := range w.topics.Partitions {
			last := map[integration.ID]integration.MappingStatus{}
			_, err := events.Replay(w.ctx, w.cl, w.topics.State(), p, func(r *kgo.Record) error {
				s, err := events.ReadStored(r)
				switch {
				case err != nil || s.IntegrationID == "":
				case s.Integration == nil:
					delete(last, s.IntegrationID)
				default:
					last[s.IntegrationID] = s.Integration.Mapping.Status
				}
				return err
			})
			if err != nil {
				return err
			}
			all += len(last)
			for _, status := range last {
				if status == integration.MappingReady {
					ready++
				}
			}
		}
		if ready != want || all != want {
			return fmt.Errorf("%d of %d are mapped", ready, all)
		}
		return nil
	})
}

// play sends commands slowly enough that the faults fall between them, with garbage and with repetitions, which it counts.
func (w *world) play(commands []command, garbage int) (repeated int) {
	w.t.Helper()
	p := w.producer()
	for n, c := range commands {
		p.send(c)
		if n%10 == 0 {
			p.send(commands[rand.IntN(n+1)]) // sent before
			repeated++
		}
		if n < garbage {
			p.line(c.organization, `{"specversion":"1.0","id":`)
		}
		if n%4 == 0 {
			<-time.After(300 * time.Millisecond)
		}
	}
	p.finish()
	return repeated
}

// deciders starts two deciders, which share the partitions, and a worker.
func (w *world) deciders() []*process {
	w.t.Helper()
	w.start("worker", "mapping,trust")
	deciders := []*process{w.start("decider-a", "lifecycle"), w.start("decider-b", "lifecycle")}
	for _, d := range deciders {
		d.ready()
	}
	return deciders
}

// found makes the organizations, and returns the commands that did.
func (w *world) found() []command {
	w.t.Helper()
	commands := founding()
	p := w.producer()
	for _, c := range commands {
		p.send(c)
	}
	p.finish()
	w.answered(time.Minute, commands)
	return commands
}

func TestEveryCommandHasOneAnswerWhileDecidersAreKilled(t *testing.T) {
	w := newWorld(t)
	deciders := w.deciders()
	first := w.found()

	killing, stop := context.WithCancel(w.ctx)
	kills := make(chan int)
	go func() {
		n := 0
		for killing.Err() == nil {
			deciders[n%2].kill()
			n++
			select {
			case <-killing.Done():
			case <-time.After(time.Duration(700+rand.IntN(900)) * time.Millisecond):
			}
		}
		kills <- n
	}()
	const garbage = 5
	commands := script()
	w.play(commands, garbage)
	sequel := w.sequel()
	w.play(sequel, 0)
	commands = append(commands, sequel...)
	stop()
	killed := <-kills
	if killed < 10 {
		t.Errorf("deciders were killed %d times, want at least 10: the fault did not fire", killed)
	}
	h := w.answered(2*time.Minute, append(commands, first...))
	if h.letters != garbage {
		t.Errorf("%d dead letters, want %d", h.letters, garbage)
	}
	if h.deleted != organizations*removed {
		t.Errorf("%d integrations were deleted, want %d", h.deleted, organizations*removed)
	}
	w.mapped(2*time.Minute, organizations*quota)
	t.Logf("%d commands, %d kills", len(commands)+len(first), killed)
}

func TestEveryCommandHasOneAnswerWhileKafkaIsKilledAndForgetsOffsets(t *testing.T) {
	w := newWorld(t)
	deciders := w.deciders()
	first := w.found()

	commands := script()
	third := len(commands) / 3
	repeated := w.play(commands[:third], 0)
	w.forgetOffsets(w.topics.Group("lifecycle"), "decider-a", "decider-b")
	repeated += w.play(commands[third:2*third], 0)
	w.answered(time.Minute, append(commands[:2*third:2*third], first...))
	// Nothing has failed so far: each repetition was read once, and nothing that was decided was read again.
	w.eventually(30*time.Second, fmt.Sprintf("%d repeated commands are told", repeated), func() error {
		return w.readAgain(deciders, func(duplicates, skipped int) bool { return duplicates == repeated && skipped == 0 })
	})

	restarted := make(chan error, 1)
	go func() {
		for range 2 {
			<-time.After(4 * time.Second)
			if err := w.kafka.Kill(); err != nil {
				restarted <- err
				return
			}
			if err := w.kafka.Start(context.WithoutCancel(t.Context())); err != nil {
				restarted <- err
				return
			}
		}
		restarted <- nil
	}()
	repeated += w.play(commands[2*third:], 0)
	sequel := w.sequel()
	repeated += w.play(sequel, 0)
	w.must(<-restarted)
	w.answered(3*time.Minute, append(commands, append(sequel, first...)...))
	w.mapped(3*time.Minute, organizations*quota)
	// How many are repeated is not known any more: kcat sends again what was not acknowledged.
	w.must(w.readAgain(deciders, func(_, skipped int) bool { return skipped == 0 }))
	for _, d := range deciders {
		if n := d.count(); n != 1 { // its counters would have begun anew
			t.Errorf("%s was started %d times, want once", d.name, n)
		}
	}
	for _, outcome := range []string{"committed", "aborted", "refused"} {
		n, err := w.counted(deciders, fmt.Sprintf("rolebridge_lifecycle_hanging_transactions_total{outcome=%q}", outcome))
		w.must(err)
		t.Logf("%d partitions had a transaction that Kafka forgot; now %s", n, outcome)
	}
}

// readAgain judges how many commands the deciders have read that were decided before: those that their receipts gave away,
// and those below the cursor.
func (w *world) readAgain(deciders []*process, judge func(duplicates, skipped int) bool) error {
	counts := map[string]int{}
	for _, outcome := range []string{"duplicate", "skipped"} {
		n, err := w.counted(deciders, fmt.Sprintf("rolebridge_lifecycle_decisions_total{outcome=%q,topic=\"commands\"}", outcome))
		if err != nil {
			return err
		}
		counts[outcome] = n
	}
	if !judge(counts["duplicate"], counts["skipped"]) {
		return fmt.Errorf("got %v", counts)
	}
	return nil
}

// counted sums a counter over processes.
func (w *world) counted(processes []*process, series string) (sum int, err error) {
	for _, p := range processes {
		_, text, err := get(w.ctx, p.url("telemetry")+"/metrics")
		if err != nil {
			return 0, err
		}
		_, rest, found := strings.Cut(text, "\n"+series+" ")
		value, _, _ := strings.Cut(rest, "\n")
		n, err := strconv.Atoi(value)
		if !found || err != nil {
			return 0, fmt.Errorf("%s has no %s: %q, %w", p.name, series, value, err)
		}
		sum += n
	}
	return sum, nil
}

// forgetOffsets deletes the committed offsets of a group whose members run. Kafka lets nobody delete them while members
// are there, so the members are removed first; they come back by themselves and find no offsets.
func (w *world) forgetOffsets(group string, instances ...string) {
	w.t.Helper()
	admin := kadm.NewClient(w.cl)
	w.eventually(30*time.Second, "the group's offsets are deleted", func() error {
		if _, err := admin.LeaveGroup(w.ctx, kadm.LeaveGroup(group).InstanceIDs(instances...)); err != nil {
			return err
		}
		answer, err := admin.DeleteGroup(w.ctx, group)
		return errors.Join(err, answer.Err)
	})
}

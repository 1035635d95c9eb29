package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/snapshot"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// estate is an installation with organizations in it, and a replica of its state.
type estate struct {
	*box
	table    *events.Table
	answered map[string]bool
}

func newEstate(t *testing.T, p *plane) *estate {
	t.Helper()
	return &estate{newBox(t, p), nil, map[string]bool{}}
}

// follow runs a replica until the test ends.
func (e *estate) follow() {
	e.t.Helper()
	e.table = events.NewTable(e.topics, []kgo.Opt{e.seeds}, events.WithReceipts())
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.table.Run(ctx) }()
	e.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			e.t.Errorf("replica: %v", err)
		}
	})
	polltest.Until(e.t, "the replica is ready", func() bool {
		select {
		case <-e.table.Ready():
			return true
		default:
			return false
		}
	})
}

// send sends a command and returns its receipt.
func (e *estate) send(o integration.OrganizationID, id string, ask integration.Ask) (receipt integration.Receipt) {
	e.t.Helper()
	r, err := e.codec.CommandRecord(integration.Command{Source: "/test", ID: id, Organization: o, Actor: platformActor, Time: time.Now(), Ask: ask})
	if err != nil {
		e.t.Fatal(err)
	}
	e.write(r)
	polltest.Until(e.t, "command "+id+" is answered", func() (ok bool) {
		receipt, ok = e.table.Answer(o, integration.Asker{Source: "/test", ID: id})
		return ok
	})
	if receipt.Refusal != nil {
		e.t.Fatalf("%s: %v", id, receipt.Refusal)
	}
	return receipt
}

// work answers the workers' orders that nobody has answered.
func (e *estate) work() {
	e.t.Helper()
	for p := range e.topics.Partitions {
		if _, err := events.Replay(e.t.Context(), e.cl, e.topics.Events(), p, func(r *kgo.Record) error {
			ev, err := e.codec.Event(r)
			if err != nil {
				return err
			}
			result := integration.Result{Organization: ev.Organization, Integration: ev.Integration}
			switch f := ev.Fact.(type) {
			case integration.MappingAsked:
				result.Attempt = f.Attempt
				result.Finding = integration.MappingWasMade{Platform: "arn:aws:iam::111122223333:role/" + string(ev.Integration)}
			case integration.TrustAsked:
				result.Attempt, result.Finding = f.Attempt, integration.TrustWasProbed{Report: apitest.Report()}
			default:
				return nil
			}
			if order := fmt.Sprint(ev.Integration, result.Finding.Type(), result.Attempt); !e.answered[order] {
				e.answered[order] = true
				answer, err := e.codec.ResultRecord("/test", result)
				if err != nil {
					return err
				}
				e.write(answer)
			}
			return nil
		}); err != nil {
			e.t.Fatal(err)
		}
	}
}

func (e *estate) trusted(id integration.ID) {
	e.t.Helper()
	polltest.Until(e.t, "trust of "+string(id)+" is valid", func() bool {
		e.work()
		i, ok := e.table.Integration(id)
		return ok && i.Trust.Status == integration.TrustValid
	})
}

// opens reports whether a token gets a session.
func (e *estate) opens(token string) error {
	e.t.Helper()
	cloud := credstest.NewCloud()
	e.table.All(func(i *integration.Integration) bool {
		cloud.Role(i.Mapping.Platform, credstest.CloudRole{})
		cloud.Role(i.Config.Customer, credstest.CloudRole{Trusts: i.Mapping.Platform, ExternalID: i.ExternalID, Tags: true, SourceIdentity: true})
		return true
	})
	b, err := creds.New(creds.Defaults(), e.table, creds.NewMemory(nil), cloud)
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(e.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	polltest.Until(e.t, "the broker answers for good", func() bool {
		_, err = b.Session(ctx, secret.New(token))
		refused, ok := errors.AsType[*integration.Refusal](err)
		return !ok || refused.Code != integration.CodeUnavailable
	})
	cancel()
	if err := <-done; err != nil {
		e.t.Error(err)
	}
	return err
}

func customerRole(n int) integration.Config {
	return integration.Config{Kind: integration.KindAWS, Customer: fmt.Sprintf("arn:aws:iam::222222222222:role/orders-%d", n)}
}

func TestAnInstallationGoesOnInOtherTopicsWithOtherPartitions(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *plane{"embedded Kafka": newPlane, "real Kafka": newRealPlane} {
		t.Run(name, func(t *testing.T) {
			was := newEstate(t, open(t))
			was.decide(t)
			was.follow()
			tokens, ids := map[integration.OrganizationID]string{}, map[integration.OrganizationID]integration.ID{}
			revoked := map[integration.OrganizationID]integration.Receipt{}
			for n := range 6 {
				o := integration.OrganizationID(fmt.Sprint("org-", n))
				was.send(o, "found", integration.CreateOrganization{Admin: "u-admin"})
				ids[o] = was.send(o, "create", integration.Create{Environment: "env-1", Name: "orders", Config: customerRole(n)}).Integration
				was.trusted(ids[o])
				tokens[o] = credstest.NewToken().Reveal()
				was.send(o, "bind", integration.Bind{Integration: ids[o], Connector: "lcc-1", TokenClaim: integration.ClaimToken(o, ids[o], "lcc-1", tokens[o])})
				revoked[o] = was.send(o, "revoke", integration.RevokeSessions{Integration: ids[o]})
				was.trusted(ids[o])
			}
			was.send("org-0", "gone", integration.Create{Environment: "env-2", Name: "gone", Config: customerRole(99)})

			path := filepath.Join(t.TempDir(), "state.jsonl")
			if got := was.want(0, "state", "export", path); !strings.Contains(got.out, "Exported 6 organizations, 7 integrations, 0 accounts and 25 receipts.") {
				t.Errorf("got %q", got.out)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("got %v, %v, want a file for its owner alone", info.Mode(), err)
			}
			was.want(5, "state", "export", path)
			one := path + ".one"
			if got := was.want(0, "state", "export", one, "--organization", "org-3"); !strings.Contains(got.out, "Exported 1 organization, 1 integration, 0 accounts and 4 receipts.") {
				t.Errorf("got %q", got.out)
			}
			if got := was.want(4, "state", "export", one+"s", "--organization", "org-99"); got.err != "Error: "+was.topics.State()+" has no organization org-99 (not_found)\n" {
				t.Errorf("an organization that is not there: got %q", got.err)
			}
			if got := was.want(5, "state", "import", path); !strings.Contains(got.err, "deciders run") || !strings.Contains(got.err, "not empty") {
				t.Errorf("got %q", got.err)
			}

			now := newEstate(t, &plane{was.cli, events.Topics{Prefix: was.topics.Prefix + "next.", Partitions: 5}, was.seeds})
			// Its deciders' group is not that of the former ones, which still run.
			if got := now.want(0, "state", "import", path); !strings.Contains(got.out, "Imported 6 organizations, 7 integrations") {
				t.Errorf("got %q", got.out)
			}
			if got := now.want(5, "state", "import", path); !strings.Contains(got.err, "not empty") {
				t.Errorf("a second import: got %q", got.err)
			}
			now.decide(t)
			now.follow()
			for o, id := range ids {
				before, _ := was.table.Integration(id)
				after, ok := now.table.Integration(id)
				if !ok || after.ExternalID != before.ExternalID || after.Version != before.Version || after.Epoch != before.Epoch+snapshot.EpochsAhead {
					t.Fatalf("%s: got %+v, want %+v with an epoch beyond any other's", id, after, before)
				}
				if err := now.opens(tokens[o]); err != nil {
					t.Errorf("the connector's token of %s: %v", o, err)
				}
				// The same command again is recognised, another one is decided.
				if got := now.send(o, "revoke", integration.RevokeSessions{Integration: id}); got != revoked[o] {
					t.Errorf("a repeated command: got %+v, want %+v", got, revoked[o])
				}
				if got := now.send(o, "revoke again", integration.RevokeSessions{Integration: id}); got.Version != before.Version+1 {
					t.Errorf("a new command: got version %d, want %d", got.Version, before.Version+1)
				}
				if got := len(now.decisions(o)); got != 1 {
					t.Errorf("%s: got %v, want one decision", o, now.decisions(o))
				}
			}
			if err := now.opens(credstest.NewToken().Reveal()); err == nil {
				t.Error("a token that nobody has opened something")
			}
			if got := now.want(0, "state", "export", path+".again"); !strings.Contains(got.out, "7 integrations, 0 accounts and 31 receipts") {
				t.Errorf("exported again: got %q", got.out)
			}
		})
	}
}

func TestAFileIsCheckedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	e := newEstate(t, newPlane(t))
	e.decide(t)
	e.follow()
	e.send("org-1", "found", integration.CreateOrganization{Admin: "u-admin"})
	e.send("org-1", "create", integration.Create{Environment: "env-1", Name: "orders", Config: customerRole(1)})
	path := filepath.Join(t.TempDir(), "state.jsonl")
	e.want(0, "state", "export", path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.TrimSuffix(string(text), "\n")
	lines := strings.Split(whole, "\n")
	swap := func(from, to string) string {
		if !strings.Contains(whole, from) {
			t.Fatalf("%q is not in the file", from)
		}
		return strings.Replace(whole, from, to, 1)
	}
	for name, row := range map[string]struct{ text, want string }{
		"empty":             {"", "last line is missing"},
		"cut":               {strings.Join(lines[:len(lines)-1], "\n"), "last line is missing"},
		"a line is gone":    {strings.Join(append([]string{lines[0]}, lines[2:]...), "\n"), "was changed"},
		"a name is changed": {swap("orders", "0rders"), "was changed"},
		"another format":    {swap("rolebridge.state", "other"), "not a file of"},
		"a later version":   {swap(`"version":1`, `"version":2`), "version 2"},
		"an unknown field":  {swap(`"display_name"`, `"since":5,"display_name"`), "/since"},
		"an unknown status": {swap(`"status":"requested"`, `"status":"dreaming"`), "/mapping/status"},
		"a wrong type":      {swap(`"epoch":0`, `"epoch":"0"`), "/epoch"},
		"another's key":     {swap(`"key":"organization/org-1"`, `"key":"organization/org-2"`), "another's"},
		"a cursor":          {lines[0] + "\n" + `{"key":"cursor","value":{}}`, "not a record of the state"},
		"a tombstone":       {lines[0] + "\n" + `{"key":"organization/org-1","value":null}`, "is null"},
		"twice":             {strings.Join(append(lines[:2:2], lines[1:]...), "\n"), "twice"},
		"no JSON":           {lines[0] + "\nnonsense", "line 2"},
		"something behind":  {whole + "\n{}", "behind the last line"},
	} {
		broken := path + ".broken"
		if err := os.WriteFile(broken, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := e.want(2, "state", "import", broken, "--dry-run"); !strings.Contains(got.err, row.want) {
			t.Errorf("%s: got %q, want %q in it", name, got.err, row.want)
		}
	}
	e.want(0, "state", "import", path, "--dry-run")
	e.want(2, "state", "import", path+".none")
}

func TestAnExportHoldsNoHalfTransaction(t *testing.T) {
	t.Parallel()
	e := newEstate(t, newPlane(t))
	e.decide(t)
	e.follow()
	e.send("org-1", "found", integration.CreateOrganization{Admin: "u-admin"})
	e.send("org-1", "quota", integration.ConfigureOrganization{IntegrationQuota: new(5)})
	// The first record of a transaction whose others come later than the high watermark.
	o, _ := e.table.Organization("org-1")
	half := *o
	half.Quota, half.Version = 77, half.Version+1
	r, err := e.topics.OrganizationRecord(half)
	if err != nil {
		t.Fatal(err)
	}
	e.write(r)
	var text strings.Builder
	if _, err := snapshot.Export(t.Context(), e.cl, e.topics, "", time.Now(), &text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), `"integration_quota":77`) || !strings.Contains(text.String(), `"integration_quota":5`) {
		t.Errorf("got %s, want the state as of the last cursor", text.String())
	}
}

func TestADeciderThatComesDuringAnImportUndoesIt(t *testing.T) {
	t.Parallel()
	e := newEstate(t, newPlane(t))
	source := newEstate(t, &plane{e.cli, events.Topics{Prefix: "source.", Partitions: 2}, e.seeds})
	source.decide(t)
	source.follow()
	source.send("org-1", "found", integration.CreateOrganization{Admin: "u-admin"})
	var text strings.Builder
	if _, err := snapshot.Export(t.Context(), source.cl, source.topics, "", time.Now(), &text); err != nil {
		t.Fatal(err)
	}
	f, err := snapshot.Read(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	var joined bool
	cl, err := kgo.NewClient(append(snapshot.Options(e.topics, time.Minute), e.seeds, kgo.WithHooks(firstProduce(func() {
		joined = true
		member, err := kgo.NewClient(e.seeds, kgo.ConsumerGroup("g"), kgo.ConsumeTopics(e.topics.Commands()))
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(member.Close)
		admin := kadm.NewClient(e.cl)
		polltest.Until(t, "a decider has joined", func() bool {
			groups, err := admin.DescribeGroups(t.Context(), "g")
			return err == nil && len(groups["g"].Members) == 1
		})
	})))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	// Whose group is named otherwise than in the importer's settings.
	if err := snapshot.Import(t.Context(), cl, e.topics, "another", f); err == nil || !strings.Contains(err.Error(), snapshot.ErrDeciders.Error()) || !joined {
		t.Errorf("got %v, want it undone", err)
	}
	for p := range e.topics.Partitions {
		if _, err := events.Replay(t.Context(), e.cl, e.topics.State(), p, func(r *kgo.Record) error {
			t.Errorf("%s was committed", r.Key)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// firstProduce calls f when the first record is buffered.
type hook struct {
	once bool
	f    func()
}

func firstProduce(f func()) *hook { return &hook{f: f} }

// OnProduceRecordBuffered implements [kgo.HookProduceRecordBuffered].
func (h *hook) OnProduceRecordBuffered(*kgo.Record) {
	if !h.once {
		h.once = true
		h.f()
	}
}

// A digest shows an accident and not an intent: whoever writes the file writes that, too.
func TestTrustIsProvedAgainWhateverTheFileSaysOfTimes(t *testing.T) {
	t.Parallel()
	was := newEstate(t, newPlane(t))
	was.decide(t)
	was.follow()
	was.send("org-1", "found", integration.CreateOrganization{Admin: "u-admin"})
	id := was.send("org-1", "create", integration.Create{Environment: "env-1", Name: "orders", Config: customerRole(1)}).Integration
	was.trusted(id)
	i, _ := was.table.Integration(id)
	never := *i
	never.Due = time.Date(9990, 1, 1, 0, 0, 0, 0, time.UTC)
	r, err := was.topics.IntegrationRecord("org-1", id, &never)
	if err != nil {
		t.Fatal(err)
	}
	cursor, err := was.topics.CursorRecord(was.topics.Home("org-1"), events.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	was.write(r, cursor)
	path := filepath.Join(t.TempDir(), "state.jsonl")
	was.want(0, "state", "export", path)
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), `"due":"9990-`) {
		t.Fatalf("got %s, %v; want it to say never", text, err)
	}
	now := newEstate(t, &plane{was.cli, events.Topics{Prefix: "next.", Partitions: 2}, was.seeds})
	now.want(0, "state", "import", path)
	now.decide(t)
	polltest.Until(t, "trust is asked for", func() bool {
		return slices.Contains(now.decisions("org-1"), integration.TrustAsked{}.Type())
	})
}

func TestTwentyThousandIntegrationsMoveWhole(t *testing.T) {
	t.Parallel()
	e := newEstate(t, newRealPlane(t))
	var records []*kgo.Record
	add := func(r *kgo.Record, err error) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	made := time.Now().UTC().Truncate(time.Millisecond)
	const organizations, each = 20, 1000
	for n := range organizations {
		o := integration.OrganizationID(fmt.Sprint("org-", n))
		add(e.topics.OrganizationRecord(integration.Organization{
			ID: o, Version: 1, Quota: each, InsecureRoles: integration.InsecureBlock, CreatedAt: made,
			RoleBindings: []integration.RoleBinding{{Principal: "u-admin", Role: integration.OrganizationAdmin}},
		}))
		for m := range each {
			id := integration.ID(fmt.Sprintf("cspi-%02d%04d", n, m))
			add(e.topics.IntegrationRecord(o, id, &integration.Integration{
				ID: id, Organization: o, Environment: "env-1", Name: "orders", Config: customerRole(m), ExternalID: uuid.NewString(), Version: 4,
				Mapping: integration.Mapping{Status: integration.MappingReady, Attempt: 1, Platform: "arn:aws:iam::111122223333:role/" + string(id)},
				Trust:   integration.Trust{Status: integration.TrustPending, Attempt: 1, Asked: true}, Due: made.Add(2 * time.Minute),
				CreatedAt: made, CreatedBy: "u-admin", UpdatedAt: made,
			}))
		}
	}
	for p := range e.topics.Partitions {
		add(e.topics.CursorRecord(p, events.Cursor{}))
	}
	e.write(records...)

	path := filepath.Join(t.TempDir(), "state.jsonl")
	const counted = "20 organizations, 20000 integrations, 0 accounts and 0 receipts."
	if got := e.want(0, "state", "export", path); !strings.Contains(got.out, counted) {
		t.Fatalf("got %q", got.out)
	}
	next := newBox(t, &plane{e.cli, events.Topics{Prefix: e.topics.Prefix + "next.", Partitions: 5}, e.seeds})
	if got := next.want(0, "state", "import", path); !strings.Contains(got.out, counted) {
		t.Fatalf("got %q", got.out)
	}
	if got := next.want(0, "state", "export", path+".again"); !strings.Contains(got.out, counted) {
		t.Fatalf("got %q", got.out)
	}
	lines := func(path string) []string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Split(strings.TrimSpace(string(text)), "\n")
		return slices.Sorted(slices.Values(all[1 : len(all)-1])) // without the header and the last line
	}
	want, got := lines(path), lines(path+".again")
	for n := range want {
		want[n] = strings.Replace(want[n], `"epoch":0`, fmt.Sprintf(`"epoch":%d`, snapshot.EpochsAhead), 1)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d lines moved to %d others, want the same with later epochs", len(want), len(got))
	}
}

package events_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

var (
	topics = events.Topics{Prefix: "t.", Partitions: 4}
	noon   = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	aws    = integration.Config{Kind: integration.KindAWS, Customer: "arn:aws:iam::000000000001:role/customer"}
	rights = integration.RoleBinding{Principal: "u-1", Role: integration.Assigner, Scope: integration.Scope{Environment: "env-1", Integration: "cspi-00001"}}
	report = integration.Report{StartedAt: noon, FinishedAt: noon, Checks: []integration.Check{{Name: integration.CheckAccount, Outcome: integration.Pass}}}
)

// One full example of every type; the tests find out when a type has none.
var (
	quota   = 7
	overlap = int64(0)
	claim   = integration.TokenClaim{Hash: "ab", Proof: "cd", ExpiresAt: noon}
	terms   = integration.Terms{
		Workloads: []integration.Workload{
			{OIDC: integration.OIDC{Issuer: "https://i", Audience: "a", Subject: "s"}}, {SPIFFE: "spiffe://domain/workload"},
		},
		Resources: []integration.Resource{
			{S3: integration.S3Objects{Bucket: "b", Prefix: "p", Access: integration.AccessWrite}},
			{DynamoDB: integration.DynamoDBTable{Table: "t", Region: "r", Access: integration.AccessRead}},
		},
		SourceIdentity: true,
	}
	key        = integration.KeyClaim{Key: "K1", Proof: "cd", Name: "n", Description: "d", ExpiresAt: noon}
	identities = []integration.OIDC{{Issuer: "https://i", Audience: "a", Subject: "s"}}
	name       = "n"
	asks       = []integration.Ask{
		integration.CreateOrganization{Admin: "u-1"},
		integration.ConfigureOrganization{IntegrationQuota: &quota, InsecureRoles: integration.InsecureWarn},
		integration.CreateRoleBinding{RoleBinding: rights},
		integration.DeleteRoleBinding{RoleBinding: rights},
		integration.Bootstrap{Admin: "u-1", KeyClaim: key, Replace: true},
		integration.CreateAccount{Account: "u-2", Kind: integration.User, Name: "n", Description: "d", Identities: identities},
		integration.UpdateAccount{Account: "u-2", Name: &name, Description: &name, Identities: &identities},
		integration.DeleteAccount{Account: "u-2"},
		integration.CreateKey{Account: "u-2", KeyClaim: key},
		integration.DeleteKey{Key: "K1"},
		integration.Create{Environment: "env-1", Name: "n", Config: aws},
		integration.Update{Integration: "cspi-00001", Config: aws},
		integration.Validate{Integration: "cspi-00001"},
		integration.RevokeSessions{Integration: "cspi-00001"},
		integration.RotateExternalID{Integration: "cspi-00001"},
		integration.AbortRotation{Integration: "cspi-00001"},
		integration.Delete{Integration: "cspi-00001", Force: true},
		integration.Bind{Integration: "cspi-00001", Connector: "lcc-1", TokenClaim: claim, Terms: terms},
		integration.RotateToken{Integration: "cspi-00001", Connector: "lcc-1", TokenClaim: claim, Overlap: &overlap},
		integration.Unbind{Integration: "cspi-00001", Connector: "lcc-1"},
	}
	findings = []integration.Finding{
		integration.MappingWasMade{Platform: "p"},
		integration.MappingWasRefused{Reason: "r", Detail: "d", Permanent: true},
		integration.MappingWasRemoved{},
		integration.TrustWasProbed{Report: report},
		integration.SessionWasRefused{},
		integration.TimerIsDue{},
	}
	facts = []integration.Fact{
		integration.OrganizationCreated{Admin: "u-1", IntegrationQuota: 100},
		integration.OrganizationConfigured{IntegrationQuota: 1, InsecureRoles: integration.InsecureBlock},
		integration.RoleBindingCreated{RoleBinding: rights},
		integration.RoleBindingDeleted{RoleBinding: rights},
		integration.Bootstrapped{FirstKey: integration.FirstKey{Account: "u-1", Key: "K1"}},
		integration.AccountCreated{Kind: integration.User, Name: "n", Description: "d", Identities: identities, CreatedBy: "u-1"},
		integration.AccountUpdated{Name: "n", Description: "d", Identities: identities},
		integration.AccountDeleted{DeletedBy: "u-1"},
		integration.KeyCreated{KeyClaim: key, CreatedBy: "u-1"},
		integration.KeyDeleted{Key: "K1", DeletedBy: "u-1"},
		integration.Created{Environment: "env-1", Name: "n", Config: aws, ExternalID: "e", CreatedBy: "u-1"},
		integration.Updated{Config: aws},
		integration.MappingAsked{Attempt: 1, Operation: integration.RemoveMapping, Environment: "env-1", Config: aws, Platform: "p", Due: noon},
		integration.Mapped{Platform: "p"},
		integration.MappingRefused{Reason: "r", Detail: "d", Permanent: true, Due: noon},
		integration.ValidationRequested{},
		integration.TrustQuestioned{},
		integration.TrustAsked{Attempt: 2, Config: aws, Platform: "p", ExternalID: "e", Next: "n", Former: "f", Tags: true, SourceIdentity: true, Resources: terms.Resources, ResourcesLeftOut: 3, Due: noon},
		integration.Validated{Report: report, Status: integration.TrustValid, Due: noon},
		integration.TrustChanged{From: integration.TrustValid, To: integration.TrustDenied},
		integration.Bound{Connector: "lcc-1", TokenClaim: claim, Terms: terms, BoundBy: "u-1"},
		integration.TokenRotated{Connector: "lcc-1", TokenClaim: claim, OthersExpireAt: noon, RotatedBy: "u-1"},
		integration.TokensExpired{Connector: "lcc-1", Hashes: []string{"ab"}},
		integration.Unbound{Connector: "lcc-1"},
		integration.SessionsRevoked{Epoch: 3},
		integration.RotationStarted{Next: "n", StartedBy: "u-1"},
		integration.ExternalIDRotated{ExternalID: "n", Former: "e"},
		integration.ExternalIDRestored{ExternalID: "e", Next: "n"},
		integration.ExternalIDRetired{Retired: "e"},
		integration.RotationAborted{Dropped: "n", AbortedBy: "u-1"},
		integration.DeletionStarted{DeletedBy: "u-1", Forced: true},
		integration.Deleted{},
		integration.Refused{Command: "integration.create", Refusal: integration.Refusal{Code: integration.CodeQuota, Message: "m", Field: "/f"}},
	}
	notes = []events.Note{
		events.CredentialsIssued{Environment: "env-1", Connector: "lcc-1", SessionName: "lcc-1@cspi-00001", ExpiresAt: noon, Level: "store", Epoch: 2},
		events.CredentialsRefused{Environment: "env-1", Connector: "lcc-1", Code: integration.CodeDenied, Message: "m", Count: 3, Since: noon},
		events.LoginRefused{Source: "192.0.2.1", Way: "key", Key: "ADMIN1", Code: integration.CodeUnauthenticated, Count: 3, Since: noon},
		events.ChangeAsked{
			Principal: "u-admin", Credential: "key ADMIN1", Method: "DELETE", Route: "/pim/v2/integrations/{id}", Resource: "cspi-00001",
			Status: 204, Code: "ok", Request: "r-1", Command: "c-1",
		},
		events.AuditDropped{Count: 5, Since: noon},
	}
)

func codec(t testing.TB) *events.Codec {
	t.Helper()
	c, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryCommandIsReadAsItWasWritten(t *testing.T) {
	c := codec(t)
	if len(asks) != len(integration.Asks()) {
		t.Fatalf("%d examples for %d types", len(asks), len(integration.Asks()))
	}
	for _, ask := range asks {
		want := integration.Command{Source: "/cp", ID: "1", Organization: "org-1", Actor: "u-1", Time: noon, Ask: ask}
		r, err := c.CommandRecord(want)
		if err != nil {
			t.Errorf("%s: %v", ask.Type(), err)
			continue
		}
		got, err := c.Command(r)
		want.Digest = got.Digest
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", ask.Type(), got, err, want)
		}
		if r.Partition != topics.Home("org-1") || string(r.Key) != "org-1" {
			t.Errorf("%s: written to partition %d with key %q", ask.Type(), r.Partition, r.Key)
		}
	}
}

func TestEveryResultIsReadAsItWasWritten(t *testing.T) {
	c := codec(t)
	if len(findings) != len(integration.Findings()) {
		t.Fatalf("%d examples for %d types", len(findings), len(integration.Findings()))
	}
	for _, f := range findings {
		want := integration.Result{Organization: "org-1", Integration: "cspi-00001", Attempt: 3, Finding: f}
		r, err := c.ResultRecord(events.SourceTrust, want)
		if err != nil {
			t.Errorf("%s: %v", f.Type(), err)
			continue
		}
		if got, err := c.Result(r); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", f.Type(), got, err, want)
		}
	}
}

func TestEveryEventIsReadAsItWasWritten(t *testing.T) {
	c := codec(t)
	if len(facts) != len(integration.Facts()) {
		t.Fatalf("%d examples for %d types", len(facts), len(integration.Facts()))
	}
	for _, f := range facts {
		want := integration.Event{
			Organization: "org-1", Integration: "cspi-00001", Version: 4, Time: noon,
			Answers: &integration.Asked{Source: "/cp", ID: "1"}, Fact: f,
		}
		switch f.(type) {
		case integration.Refused:
			want.Version = 0
		case integration.OrganizationCreated, integration.OrganizationConfigured:
			want.Integration = ""
		}
		if integration.OfAccount(f) {
			want.Integration, want.Account = "", "u-1"
		}
		r, err := c.EventRecord(want)
		if err != nil {
			t.Errorf("%s: %v", f.Type(), err)
			continue
		}
		if got, err := c.Event(r); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", f.Type(), got, err, want)
		}
	}
}

func TestTwoRefusalsHaveTwoIDs(t *testing.T) {
	c := codec(t)
	seen := map[string]integration.Event{}
	for _, organization := range []integration.OrganizationID{"org-1", "org-2"} {
		for _, asked := range []integration.Asked{{Source: "/cp", ID: "1"}, {Source: "/cp", ID: "2"}, {Source: "/other", ID: "1"}} {
			e := integration.Event{Organization: organization, Time: noon, Answers: &asked, Fact: facts[len(facts)-1]}
			for range 2 {
				r, err := c.EventRecord(e)
				if err != nil {
					t.Fatal(err)
				}
				id := header(r, "ce_id")
				if was, ok := seen[id]; ok && (was.Organization != e.Organization || *was.Answers != asked) {
					t.Errorf("%s %+v and %s %+v: got one id, %s", was.Organization, was.Answers, e.Organization, asked, id)
				}
				seen[id] = e
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("got %d ids of 6 refusals, each written twice", len(seen))
	}
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func TestEveryAuditRecordIsReadAsItWasWritten(t *testing.T) {
	c := codec(t)
	if len(notes) != len(events.Notes()) {
		t.Fatalf("%d examples for %d types", len(notes), len(events.Notes()))
	}
	for _, n := range notes {
		for _, want := range []events.Audit{
			{Organization: "org-1", Integration: "cspi-00001", Time: noon, Note: n},
			{Time: noon, Note: n}, // of somebody whom nobody knows
		} {
			r, err := c.AuditRecord(events.SourceBroker+"/b-1", want)
			if err != nil {
				t.Errorf("%s: %v", n.Type(), err)
				continue
			}
			if got, source, err := c.Audit(r); err != nil || !reflect.DeepEqual(got, want) || source != "/rolebridge/broker/b-1" {
				t.Errorf("%s: got %+v of %s, %v; want %+v", n.Type(), got, source, err, want)
			}
			if r.Topic != topics.Audit() || string(r.Key) != string(want.Organization) {
				t.Errorf("%s: written to %s with key %q", n.Type(), r.Topic, r.Key)
			}
		}
	}
	if _, _, err := c.Audit(&kgo.Record{Value: []byte("{")}); err == nil {
		t.Error("garbage was read as an audit record")
	}
}

func TestEveryTypeHasASchemaAndEverySchemaAType(t *testing.T) {
	types := map[string]bool{"common": true}
	for _, a := range integration.Asks() {
		types[a.Type()] = true
	}
	for _, f := range integration.Findings() {
		types[f.Type()] = true
	}
	for _, f := range integration.Facts() {
		types[f.Type()] = true
	}
	for _, n := range events.Notes() {
		types[n.Type()] = true
	}
	files, err := fs.ReadDir(events.Schemas(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".json")
		if !types[name] {
			t.Errorf("schema %s describes no type", f.Name())
		}
		delete(types, name)
	}
	for name := range types {
		t.Errorf("%s has no schema", name)
	}
}

func TestAStructuredCommandIsTheSameAsABinaryOne(t *testing.T) {
	c := codec(t)
	ask := integration.Create{Environment: "env-1", Name: "n", Config: aws}
	binary, err := c.CommandRecord(integration.Command{Source: "/cp", ID: "1", Organization: "org-1", Actor: "u-1", Time: noon, Ask: ask})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	structured := &kgo.Record{
		Headers: []kgo.RecordHeader{{Key: "Content-Type", Value: []byte("application/cloudevents+json; charset=utf-8")}},
		Value: []byte(`{"specversion":"1.0","id":"1","source":"/cp","type":"integration.create","time":"2026-05-01T12:00:00Z",
			"organization":"org-1","actor":"u-1","datacontenttype":"application/json","data":` + string(data) + `}`),
	}
	want, err := c.Command(binary)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Command(structured); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestTheDigestIgnoresOrderAndSpaceOnly(t *testing.T) {
	c := codec(t)
	digest := func(actor, data string) string {
		t.Helper()
		r, err := c.CommandRecord(integration.Command{Source: "/cp", ID: "1", Organization: "o", Actor: integration.Principal(actor), Time: noon, Ask: integration.Create{Environment: "e", Name: "n"}})
		if err != nil {
			t.Fatal(err)
		}
		r.Value = []byte(data)
		cmd, err := c.Command(r)
		if err != nil {
			t.Fatal(err)
		}
		return cmd.Digest
	}
	const one = `{"environment":"e","display_name":"n","config":{"kind":"AwsIntegrationConfig"}}`
	if digest("u-1", one) != digest("u-1", ` { "display_name" : "n", "config":{"kind":"AwsIntegrationConfig"}, "environment":"e"}`) {
		t.Error("order and white space change the digest")
	}
	if digest("u-1", one) == digest("u-2", one) || digest("u-1", one) == digest("u-1", strings.Replace(one, `"n"`, `"m"`, 1)) {
		t.Error("another actor or another name has the same digest")
	}
}

func TestWhatIsNotACommandIsRefusedWithTheReason(t *testing.T) {
	c := codec(t)
	with := func(change func(r *kgo.Record)) *kgo.Record {
		r, err := c.CommandRecord(integration.Command{Source: "/cp", ID: "1", Organization: "org-1", Actor: "u-1", Time: noon, Ask: asks[4]})
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		return r
	}
	set := func(name, value string) func(*kgo.Record) {
		return func(r *kgo.Record) {
			for n, h := range r.Headers {
				if h.Key == name {
					r.Headers[n].Value = []byte(value)
				}
			}
		}
	}
	for name, tc := range map[string]struct {
		r    *kgo.Record
		want string
	}{
		"no headers": {with(func(r *kgo.Record) { r.Headers = nil }), "ce_specversion"},
		"data in a header": {with(func(r *kgo.Record) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "ce_data", Value: []byte("{}")})
		}), "ce_data"},
		"an old version":     {with(set("ce_specversion", "0.3")), "ce_specversion"},
		"no id":              {with(set("ce_id", "")), "id"},
		"no source":          {with(set("ce_source", "")), "source"},
		"no organization":    {with(set("ce_organization", "")), "organization"},
		"a bad time":         {with(set("ce_time", "yesterday")), "ce_time"},
		"an id of any bytes": {with(set("ce_id", "1\xff")), "header ce_id is not valid UTF-8"},
		"an actor's too":     {with(set("ce_actor", "u-\xc3")), "header ce_actor is not valid UTF-8"},
		"a structure of any bytes": {with(func(r *kgo.Record) {
			set("content-type", "application/cloudevents+json")(r)
			r.Value = []byte("{\"specversion\":\"1.0\",\"id\":\"1\xff\",\"source\":\"s\",\"type\":\"integration.validate\",\"organization\":\"o\",\"data\":{\"integration\":\"cspi-00001\"}}")
		}), "not valid UTF-8"},
		"a header twice":      {with(func(r *kgo.Record) { r.Headers = append(r.Headers, r.Headers[1]) }), "twice"},
		"a long attribute":    {with(set("ce_actor", strings.Repeat("x", 5000))), "actor"},
		"many headers":        {with(func(r *kgo.Record) { r.Headers = make([]kgo.RecordHeader, 1000) }), "headers"},
		"XML":                 {with(set("content-type", "text/xml")), "content type"},
		"a batch":             {with(set("content-type", "application/cloudevents-batch+json")), "content type"},
		"a result's type":     {with(set("ce_type", "mapping.ready")), "unknown type"},
		"no data":             {with(func(r *kgo.Record) { r.Value = nil }), "JSON"},
		"an array":            {with(func(r *kgo.Record) { r.Value = []byte("[]") }), "schema"},
		"a missing field":     {with(func(r *kgo.Record) { r.Value = []byte(`{"environment":"e"}`) }), "schema"},
		"a name that is huge": {with(func(r *kgo.Record) { r.Value = []byte(`{"environment":"` + strings.Repeat("e", 9000) + `"}`) }), "schema"},
		// A clock that was never set is no token without end.
		"an expiry in the year 1": {with(func(r *kgo.Record) {
			set("ce_type", "connector.bind")(r)
			digits := strings.Repeat("0", 64)
			r.Value = []byte(`{"integration":"cspi-00001","connector":"c","token_sha256":"` + digits + `","token_proof":"` + digits + `","token_expires_at":"0001-01-01T00:00:00Z"}`)
		}), "/token_expires_at"},
		"half a structure": {with(func(r *kgo.Record) {
			set("content-type", "application/cloudevents+json")(r)
			r.Value = []byte(`{"id":`)
		}), ""},
		"deeply nested arrays": {with(func(r *kgo.Record) { r.Value = []byte(strings.Repeat("[", 100_000)) }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Command(tc.r)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error about %q", err, tc.want)
			}
			if tc.want == "unknown type" && !errors.Is(err, events.ErrUnknownType) {
				t.Errorf("%v is not ErrUnknownType", err)
			}
			if err != nil && len(topics.DeadLetter(tc.r, err, noon).Headers) == 0 {
				t.Error("the dead letter has no headers")
			}
		})
	}
}

func TestStoredStateIsReadAsItWasWritten(t *testing.T) {
	i := integration.Integration{ID: "cspi-00001", Organization: "org/1", Environment: "env-1", Config: aws, Version: 2}
	asker := integration.Asker{Source: "/cp?x", ID: "a/b"}
	receipt := integration.Receipt{Organization: "org/1", Source: asker.Source, ID: asker.ID, At: noon}
	must := func(r *kgo.Record, err error) events.Stored {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		s, err := events.ReadStored(r)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := must(topics.IntegrationRecord("org/1", i.ID, &i)); s.Integration == nil || s.Integration.Organization != "org/1" || s.IntegrationID != i.ID {
		t.Errorf("integration: got %+v", s)
	}
	if s := must(topics.IntegrationRecord("org/1", i.ID, nil)); s.Integration != nil || s.IntegrationID != i.ID || s.OrganizationID != "org/1" {
		t.Errorf("tombstone: got %+v", s)
	}
	if s := must(topics.ReceiptRecord("org/1", asker, &receipt)); s.Receipt == nil || s.Asker != asker {
		t.Errorf("receipt: got %+v", s)
	}
	if s := must(topics.CursorRecord(1, events.Cursor{"a": 5})); s.Cursor["a"] != 5 {
		t.Errorf("cursor: got %+v", s)
	}
	for _, bad := range []string{"", "what/ever", "integration/only-one", "%zz"} {
		if _, err := events.ReadStored(&kgo.Record{Key: []byte(bad), Value: []byte("{}")}); err == nil {
			t.Errorf("key %q was read", bad)
		}
	}
}

func FuzzACommandNeverPanics(f *testing.F) {
	c := codec(f)
	for _, ask := range asks {
		r, err := c.CommandRecord(integration.Command{Source: "/cp", ID: "1", Organization: "org-1", Actor: "u-1", Time: noon, Ask: ask})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ask.Type(), "application/json", r.Value)
	}
	f.Add("x", "application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"integration.validate","organization":"o","data":{"integration":"cspi-00001"}}`))
	f.Fuzz(func(t *testing.T, kind, content string, value []byte) {
		r := &kgo.Record{Value: value}
		for _, h := range [][2]string{
			{"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "s"}, {"ce_type", kind}, {"ce_organization", "o"}, {"content-type", content},
		} {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
		}
		cmd, err := c.Command(r)
		if err != nil {
			return
		}
		again, err := c.CommandRecord(cmd)
		if err != nil {
			t.Fatalf("%+v was read but cannot be written: %v", cmd, err)
		}
		if back, err := c.Command(again); err != nil || back.Digest != cmd.Digest {
			t.Fatalf("written again it reads as %+v, %v", back, err)
		}
	})
}

func TestTheHomeOfAnOrganizationIsWhereJavaPutsItsKey(t *testing.T) {
	t.Parallel()
	// Of org.apache.kafka.common.utils.Utils: toPositive(murmur2(key)) % partitions, for 12 partitions.
	of := events.Topics{Partitions: 12}
	var all sync.WaitGroup
	for range 8 { // a partitioner must not be shared by two at once
		all.Go(func() {
			for key, want := range map[integration.OrganizationID]int32{"org-1": 3, "org-000042": 1, "": 9, "ä/b": 2} {
				if got := of.Home(key); got != want {
					t.Errorf("home of %q: got %d, want %d", key, got, want)
				}
			}
		})
	}
	all.Wait()
}

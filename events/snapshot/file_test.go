package snapshot_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/snapshot"
	"github.com/rolebridge/rolebridge/integration"
)

var (
	noon   = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	topics = events.Topics{Partitions: 1}
)

const digits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// contents are what a file has, and change is what a test does to them.
type contents struct {
	organization integration.Organization
	one, other   integration.Integration
	user, robot  integration.Account
	receipt      integration.Receipt
}

// sample is a file as a decider could have led to it.
func sample() *contents {
	one := integration.Integration{
		ID: "cspi-00001", Organization: "org-1", Environment: "env-1", Name: "orders",
		Config:     integration.Config{Kind: integration.KindAWS, Customer: "arn:aws:iam::222222222222:role/orders"},
		ExternalID: "6f8f5771-5090-4a26-b245-3988d9a1501b", Version: 9, Epoch: 2, CreatedAt: noon, CreatedBy: "u-1", UpdatedAt: noon,
		Mapping: integration.Mapping{Status: integration.MappingReady, Attempt: 1, Platform: "arn:aws:iam::111111111111:role/cspi-00001"},
		Trust: integration.Trust{Status: integration.TrustValid, Attempt: 3, LastValid: noon, Report: &integration.Report{
			StartedAt: noon, FinishedAt: noon, Checks: []integration.Check{{Name: integration.CheckWithExternalID, Outcome: integration.Pass}},
		}},
		Due: noon.Add(time.Hour),
		Connectors: map[integration.ConnectorID]integration.Binding{"lcc-1": {
			Tokens: []integration.Token{{Hash: digits, Proof: digits, AddedAt: noon}}, BoundAt: noon, BoundBy: "u-1",
			Terms: integration.Terms{Workloads: []integration.Workload{{SPIFFE: "spiffe://example.com/orders"}}},
		}},
		Rotation: &integration.Rotation{Phase: integration.RotationProving, Other: "0b1c2d3e-0000-4a26-b245-3988d9a1501b", StartedAt: noon, StartedBy: "u-1", Since: noon},
	}
	other := one
	other.ID, other.Name, other.ExternalID, other.Connectors, other.Rotation = "cspi-00002", "payments", "ffffffff-5090-4a26-b245-3988d9a1501b", nil, nil
	other.Config.Customer = "arn:aws:iam::222222222222:role/payments"
	other.Mapping.Platform = "arn:aws:iam::111111111111:role/cspi-00002"
	who := integration.OIDC{Issuer: "https://issuer.example.com", Audience: "rolebridge", Subject: "u"}
	return &contents{
		organization: integration.Organization{
			ID: "org-1", Version: 1, Quota: 100, InsecureRoles: integration.InsecureBlock, CreatedAt: noon,
			RoleBindings: []integration.RoleBinding{{Principal: "u-1", Role: integration.OrganizationAdmin}},
		},
		one: one, other: other,
		user: integration.Account{
			ID: "u-1", Organization: "org-1", Kind: integration.User, Name: "Ada", Identities: []integration.OIDC{who},
			Keys:    map[integration.KeyID]integration.APIKey{"ABCDEFGHIJKLMNOP": {Proof: digits, CreatedAt: noon, CreatedBy: "u-1"}},
			Version: 2, CreatedAt: noon, CreatedBy: "platform:console", UpdatedAt: noon,
		},
		robot:   integration.Account{ID: "sa-1", Organization: "org-1", Kind: integration.ServiceAccount, Name: "robot", Version: 1, CreatedAt: noon, CreatedBy: "u-1", UpdatedAt: noon},
		receipt: integration.Receipt{Organization: "\x1b[2J", Source: "/s", ID: "1", Digest: "d", At: noon, Refusal: &integration.Refusal{Code: integration.CodeNotFound, Message: "m"}},
	}
}

// lines are a header and the records, without the last line.
func (c *contents) lines(t testing.TB) ([]byte, snapshot.Counts) {
	t.Helper()
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	if err := lines.Encode(snapshot.Header{Format: snapshot.Format, Version: snapshot.Version, At: noon}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []events.Stored{
		{OrganizationID: c.organization.ID, Organization: &c.organization},
		{OrganizationID: c.user.Organization, AccountID: c.user.ID, Account: &c.user},
		{OrganizationID: c.robot.Organization, AccountID: c.robot.ID, Account: &c.robot},
		{OrganizationID: c.one.Organization, IntegrationID: c.one.ID, Integration: &c.one},
		{OrganizationID: c.other.Organization, IntegrationID: c.other.ID, Integration: &c.other},
		{OrganizationID: c.receipt.Organization, Asker: integration.Asker{Source: c.receipt.Source, ID: c.receipt.ID}, Receipt: &c.receipt},
	} {
		r, err := topics.StoredRecord(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := lines.Encode(map[string]any{"key": string(r.Key), "value": json.RawMessage(r.Value)}); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes(), snapshot.Counts{Organizations: 1, Integrations: 2, Accounts: 2, Receipts: 1}
}

func (c *contents) text(t testing.TB) []byte {
	t.Helper()
	return snapshot.Whole(c.lines(t))
}

func TestWhatNoDecisionCouldHaveMadeIsRefused(t *testing.T) {
	t.Parallel()
	if f, err := snapshot.Read(bytes.NewReader(sample().text(t))); err != nil || f.Integrations != 2 {
		t.Fatalf("a file as it should be: got %v", err)
	}
	binding := func(c *contents, change func(*integration.Binding)) {
		b := c.one.Connectors["lcc-1"]
		b.Tokens = slices.Clone(b.Tokens)
		change(&b)
		c.one.Connectors = map[integration.ConnectorID]integration.Binding{"lcc-1": b}
	}
	draft := func(i *integration.Integration) {
		i.Config.Customer, i.Trust = "", integration.Trust{Status: integration.TrustUnknown}
	}
	key := func(c *contents, id integration.KeyID, change func(*integration.APIKey)) {
		k := c.user.Keys["ABCDEFGHIJKLMNOP"]
		change(&k)
		c.user.Keys = map[integration.KeyID]integration.APIKey{id: k}
	}
	for _, row := range []struct {
		want   string
		change func(*contents)
	}{
		// the organization
		{`line 2: "organization/org%1B%5B2J": invalid_configuration: /id`, func(c *contents) { c.organization.ID = "org\x1b[2J" }},
		{`line 2: "organization/org-1": invalid_configuration: /version`, func(c *contents) { c.organization.Version = 0 }},
		{`line 2: "organization/org-1": invalid_configuration: /integration_quota`, func(c *contents) { c.organization.Quota = -1 }},
		{`invalid_configuration: /integration_quota: want 0 to 100000`, func(c *contents) { c.organization.Quota = integration.MaxQuota + 1 }},
		{`invalid_configuration: /role_bindings: name no OrganizationAdmin`, func(c *contents) { c.organization.RoleBindings = nil }},
		{`invalid_configuration: /role_bindings/1: is there twice`, func(c *contents) { c.organization.RoleBindings = slices.Repeat(c.organization.RoleBindings, 2) }},
		{`invalid_configuration: /role_bindings/0/principal: the platform's own`, func(c *contents) { c.organization.RoleBindings[0].Principal = "platform:x" }},
		{`invalid_configuration: /role_bindings: has 1001 role bindings`, func(c *contents) { c.organization.RoleBindings = slices.Repeat(c.organization.RoleBindings, 1001) }},
		{`invalid_configuration: /first_key/key`, func(c *contents) { c.organization.FirstKey = &integration.FirstKey{Account: "u-1", Key: "x"} }},
		{`line 5: "integration/org-1/cspi-X": invalid_configuration: /id`, func(c *contents) { c.one.ID = "cspi-X" }},
		{`/due: is missing: nothing would be looked at again`, func(c *contents) { c.one.Due = time.Time{} }},
		{`/due: is missing`, func(c *contents) {
			c.other.Mapping = integration.Mapping{Status: integration.MappingRequested, Attempt: 1}
			c.other.Trust, c.other.Due = integration.Trust{Status: integration.TrustUnknown}, time.Time{}
		}},
		{`/due: want none: a draft whose mapping is ready`, func(c *contents) { draft(&c.other) }},
		{`/trust/status: want unknown: a draft`, func(c *contents) {
			draft(&c.other)
			c.other.Due, c.other.Trust.Status = time.Time{}, integration.TrustValid
		}},
		{`/trust: was never asked for, and is`, func(c *contents) { draft(&c.other); c.other.Due, c.other.Trust.Asked = time.Time{}, true }},
		{`/trust: was never asked for, and is`, func(c *contents) { c.other.Trust.Again = true }},
		{`/mapping/platform: is missing`, func(c *contents) { c.one.Mapping.Platform = "" }},
		{`/mapping/platform: is missing`, func(c *contents) { c.one.Mapping = integration.Mapping{Status: integration.MappingRequested} }},
		{`/mapping/platform: want a role's ARN that ends in /cspi-00001`, func(c *contents) { c.one.Mapping.Platform = c.other.Mapping.Platform }},
		{`/mapping/platform: want a role's ARN`, func(c *contents) { c.one.Mapping.Platform = "arn:aws:iam::111111111111:user/cspi-00001" }},
		{`/mapping/platform: want 1 to 2048 characters`, func(c *contents) {
			c.other.Config, c.other.Mapping.Platform = integration.Config{Kind: integration.KindGCP, Customer: "orders@shop-1.iam.gserviceaccount.com"}, "a\nb"
		}},
		{`/environment: want 1 to 64 letters`, func(c *contents) { c.one.Environment = "env\r\n" }},
		{`/display_name: want 1 to 60 characters that can`, func(c *contents) { c.one.Name = "or\x1b[31mders" }},
		{`/display_name: want 1 to 60 characters`, func(c *contents) { c.one.Name = strings.Repeat("é", 61) }},
		{`/config/customer_iam_role_arn`, func(c *contents) { c.one.Config.Customer = "arn:aws:iam::222222222222:role/*" }},
		{`/config/customer_azure_tenant_id: want it in lower case`, func(c *contents) {
			c.other.Config = integration.Config{Kind: integration.KindAzure, Customer: "0F8FAD5B-D9CB-469F-A165-70867728950E"}
		}},
		{`/external_id: want a UUID`, func(c *contents) { c.one.ExternalID = "chosen-by-somebody" }},
		{`/external_id: want a UUID in lower case`, func(c *contents) { c.one.ExternalID = strings.ToUpper(c.one.ExternalID) }},
		{`line 5: "integration/org-1/cspi-00001": invalid_configuration: /version`, func(c *contents) { c.one.Version = -9 }},
		{`/version: want 1 to 9007199254740991`, func(c *contents) { c.one.Version = 1 << 53 }},
		{`/epoch: want 0 to 9007199254740991`, func(c *contents) { c.one.Epoch = -1 }},
		{`/epoch: 9007199254740991: want at most 9007199253692415`, func(c *contents) { c.one.Epoch = integration.MaxCount }},
		{`/mapping/attempt`, func(c *contents) { c.one.Mapping.Attempt = -1 }},
		{`/mapping/tries`, func(c *contents) { c.one.Mapping.Tries = -1 }},
		{`/trust/attempt`, func(c *contents) { c.one.Trust.Attempt = -1 }},
		{`/trust/tries`, func(c *contents) { c.one.Trust.Tries = -1 }},
		{`/trust/doubts: want 0 to 2`, func(c *contents) { c.one.Trust.Doubts = 3 }},
		{`/trust/history: has 11 changes`, func(c *contents) {
			c.one.Trust.History = slices.Repeat([]integration.Change{{At: noon, From: "valid", To: "denied"}}, 11)
		}},
		{`/rotation: only of a customer's role`, func(c *contents) {
			c.other.Rotation, c.other.Config = c.one.Rotation, integration.Config{Kind: integration.KindGCP, Customer: "orders@shop-1.iam.gserviceaccount.com"}
		}},
		{`/rotation/other_external_id: is the current one`, func(c *contents) { c.one.Rotation.Other = c.one.ExternalID }},
		{`/rotation/other_external_id: want a UUID`, func(c *contents) { c.one.Rotation.Other = "" }},
		{`/rotation/started_by`, func(c *contents) { c.one.Rotation.StartedBy = "" }},
		{`/connectors: nothing is bound to a draft`, func(c *contents) { draft(&c.one); c.one.Due, c.one.Rotation = time.Time{}, nil }},
		{`/connectors: nothing is bound to a draft, or to what is being`, func(c *contents) { c.one.Mapping.Status, c.one.Rotation = integration.MappingRemoving, nil }},
		{`/connectors: want 1 to 64 letters`, func(c *contents) {
			c.one.Connectors = map[integration.ConnectorID]integration.Binding{"l/c": {BoundBy: "u-1"}}
		}},
		{`/connectors/lcc-1/bound_by`, func(c *contents) { binding(c, func(b *integration.Binding) { b.BoundBy = "\n" }) }},
		{`/connectors/lcc-1/tokens/0/sha256: want the SHA-256`, func(c *contents) {
			binding(c, func(b *integration.Binding) { b.Tokens[0].Hash = integration.TokenHash("") })
		}},
		{`/connectors/lcc-1/tokens/0/proof`, func(c *contents) { binding(c, func(b *integration.Binding) { b.Tokens[0].Proof = "x" }) }},
		{`/connectors/lcc-1/tokens/1: is there twice`, func(c *contents) { binding(c, func(b *integration.Binding) { b.Tokens = slices.Repeat(b.Tokens, 2) }) }},
		{`/connectors/lcc-1/tokens: maxItems: got 4, want 3`, func(c *contents) { binding(c, func(b *integration.Binding) { b.Tokens = slices.Repeat(b.Tokens, 4) }) }},
		{`/connectors/lcc-1/workloads: has 6 workloads`, func(c *contents) {
			binding(c, func(b *integration.Binding) { b.Workloads = slices.Repeat(b.Workloads, 6) })
		}},
		{`/connectors/lcc-1/workloads/0/spiffe_id`, func(c *contents) {
			binding(c, func(b *integration.Binding) { b.Workloads = []integration.Workload{{SPIFFE: "spiffe://A/b"}} })
		}},
		{`/connectors/lcc-1/resources: has 21 resources`, func(c *contents) {
			binding(c, func(b *integration.Binding) {
				b.Resources = slices.Repeat([]integration.Resource{{S3: integration.S3Objects{Bucket: "bucket", Access: "read"}}}, 21)
			})
		}},
		// the accounts
		{`line 3: "account/org-1/platform:x": invalid_configuration: /id`, func(c *contents) { c.user.ID = "platform:x" }},
		{`line 3: "account/org-1/u-1": invalid_configuration: /version`, func(c *contents) { c.user.Version = 0 }},
		{`/description: want 0 to 500 characters`, func(c *contents) { c.user.Description = "a\r\nb" }},
		{`/identities/0/issuer`, func(c *contents) { c.user.Identities[0].Issuer = "http://issuer" }},
		{`/keys: want a key's id`, func(c *contents) { key(c, "x", func(*integration.APIKey) {}) }},
		{`/keys/ABCDEFGHIJKLMNOP/proof`, func(c *contents) { key(c, "ABCDEFGHIJKLMNOP", func(k *integration.APIKey) { k.Proof = "" }) }},
		{`/keys/ABCDEFGHIJKLMNOP/created_by`, func(c *contents) { key(c, "ABCDEFGHIJKLMNOP", func(k *integration.APIKey) { k.CreatedBy = "" }) }},
		{`/keys: has 11 keys`, func(c *contents) {
			for n := range 10 {
				c.user.Keys[integration.KeyID(fmt.Sprintf("ABCDEFGHIJKLMN%02d", n))] = c.user.Keys["ABCDEFGHIJKLMNOP"]
			}
		}},
		// one beside the other
		{`line 6: "integration/org-1/cspi-00002": external ID 6f8f5771-5090-4a26-b245-3988d9a1501b is that of "integration/org-1/cspi-00001" too`, func(c *contents) { c.other.ExternalID = c.one.ExternalID }},
		{`external ID 0b1c2d3e-0000-4a26-b245-3988d9a1501b is that of`, func(c *contents) { c.other.ExternalID = c.one.Rotation.Other }},
		{`line 6: "integration/org-1/cspi-00002": invalid_configuration: /config/customer_iam_role_arn: is mapped in this environment already, by cspi-00001`, func(c *contents) { c.other.Config = c.one.Config }},
		{`/connectors/lcc-1/tokens/0/sha256: is a token of cspi-00001 already`, func(c *contents) { c.other.Connectors = c.one.Connectors }},
		{`line 4: "account/org-1/sa-1": invalid_configuration: /identities/0: proves account u-1 already`, func(c *contents) { c.robot.Identities = c.user.Identities }},
		{`line 4: "account/org-1/sa-1": invalid_configuration: /keys/ABCDEFGHIJKLMNOP: is a key of account u-1 already`, func(c *contents) { c.robot.Keys = maps.Clone(c.user.Keys) }},
		// receipts
		{`line 7: "receipt/%1B%5B2J/%2Fs/1": invalid_configuration: /version`, func(c *contents) { c.receipt.Version = -1 }},
	} {
		c := sample()
		row.change(c)
		if _, err := snapshot.Read(bytes.NewReader(c.text(t))); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v, want %s", err, row.want)
		}
	}
}

func TestAFileThatWasNotCopiedAsItIsSaysSo(t *testing.T) {
	t.Parallel()
	lines, n := sample().lines(t)
	good := string(snapshot.Whole(lines, n))
	rows := strings.SplitAfter(good, "\n")
	for name, row := range map[string]struct{ text, want string }{
		"line ends of another system":      {strings.ReplaceAll(good, "\n", "\r\n"), "line 1: ends in a carriage return"},
		"one line end of another system":   {strings.Replace(good, "\n{\"organizations\"", "\r\n{\"organizations\"", 1), "line 7: ends in a carriage return"},
		"a line without end":               {rows[0] + `{"key":"` + strings.Repeat("x", 5<<20), "line 2: has 4194304 bytes or more, as no line of an export has"},
		"a later version with more in it":  {strings.Replace(good, `"version":1`, `"version":2,"shards":3`, 1), "the file has version 2, and this program reads version 1"},
		"a header with more in it":         {strings.Replace(good, `"version":1`, `"version":1,"shards":3`, 1), `line 1: not a header of rolebridge.state: json: unknown field "shards"`},
		"a last line with more in it":      {strings.Replace(good, `{"organizations"`, `{"shards":3,"organizations"`, 1), "line 8: want an object of a key and a value"},
		"a value that names a thing twice": {string(snapshot.Whole([]byte(strings.Replace(string(lines), `"epoch":2`, `"epoch":2,"epoch":3`, 1)), n)), "no canonical form"},
		"a byte order mark":                {"\ufeff" + good, "line 1: not a file of rolebridge.state"},
	} {
		if row.text == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := snapshot.Read(strings.NewReader(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %s", name, err, row.want)
		}
	}
}

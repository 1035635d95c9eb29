package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/integration"
)

const hashC, hashD = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

var (
	github = integration.Workload{OIDC: integration.OIDC{Issuer: "https://token.actions.example.com", Audience: "rolebridge", Subject: "repo:acme/sink:ref:main"}}
	spire  = integration.Workload{SPIFFE: "spiffe://acme.example/connect/orders-sink"}
	raw    = integration.Resource{S3: integration.S3Objects{Bucket: "lake", Prefix: "raw", Access: integration.AccessWrite}}
)

// lengths stands in for the cloud's policies: as long as the names in it, and bad for the bucket "bad".
func lengths(_ integration.Config, all []integration.Resource) (string, *integration.Refusal) {
	n := 0
	for at, r := range all {
		if r.S3.Bucket == "bad" {
			return "", &integration.Refusal{Code: integration.CodeInvalid, Field: fmt.Sprintf("/resources/%d/s3/bucket", at)}
		}
		n += len(r.S3.Prefix)
	}
	return strings.Repeat("p", n), nil
}

func TestABindingIsRefusedByItsField(t *testing.T) {
	w := newWorld(t)
	id := w.create(roleA)
	proof := strings.Repeat("f", 64)
	oidc := func(issuer, audience, subject string) integration.Terms {
		return integration.Terms{Workloads: []integration.Workload{github, {OIDC: integration.OIDC{Issuer: issuer, Audience: audience, Subject: subject}}}}
	}
	spiffe := func(id string) integration.Terms {
		return integration.Terms{Workloads: []integration.Workload{{SPIFFE: id}}}
	}
	prefix := func(n int) integration.Resource {
		return integration.Resource{S3: integration.S3Objects{Bucket: "b", Prefix: strings.Repeat("p", n), Access: integration.AccessRead}}
	}
	resources := func(all ...integration.Resource) integration.Terms { return integration.Terms{Resources: all} }
	for name, test := range map[string]struct {
		claim integration.TokenClaim
		terms integration.Terms
		field string
	}{
		"neither token nor workload": {integration.TokenClaim{}, resources(raw), "/token_sha256"},
		"a hash without a proof":     {integration.TokenClaim{Hash: hashA}, integration.Terms{}, "/token_proof"},
		"a proof without a hash":     {integration.TokenClaim{Proof: proof}, integration.Terms{}, "/token_sha256"},
		"an empty token":             {integration.ClaimToken("org-1", id, "lcc-1", ""), integration.Terms{}, "/token_sha256"},
		"an expiry without a token":  {integration.TokenClaim{ExpiresAt: start.Add(time.Hour)}, oidc("https://i", "a", "s"), "/token_sha256"},
		"an expiry that has passed":  {integration.TokenClaim{Hash: hashA, Proof: proof, ExpiresAt: start}, integration.Terms{}, "/token_expires_at"},
		"an expiry far away":         {integration.TokenClaim{Hash: hashA, Proof: proof, ExpiresAt: start.AddDate(11, 0, 0)}, integration.Terms{}, "/token_expires_at"},
		"an issuer in plain http":    {claimed(hashA), oidc("http://i", "a", "s"), "/workloads/1/oidc/issuer"},
		"an issuer with a user":      {claimed(hashA), oidc("https://u@i", "a", "s"), "/workloads/1/oidc/issuer"},
		"an issuer with a query":     {claimed(hashA), oidc("https://i?q", "a", "s"), "/workloads/1/oidc/issuer"},
		"an issuer with a fragment":  {claimed(hashA), oidc("https://i#f", "a", "s"), "/workloads/1/oidc/issuer"},
		"an issuer with no host":     {claimed(hashA), oidc("https:///p", "a", "s"), "/workloads/1/oidc/issuer"},
		"an issuer that is too long": {claimed(hashA), oidc("https://"+strings.Repeat("i", 512), "a", "s"), "/workloads/1/oidc/issuer"},
		"an empty audience":          {claimed(hashA), oidc("https://i", "", "s"), "/workloads/1/oidc/audience"},
		"a subject with a line feed": {claimed(hashA), oidc("https://i", "a", "s\nt"), "/workloads/1/oidc/subject"},
		"a subject with no text":     {claimed(hashA), oidc("https://i", "a", " "), "/workloads/1/oidc/subject"},
		"a workload of both kinds":   {claimed(hashA), integration.Terms{Workloads: []integration.Workload{{OIDC: github.OIDC, SPIFFE: spire.SPIFFE}}}, "/workloads/0"},
		"a workload of no kind":      {claimed(hashA), integration.Terms{Workloads: []integration.Workload{{}}}, "/workloads/0"},
		"a workload twice":           {claimed(hashA), integration.Terms{Workloads: []integration.Workload{spire, github, spire}}, "/workloads/2"},
		"a trust domain alone":       {claimed(hashA), spiffe("spiffe://acme.example"), "/workloads/0/spiffe_id"},
		"six workloads":              {claimed(hashA), integration.Terms{Workloads: slices.Repeat([]integration.Workload{spire}, 6)}, "/workloads"},
		"a resource of no kind":      {claimed(hashA), resources(raw, integration.Resource{}), "/resources/1"},
		"a resource twice":           {claimed(hashA), resources(raw, raw), "/resources/1"},
		"an unknown access":          {claimed(hashA), resources(integration.Resource{S3: integration.S3Objects{Bucket: "b", Access: "own"}}), "/resources/0/s3/access"},
		"a table without access":     {claimed(hashA), resources(integration.Resource{DynamoDB: integration.DynamoDBTable{Table: "t"}}), "/resources/0/dynamodb/access"},
		"what the cloud has not":     {claimed(hashA), resources(integration.Resource{S3: integration.S3Objects{Bucket: "bad", Access: "read"}}), "/resources/0/s3/bucket"},
		"21 resources":               {claimed(hashA), resources(slices.Repeat([]integration.Resource{raw}, 21)...), "/resources"},
		"a policy of 2,049":          {claimed(hashA), resources(prefix(2049)), "/resources"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.refused(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: test.claim, Terms: test.terms}, integration.CodeInvalid, test.field)
		})
	}
	w.t = t
	answer := w.do(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA), Terms: resources(prefix(2049))})
	if text := answer[0].Fact.(integration.Refused).Message; !strings.Contains(text, "2049") || !strings.Contains(text, "2048") {
		t.Errorf("the refusal says %q, want the size and the bound", text)
	}
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA), Terms: resources(prefix(2048))})
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-2", Terms: integration.Terms{Workloads: []integration.Workload{github, spire}}})
	if got := w.get(id).Connectors["lcc-2"]; len(got.Tokens) != 0 || len(got.Workloads) != 2 {
		t.Errorf("a connector with workload identities alone: got %+v", got)
	}
}

func TestOtherCloudsHaveNoSourceIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.mustDo(admin, integration.Create{Environment: env, Name: "n", Config: integration.Config{Kind: integration.KindGCP, Customer: account}}).Integration
	w.refused(admin, integration.Bind{
		Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA), Terms: integration.Terms{SourceIdentity: true},
	}, integration.CodeInvalid, "/source_identity")
}

// living are the hashes of a connector's tokens that have not expired.
func (w *world) living(id integration.ID, c integration.ConnectorID) (hashes []string) {
	for _, t := range w.get(id).Connectors[c].Tokens {
		if t.Alive(w.now) {
			hashes = append(hashes, t.Hash)
		}
	}
	return hashes
}

func (w *world) rotate(id integration.ID, hash string, overlap time.Duration) integration.RotateToken {
	seconds := int64(overlap / time.Second)
	return integration.RotateToken{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hash), Overlap: &seconds}
}

func TestARotatedTokenLivesOnUntilTheOverlapEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.create(roleA)
	w.mapped(id)
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	epoch := w.get(id).Epoch
	w.mustDo(admin, integration.RotateToken{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashB)})
	if got := w.living(id, "lcc-1"); !slices.Equal(got, []string{hashA, hashB}) {
		t.Errorf("after the rotation: got %v, want both", got)
	}
	if due := w.get(id).NextDue(); due.After(start.Add(integration.DefaultOverlap)) {
		t.Errorf("the timer is due at %s, want not after the overlap", due)
	}
	w.now = start.Add(integration.DefaultOverlap - time.Nanosecond)
	w.result(id, 0, integration.TimerIsDue{})
	if got := w.living(id, "lcc-1"); !slices.Equal(got, []string{hashA, hashB}) {
		t.Errorf("just before the overlap ends: got %v, want both", got)
	}
	w.now = start.Add(integration.DefaultOverlap)
	if got := w.living(id, "lcc-1"); !slices.Equal(got, []string{hashB}) {
		t.Errorf("when the overlap ends, before any timer: got %v, want the new one", got)
	}
	said := w.result(id, 0, integration.TimerIsDue{})
	want := integration.TokensExpired{Connector: "lcc-1", Hashes: []string{hashA}}
	if got, ok := said[0].Fact.(integration.TokensExpired); !ok || got.Connector != want.Connector || !slices.Equal(got.Hashes, want.Hashes) {
		t.Errorf("the timer says %+v, want %+v", said[0].Fact, want)
	}
	if got := w.get(id); len(got.Connectors["lcc-1"].Tokens) != 1 || got.Epoch != epoch {
		t.Errorf("afterwards: %+v, epoch %d; want one token, and no session lost", got.Connectors["lcc-1"], got.Epoch)
	}
	// What is forgotten may be bound again.
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-2", TokenClaim: claimed(hashA)})
}

func TestARotationWithoutOverlapEndsTheOthersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.create(roleA)
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	w.mustDo(admin, w.rotate(id, hashB, time.Hour))
	w.mustDo(admin, w.rotate(id, hashC, integration.MaxOverlap))
	for _, token := range w.get(id).Connectors["lcc-1"].Tokens {
		if token.Hash == hashA && !token.ExpiresAt.Equal(start.Add(time.Hour)) {
			t.Errorf("a longer overlap moved the end of the oldest token to %s", token.ExpiresAt)
		}
	}
	w.refused(admin, w.rotate(id, hashD, time.Hour), integration.CodeConflict, "")
	w.mustDo(admin, w.rotate(id, hashD, 0))
	if got := w.get(id).Connectors["lcc-1"].Tokens; len(got) != 1 || got[0].Hash != hashD {
		t.Errorf("got %+v, want the new token alone", got)
	}
}

func TestARotationIsRefusedByItsField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.create(roleA)
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claimed(hashA)})
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-2", TokenClaim: claimed(hashB)})
	w.refused(admin, w.rotate(id, hashA, 0), integration.CodeExists, "/token_sha256")
	w.refused(admin, w.rotate(id, hashB, 0), integration.CodeExists, "/token_sha256")
	w.refused(admin, w.rotate(id, "x", 0), integration.CodeInvalid, "/token_sha256")
	w.refused(admin, w.rotate(id, hashC, -time.Second), integration.CodeInvalid, "/overlap_seconds")
	w.refused(admin, w.rotate(id, hashC, integration.MaxOverlap+time.Second), integration.CodeInvalid, "/overlap_seconds")
	bare := w.rotate(id, hashC, 0)
	bare.Proof = ""
	w.refused(admin, bare, integration.CodeInvalid, "/token_proof")
	other := w.rotate(id, hashC, 0)
	other.Connector = "lcc-3"
	w.refused(admin, other, integration.CodeNotFound, "/connector")
	w.mustDo(admin, integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{
		Principal: "sa-reader", Role: integration.Assigner, Scope: integration.Scope{Environment: "env-2"},
	}})
	w.refused("sa-reader", w.rotate(id, hashC, 0), integration.CodeNotFound, "")
}

func TestATokenOfItsOwnLifeEndsToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.create(roleA)
	claim := claimed(hashA)
	claim.ExpiresAt = start.Add(time.Hour).In(time.FixedZone("east", 7200))
	w.mustDo(admin, integration.Bind{Integration: id, Connector: "lcc-1", TokenClaim: claim})
	w.now = start.Add(time.Hour)
	w.result(id, 0, integration.TimerIsDue{})
	b, bound := w.get(id).Connectors["lcc-1"]
	if !bound || len(b.Tokens) != 0 {
		t.Errorf("got %+v, %t; want a binding without tokens", b, bound)
	}
	w.mustDo(admin, w.rotate(id, hashB, 0))
	if got := w.living(id, "lcc-1"); !slices.Equal(got, []string{hashB}) {
		t.Errorf("after it got a new token: %v", got)
	}
}

func TestTheBindingsOfAnIntegrationFitIntoARecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.create(roleA)
	long := func(n int) integration.Workload {
		return integration.Workload{SPIFFE: fmt.Sprintf("spiffe://acme.example/%d/%s", n, strings.Repeat("x", 2000))}
	}
	for n := range integration.MaxConnectors {
		answer := w.do(admin, integration.Bind{
			Integration: id, Connector: integration.ConnectorID(fmt.Sprint("lcc-", n)),
			Terms: integration.Terms{Workloads: []integration.Workload{long(0), long(1), long(2), long(3), long(4)}},
		})
		if refused, ok := answer[0].Fact.(integration.Refused); ok {
			if refused.Code != integration.CodeQuota || n < 50 {
				t.Fatalf("binding %d: %v", n, &refused.Refusal)
			}
			return
		}
	}
	t.Error("a thousand bindings of ten thousand bytes were taken: no record of Kafka holds them")
}

func TestWhatAConnectorNeedsIsProvedAtOnceWhenItIsBound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		terms integration.Terms
		looks func(integration.TrustAsked) bool // whether an order looks at the terms; nil: there is nothing to look at
	}{
		"nothing in particular": {integration.Terms{}, nil},
		"a source identity":     {integration.Terms{SourceIdentity: true}, func(a integration.TrustAsked) bool { return a.SourceIdentity }},
		"a bucket":              {integration.Terms{Resources: []integration.Resource{raw}}, func(a integration.TrustAsked) bool { return len(a.Resources) == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.create(roleA)
			w.mapped(id)
			last := func() (asked integration.TrustAsked) {
				for _, e := range w.events {
					if fact, ok := e.Fact.(integration.TrustAsked); ok {
						asked = fact
					}
				}
				return asked
			}
			bind := func(connector integration.ConnectorID, hash string) {
				w.mustDo(admin, integration.Bind{Integration: id, Connector: connector, TokenClaim: claimed(hash), Terms: c.terms})
			}
			first := last().Attempt
			bind("lcc-1", hashA) // while a proof is on its way
			if last().Attempt != first {
				t.Fatal("the proof on its way was ordered anew")
			}
			w.result(id, first, integration.TrustWasProbed{Report: clean})
			if c.looks == nil {
				if w.get(id).Trust.Asked {
					t.Error("what is proved already is proved again")
				}
			} else {
				if !w.get(id).Trust.Asked || !c.looks(last()) {
					t.Errorf("no proof of what the connector needs follows: %+v", last())
				}
				w.result(id, last().Attempt, integration.TrustWasProbed{Report: clean})
			}
			before := last().Attempt
			w.now = w.now.Add(10 * time.Minute) // trust is valid, and its next look is far away
			bind("lcc-2", hashB)
			if last().Attempt != before+1 || !w.get(id).Trust.Asked || c.looks != nil && !c.looks(last()) {
				t.Errorf("no proof is ordered on the bind: %+v", last())
			}
			w.result(id, last().Attempt, integration.TrustWasProbed{Report: clean})
			for _, connector := range []integration.ConnectorID{"lcc-1", "lcc-2"} {
				w.mustDo(admin, integration.Unbind{Integration: id, Connector: connector})
			}
			w.mustDo(admin, integration.Validate{Integration: id})
			if c.looks != nil && c.looks(last()) {
				t.Error("what no connector needs any more is proved")
			}
		})
	}
}

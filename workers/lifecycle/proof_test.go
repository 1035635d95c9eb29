package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/integration"
)

// signed makes the bench ask for signatures, and returns a producer's key that may act as the platform.
func (b *bench) signed() signature.Key {
	b.t.Helper()
	return b.register(nil)[0]
}

// register makes the bench ask for signatures, and returns a key for each list of sources. All may act as the platform.
func (b *bench) register(sources ...[]string) []signature.Key {
	b.t.Helper()
	keys, entries := make([]signature.Key, len(sources)), make([]signature.Signer, len(sources))
	for n := range sources {
		keys[n] = signature.NewKey()
		entries[n] = signature.Signer{Name: "plane", PublicKey: keys[n].Public().String(), Actors: []string{"platform:*"}, Sources: sources[n]}
	}
	text, err := yaml.Marshal(map[string]any{"signers": entries})
	if err != nil {
		b.t.Fatal(err)
	}
	signers, err := signature.ParseSigners(text)
	if err != nil {
		b.t.Fatal(err)
	}
	b.d.proof = signature.Policy{Required: true, Signers: func() *signature.Signers { return signers }}
	return keys
}

// signedBy is the record with a signature more.
func (b *bench) signedBy(key signature.Key, r *kgo.Record) *kgo.Record {
	b.t.Helper()
	signed := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: slices.Clone(r.Headers)}
	if err := key.Sign(signed); err != nil {
		b.t.Fatal(err)
	}
	return signed
}

// refusal is the last one among records.
func (b *bench) refusal(records []*kgo.Record) (last integration.Refusal) {
	b.t.Helper()
	for _, e := range b.read(records) {
		if refused, ok := e.Fact.(integration.Refused); ok {
			last = refused.Refusal
		}
	}
	return last
}

func TestOnlyWhoHoldsTheKeyMakesAnOrganization(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	key := b.signed()
	create := func() *kgo.Record {
		return b.command("c-1", "platform:plane", org, integration.CreateOrganization{Admin: "u-admin"})
	}
	forged := b.decide(b.at(create())...)
	if got := b.events(forged); !slices.Equal(got, []string{"command.refused answers c-1"}) {
		t.Fatalf("without a signature: %v", got)
	}
	refused := b.refusal(forged)
	if refused.Code != integration.CodeUnproved {
		t.Errorf("refused as %s, want %s", refused.Code, integration.CodeUnproved)
	}
	if s, ok := b.restored().orgs[org]; ok {
		t.Errorf("the forged command left %+v in the state; want nothing, its id is the producer's", s)
	}
	// The id is still the producer's.
	if got := b.events(b.decide(b.at(b.signedBy(key, create()))...)); !slices.Equal(got, []string{"organization.created answers c-1"}) {
		t.Fatalf("signed: %v", got)
	}
	// A copy of the record is the same command.
	if got := b.events(b.decide(b.at(b.signedBy(key, create()))...)); len(got) != 0 {
		t.Errorf("the same signed command again: %v", got)
	}
	// The signer speaks for the platform and for nobody else.
	other := b.command("c-2", "u-admin", org, integration.ConfigureOrganization{InsecureRoles: integration.InsecureWarn})
	if refused := b.refusal(b.decide(b.at(b.signedBy(key, other))...)); refused.Code != integration.CodeUnproved {
		t.Errorf("as another actor: %v, want %s", refused, integration.CodeUnproved)
	}
}

// A command is one by its source and id: who could send under another's source could take the ids that are its own.
func TestARegisteredProducerTakesNoIDsOfAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keys := b.register([]string{source}, []string{"/other"}, nil)
	owner, other, unbound := keys[0], keys[1], keys[2]
	create := func() *kgo.Record {
		return b.command("c-1", "platform:plane", org, integration.CreateOrganization{Admin: "u-admin"})
	}
	for _, thief := range []signature.Key{other, unbound} {
		taken := b.decide(b.at(b.signedBy(thief, create()))...)
		if refused := b.refusal(taken); refused.Code != integration.CodeUnproved || !strings.Contains(refused.Message, "may not send commands of source") {
			t.Errorf("under another's source: %+v, want %s", refused, integration.CodeUnproved)
		}
		if s, ok := b.restored().orgs[org]; ok {
			t.Errorf("the refused command left %+v in the state; want nothing, its id is the owner's", s)
		}
	}
	if got := b.events(b.decide(b.at(b.signedBy(owner, create()))...)); !slices.Equal(got, []string{"organization.created answers c-1"}) {
		t.Errorf("the owner of the id: %v", got)
	}
}

// A copy that is kept until the receipt is dropped must not be decided a second time.
func TestAnOldSignedCommandIsNotDecidedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	key := b.signed()
	quota := 5
	copied := b.signedBy(key, b.command("c-2", "platform:plane", org, integration.ConfigureOrganization{IntegrationQuota: &quota}))
	b.decide(b.at(
		b.signedBy(key, b.command("c-1", "platform:plane", org, integration.CreateOrganization{Admin: "u-admin"})), copied)...)
	quota = 7
	b.decide(b.at(b.signedBy(key, b.command("c-3", "platform:plane", org, integration.ConfigureOrganization{IntegrationQuota: &quota})))...)
	for day := 1; day <= 10; day++ {
		b.now = b.now.Add(24 * time.Hour)
		b.decide(b.at(&kgo.Record{Topic: copied.Topic, Key: copied.Key, Value: copied.Value, Headers: copied.Headers})...)
		if o, _ := b.p.org(org).Organization(); o.Quota != 7 {
			t.Fatalf("day %d: the quota is %d: the copy was decided again", day, o.Quota)
		}
	}
	if refused := b.refusal(b.log); refused.Code != integration.CodeUnproved {
		t.Errorf("the last answer is %v, want %s: the copy was never too old", refused, integration.CodeUnproved)
	}
}

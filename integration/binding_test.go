package integration_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

func TestABindingOfBeforeIsReadAndItsTokenProvesNothing(t *testing.T) {
	t.Parallel()
	const old = `{"id":"cspi-00001","connectors":{"lcc-1":{"token_sha256":"` + hashA + `","bound_at":"2026-03-01T12:00:00Z","bound_by":"u-1"}}}`
	var i integration.Integration
	if err := json.Unmarshal([]byte(old), &i); err != nil {
		t.Fatal(err)
	}
	want := integration.Binding{Tokens: []integration.Token{{Hash: hashA, AddedAt: start}}, BoundAt: start, BoundBy: "u-1"}
	if got := i.Connectors["lcc-1"]; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, proof := range []string{"", integration.TokenProof("org-1", "cspi-00001", "lcc-1", "")} {
		if i.Connectors["lcc-1"].Tokens[0].Proves(proof) {
			t.Errorf("a token without a proof is proved by %q", proof)
		}
	}
	text, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	var again integration.Integration
	if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, i) {
		t.Errorf("written and read again: %+v, %v; want %+v", again, err, i)
	}
}

func TestAProofIsOfOneTokenForOneBinding(t *testing.T) {
	t.Parallel()
	right := integration.TokenProof("org-1", "cspi-00001", "lcc-1", "secret")
	// As computed by: printf 'rolebridge token proof 1\norg-1\ncspi-00001\nlcc-1' | openssl dgst -sha256 -hmac secret
	if want := "9a0844784bc101ef60e15869f93a8fd0b89a210d44bebe762d152996e8c76a8e"; right != want {
		t.Errorf("got %s, want %s", right, want)
	}
	for name, other := range map[string]string{
		"another organization": integration.TokenProof("org-2", "cspi-00001", "lcc-1", "secret"),
		"another integration":  integration.TokenProof("org-1", "cspi-00002", "lcc-1", "secret"),
		"another connector":    integration.TokenProof("org-1", "cspi-00001", "lcc-2", "secret"),
		"another token":        integration.TokenProof("org-1", "cspi-00001", "lcc-1", "guess"),
		"shifted parts":        integration.TokenProof("org-1\ncspi-00001", "lcc-1", "", "secret"),
		"the hash":             integration.TokenHash("secret"),
	} {
		if other == right || (integration.Token{Proof: right}).Proves(other) {
			t.Errorf("%s has the same proof", name)
		}
	}
}

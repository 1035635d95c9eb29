package examples_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// TestEveryExampleSignsWhatMustBeSigned runs the examples against a decider that decides signed commands only.
func TestEveryExampleSignsWhatMustBeSigned(t *testing.T) {
	t.Parallel()
	platform, plane := signature.NewKey(), signature.NewKey()
	signers, err := signature.ParseSigners(fmt.Appendf(nil,
		"signers:\n  - {name: platform, public_key: %s, actors: ['platform:*']}\n  - {name: plane, public_key: %s, actors: [%s], sources: [/examples/*]}\n",
		platform.Public(), plane.Public(), administrator))
	if err != nil {
		t.Fatal(err)
	}
	in := install(t, testenv.Prefix(t), testenv.Kafka(t), signature.Policy{Required: true, Signers: func() *signature.Signers { return signers }})
	in.codec = in.codec.Signing(platform)
	file := filepath.Join(t.TempDir(), "plane.pem")
	in.must(os.WriteFile(file, plane.PEM(), 0o600))
	signing := []string{"COMMAND_ID=c-1", "SIGNING_KEY=" + file, "SIGNING_KEY_ID=" + plane.Public().ID()}
	for _, e := range all() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			in := *in
			in.t = t
			argv, organization := e.command(t), in.organization(e)
			in.found(organization)
			args := []string{string(organization), "env-1", `or"ders, ä`, role}
			if got := in.run(argv, []string{"COMMAND_ID=c-1"}, args...); got.exit != integration.CodeUnproved.Answer().Exit || !strings.Contains(got.err, "refused: unproved: ") {
				t.Errorf("unsigned: got %+v, want a refusal", got)
			}
			// The refusal under the same id is there still, and is not taken for the answer.
			if got := in.run(argv, signing, args...); got.exit != 0 || !strings.HasPrefix(got.out, integration.IDPrefix) {
				t.Errorf("signed: got %+v, want an integration", got)
			}
		})
	}
}

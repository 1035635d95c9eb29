package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/rolebridge/rolebridge/internal/testenv"
)

var (
	grants     = regexp.MustCompile(`(?m)^\$ kafka-acls .*--add --allow-principal (\S+)((?: --operation \S+)+) --topic (\S+)$`)
	operations = regexp.MustCompile(`--operation (\S+)`)
)

// TestTheRightsThatThePageGivesAreEnoughAndNeeded runs an example with the ACLs of docs/COMMANDS.md, and without each of them.
func TestTheRightsThatThePageGivesAreEnoughAndNeeded(t *testing.T) {
	t.Parallel()
	kafka, operator := testenv.GuardedKafka(t, map[string]string{"control-plane": "asking"})
	in := install(t, "rolebridge.", kafka.Brokers(), nil, operator)
	in.found("org-1")
	page, err := os.ReadFile("../COMMANDS.md")
	in.must(err)
	given := grants.FindAllStringSubmatch(string(page), -1)
	if len(given) != 2 {
		t.Fatalf("found %d lines that give rights, want 2", len(given))
	}
	settings := filepath.Join(t.TempDir(), "kcat.conf")
	in.must(os.WriteFile(settings, []byte("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=control-plane\nsasl.password=asking\n"), 0o600))
	// The one that can be told from outside how to log in.
	kcat := slices.IndexFunc(all(), func(e example) bool { return e.name == "kcat" })
	argv := all()[kcat].command(t)
	ask := func() outcome {
		t.Helper()
		return in.run(argv, []string{"KCAT_CONFIG=" + settings, "COMMAND_ID=c-1", "ANSWER_WITHIN=1"}, "org-1", "env-1", "orders", role)
	}
	admin := kadm.NewClient(in.cl)
	for _, line := range given {
		if got := ask(); got.exit != 7 || got.out != "" {
			t.Errorf("without the right to %s: got %+v, want exit 7", line[3], got)
		}
		b := kadm.NewACLs().Allow(line[1]).AllowHosts().Topics(line[3]).ResourcePatternType(kadm.ACLPatternLiteral)
		var ops []kadm.ACLOperation
		for _, o := range operations.FindAllStringSubmatch(line[2], -1) {
			op, known := map[string]kadm.ACLOperation{"Read": kadm.OpRead, "Write": kadm.OpWrite, "Describe": kadm.OpDescribe}[o[1]]
			if !known {
				t.Fatalf("%q: what operation is that?", line[0])
			}
			ops = append(ops, op)
		}
		made, err := admin.CreateACLs(t.Context(), b.Operations(ops...))
		in.must(err)
		for _, r := range made {
			in.must(r.Err)
		}
	}
	if got := in.run(argv, []string{"KCAT_CONFIG=" + settings, "COMMAND_ID=c-1"}, "org-1", "env-1", "orders", role); got.exit != 0 {
		t.Errorf("with the rights of the page: got %+v", got)
	}
}

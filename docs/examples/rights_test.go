package examples_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

var (
	grants     = regexp.MustCompile(`(?m)^\$ kafka-acls .*--add --allow-principal (\S+)((?: --operation \S+)+) --topic (\S+)$`)
	operations = regexp.MustCompile(`--operation (\S+)`)
)

// TestTheRightsThatThePageGivesAreEnoughAndNeeded runs an example with the ACLs of docs/COMMANDS.md, and without each of them,
// and writes commands as those who have none.
func TestTheRightsThatThePageGivesAreEnoughAndNeeded(t *testing.T) {
	t.Parallel()
	passwords := map[string]string{"control-plane": "asking", "stranger": "passing", "reader": "looking"}
	kafka, operator := testenv.GuardedKafka(t, passwords)
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
	in.keptOut(admin, "stranger", "reader", passwords)
	for _, line := range given {
		if got := ask(); got.exit != 7 || got.out != "" {
			t.Errorf("without the right to %s: got %+v, want exit 7", line[3], got)
		}
		var ops []kadm.ACLOperation
		for _, o := range operations.FindAllStringSubmatch(line[2], -1) {
			op, known := map[string]kadm.ACLOperation{"Read": kadm.OpRead, "Write": kadm.OpWrite, "Describe": kadm.OpDescribe}[o[1]]
			if !known {
				t.Fatalf("%q: what operation is that?", line[0])
			}
			ops = append(ops, op)
		}
		allow(in, admin, line[1], line[3], ops...)
	}
	if got := in.run(argv, []string{"KCAT_CONFIG=" + settings, "COMMAND_ID=c-1"}, "org-1", "env-1", "orders", role); got.exit != 0 {
		t.Errorf("with the rights of the page: got %+v", got)
	}
}

// keptOut lets two users write a command past all clients of ours: one who has no right to the topic, and one who may read it.
// Kafka refuses both, and takes it from the second one with the right to write: that is all that was in the way.
func (in *installation) keptOut(admin *kadm.Client, stranger, reader string, passwords map[string]string) {
	in.t.Helper()
	as := func(user string) *kgo.Client {
		// Idempotence wants a right of its own, which would be refused first.
		cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(in.kafka, ",")...), kgo.DisableIdempotentWrite(),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.SASL(plain.Auth{User: user, Pass: passwords[user]}.AsMechanism()))
		in.must(err)
		in.t.Cleanup(cl.Close)
		return cl
	}
	write := func(user string) error {
		one := 1
		r, err := in.codec.CommandRecord(integration.Command{
			Source: "/kept-out", ID: user, Organization: "org-1", Actor: "platform:test", Time: time.Now(), Ask: integration.ConfigureOrganization{IntegrationQuota: &one},
		})
		in.must(err)
		ctx, cancel := context.WithTimeout(in.t.Context(), patience)
		defer cancel()
		return as(user).ProduceSync(ctx, r).FirstErr()
	}
	written := func() (users []string) {
		for _, r := range in.records(in.topics.Commands()) {
			cmd, err := in.codec.Command(r)
			in.must(err)
			if cmd.Source == "/kept-out" {
				users = append(users, cmd.ID)
			}
		}
		return users
	}
	allow(in, admin, "User:"+reader, in.topics.Commands(), kadm.OpRead, kadm.OpDescribe)
	polltest.Until(in.t, "the reader may read", func() bool {
		ends, err := kadm.NewClient(as(reader)).ListEndOffsets(in.t.Context(), in.topics.Commands())
		return err == nil && ends.Error() == nil
	})
	for _, user := range []string{stranger, reader} {
		if err := write(user); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			in.t.Errorf("a command of the %s: got %v, want Kafka's %v", user, err, kerr.TopicAuthorizationFailed)
		}
	}
	if users := written(); len(users) > 0 {
		in.t.Errorf("the topic has commands of %v, who may not write", users)
	}
	allow(in, admin, "User:"+reader, in.topics.Commands(), kadm.OpWrite)
	polltest.Until(in.t, "who may write, writes", func() bool { return write(reader) == nil })
	if users := written(); !slices.Equal(users, []string{reader}) {
		in.t.Errorf("the topic has commands of %v, want the one of the %s, who may write now", users, reader)
	}
}

func allow(in *installation, admin *kadm.Client, principal, topic string, ops ...kadm.ACLOperation) {
	in.t.Helper()
	made, err := admin.CreateACLs(in.t.Context(), kadm.NewACLs().Allow(principal).AllowHosts().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Operations(ops...))
	in.must(err)
	for _, r := range made {
		in.must(r.Err)
	}
}

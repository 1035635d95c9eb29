package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/cmd/internal/doctor"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/dlq"
	"github.com/rolebridge/rolebridge/events/hanging"
	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/events/snapshot"
	"github.com/rolebridge/rolebridge/internal/kafka"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// site is an installation in order, of which a test breaks one thing.
type site struct {
	t      *testing.T
	p      doctor.Patient
	kafka  []kgo.Opt
	client *kgo.Client
	admin  *kadm.Client
	sts    http.HandlerFunc
}

func newSite(t *testing.T, brokers []string, options ...kgo.Opt) *site {
	t.Helper()
	c := app.Defaults()
	c.Kafka.Brokers = brokers
	c.Topics.Prefix, c.Topics.Partitions = testenv.Prefix(t), 4
	s := &site{t: t, kafka: append(options, kgo.SeedBrokers(brokers...))}
	s.sts = answers(time.Now)
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.sts(w, r) }))
	t.Cleanup(sts.Close)
	c.AWS = app.AWS{
		Region: "eu-central-1", Endpoint: sts.URL, Accounts: []app.AWSAccount{{ID: "111111111111"}},
		Identities:  []string{"arn:aws:iam::111111111111:role/rolebridge/broker"},
		Credentials: sdk.NewCredentialsCache(credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")),
	}
	c.Redis.Address = miniredis.RunT(t).Addr()
	c.Broker.KeysetFile = filepath.Join(t.TempDir(), "keyset.json")
	s.must(creds.KeysetFile{Path: c.Broker.KeysetFile}.Create(t.Context()))
	cl, err := kgo.NewClient(s.kafka...)
	s.must(err)
	t.Cleanup(cl.Close)
	s.client, s.admin = cl, kadm.NewClient(cl)
	_, err = events.Apply(t.Context(), s.admin, c.Topics.Names(), 1)
	s.must(err)
	s.register(&c, "*")
	s.p = doctor.Patient{Config: c, Roles: app.Roles(), API: func(context.Context) error { return nil }}
	s.join(c.Groups()[app.Lifecycle], c.Topics.Names().Commands())
	s.join(c.Groups()[app.Mapping], c.Topics.Names().Events())
	s.join(c.Groups()[app.Trust], c.Topics.Names().Events())
	return s
}

// register makes a key that signs commands, and lets it act as actor, from sources if there are any.
func (s *site) register(c *app.Config, actor string, sources ...string) {
	s.t.Helper()
	dir, key := s.t.TempDir(), signature.NewKey()
	entry, err := signature.Signer{Name: "ours", PublicKey: key.Public().String(), Actors: []string{actor}, Sources: sources}.Entry()
	s.must(err)
	c.Commands.SigningKeyFile, c.Lifecycle.SignersFile = filepath.Join(dir, "key.pem"), filepath.Join(dir, "signers.yaml")
	s.must(os.WriteFile(c.Commands.SigningKeyFile, key.PEM(), 0o600))
	s.must(os.WriteFile(c.Lifecycle.SignersFile, entry, 0o600))
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// join runs a member of a group.
func (s *site) join(group, topic string) {
	s.t.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(s.kafka), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic))...)
	s.must(err)
	s.t.Cleanup(cl.Close)
	deadline := time.Now().Add(time.Minute)
	for {
		described, err := s.admin.DescribeGroups(s.t.Context(), group)
		if err == nil && described[group].State == "Stable" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("nobody joined %s: %v", group, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// answers is an STS whose clock is given.
func answers(clock func() time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", clock().UTC().Format(http.TimeFormat))
		fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::111111111111:assumed-role/broker/i-1</Arn>`+
			`<UserId>AROA:i-1</UserId><Account>111111111111</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
	}
}

func (s *site) examine() []doctor.Finding {
	s.t.Helper()
	var found []doctor.Finding
	s.must(s.p.Examine(s.t.Context(), func(f doctor.Finding) { found = append(found, f) }))
	return found
}

func embedded(t *testing.T, options ...kfake.Opt) []string {
	t.Helper()
	c, err := kfake.NewCluster(append(options, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func TestWhatIsInOrderIsSaidToBe(t *testing.T) {
	for _, f := range newSite(t, embedded(t)).examine() {
		if f.Verdict != doctor.OK || f.Do != "" {
			t.Errorf("in an installation in order: %+v", f)
		}
		if f.Part == "rights" && !strings.Contains(f.Found, "not Write") {
			t.Errorf("got %+v, want it to say what was not looked at", f)
		}
	}
}

func TestEachFaultIsFoundWithWhatToDo(t *testing.T) {
	for _, row := range []struct {
		name    string
		spoil   func(*site)
		part    string
		verdict doctor.Verdict
		found   string
		do      string
	}{
		{"Kafka is away", func(s *site) { s.p.Kafka.Brokers = []string{"127.0.0.1:1"} }, "kafka", doctor.Failure, "127.0.0.1:1", "kafka.brokers"},
		{"without Kafka nothing is said of topics", func(s *site) { s.p.Kafka.Brokers = []string{"127.0.0.1:1"} }, "topics", doctor.Skipped, "cannot be reached", ""},
		{"topics are missing", func(s *site) { s.p.Topics.Prefix = "other." }, "topics", doctor.Failure, "other.commands", "topics apply"},
		{"another number of partitions is set", func(s *site) { s.p.Topics.Partitions = 5 }, "topics", doctor.Failure, "partitions is 4, want 5", "topics.partitions"},
		{"a topic is set otherwise", func(s *site) {
			_, err := s.admin.AlterTopicConfigs(s.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: new("1000")}}, s.p.Topics.Names().Events())
			s.must(err)
		}, "topics", doctor.Warning, "events: retention.ms is 1000", "kafka-configs"},
		{"no decider runs", func(s *site) { s.p.Lifecycle.Group = "none" }, "lag", doctor.Failure, "no lifecycle runs", "serve --roles lifecycle"},
		{"deciders run in another group, too", func(s *site) { s.join("former", s.p.Topics.Names().Commands()) }, "lag", doctor.Warning, "group former reads", "one lifecycle.group"},
		{"a group joined that has no partition yet", func(s *site) {
			testenv.JoinGroup(s.t, s.client, "former", true, s.p.Topics.Names().Commands())
		}, "lag", doctor.Warning, "group former reads", "one lifecycle.group"},
		{"a group rebalances", func(s *site) { testenv.JoinGroup(s.t, s.client, "former", false, "t") }, "lag", doctor.Warning, "group former rebalances", "once it has settled"},
		{"nothing is signed", func(s *site) { s.p.Commands.SigningKeyFile = ""; s.p.Lifecycle.SignersFile = "" }, "signatures", doctor.Skipped, "not signed", ""},
		{"nothing is signed and it must be", func(s *site) { s.p.Commands.SigningKeyFile = ""; s.p.Lifecycle.RequireSigned = true }, "signatures", doctor.Failure, "the api signs nothing", "commands.signing_key_file"},
		{"the signing key is lost", func(s *site) { s.must(os.Remove(s.p.Commands.SigningKeyFile)) }, "signatures", doctor.Failure, "key.pem", "signing-key create"},
		{"the registered keys are broken", func(s *site) { s.must(os.WriteFile(s.p.Lifecycle.SignersFile, []byte("{"), 0o600)) }, "signatures", doctor.Failure, "signers.yaml", "go on with what they read before"},
		{"the signing key is not registered", func(s *site) {
			registered := s.p.Lifecycle.SignersFile
			s.register(&s.p.Config, "*")
			s.p.Lifecycle.SignersFile = registered
		}, "signatures", doctor.Failure, "not in", "Register MCow"},
		{"the api's key may not act as its users", func(s *site) { s.register(&s.p.Config, "platform:*") }, "signatures", doctor.Failure, "may not act as all its users", `["*"]`},
		{"the api's key may not act as service accounts", func(s *site) { s.register(&s.p.Config, "u-*") }, "signatures", doctor.Failure, "may not act as all its users", `["*"]`},
		{"the api's key may not send what comes from the api", func(s *site) { s.register(&s.p.Config, "*", "/plane") }, "signatures", doctor.Failure, "may not send", events.SourceAPI},
		{"Redis is away", func(s *site) { s.p.Redis.Address = "127.0.0.1:1" }, "redis", doctor.Failure, "127.0.0.1:1", "redis.address"},
		{"Redis is not set", func(s *site) { s.p.Redis.Address = "" }, "redis", doctor.Warning, "share no sessions", "redis.address"},
		{"the keyset is lost", func(s *site) { s.must(os.Remove(s.p.Broker.KeysetFile)) }, "keyset", doctor.Failure, "keyset.json", "keyset create"},
		{"the keyset is broken", func(s *site) { s.must(os.WriteFile(s.p.Broker.KeysetFile, []byte("{"), 0o600)) }, "keyset", doctor.Failure, "keyset", "other brokers"},
		{"AWS does not know us", func(s *site) {
			s.sts = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>not valid</Message></Error></ErrorResponse>`)
			}
		}, "aws", doctor.Failure, "InvalidClientTokenId", "default chain"},
		{"we are somebody else", func(s *site) { s.p.AWS.Identities = []string{"arn:aws:iam::111111111111:role/other"} }, "aws", doctor.Warning, "none of aws.identities", "aws.identities"},
		{"the same role in another account", func(s *site) { s.p.AWS.Identities = []string{"arn:aws:iam::222222222222:role/broker"} }, "aws", doctor.Warning, "none of aws.identities", "aws.identities"},
		{"our clock is ahead", func(s *site) {
			s.sts = answers(func() time.Time { return time.Now().Add(-2 * time.Minute) })
		}, "aws", doctor.Failure, "ahead of that of AWS", "NTP"},
		{"our clock is behind", func(s *site) {
			s.sts = answers(func() time.Time { return time.Now().Add(2 * time.Minute) })
		}, "aws", doctor.Failure, "behind that of AWS", "NTP"},
		{"the API refuses our key", func(s *site) {
			s.p.API = func(context.Context) error { return errors.New("unauthenticated") }
		}, "api", doctor.Failure, "unauthenticated", "key"},
		{"the API is not known", func(s *site) { s.p.API = nil }, "api", doctor.Skipped, "--url", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t, embedded(t))
			row.spoil(s)
			found := s.examine()
			if !slices.ContainsFunc(found, func(f doctor.Finding) bool {
				return f.Part == row.part && f.Verdict == row.verdict && strings.Contains(f.Found, row.found) && strings.Contains(f.Do, row.do) && (row.do == "") == (f.Do == "")
			}) {
				t.Errorf("got %+v, want of %s: %s with %q and advice with %q", found, row.part, row.verdict, row.found, row.do)
			}
			for _, f := range found {
				if f.Verdict == doctor.Failure && f.Part != row.part && row.verdict != doctor.Skipped {
					t.Errorf("beside what is broken: %+v", f)
				}
			}
		})
	}
}

func TestMissingRightsAreNamed(t *testing.T) {
	const password = "a password"
	brokers := embedded(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "admin", password), kfake.User("PLAIN", "lifecycle", password,
		kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "*", Operation: kmsg.ACLOperationRead, Pattern: kmsg.ACLResourcePatternTypeLiteral, Allow: true},
		kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "*", Operation: kmsg.ACLOperationDescribeConfigs, Pattern: kmsg.ACLResourcePatternTypeLiteral, Allow: true},
		kfake.ACL{Resource: kmsg.ACLResourceTypeGroup, Name: "*", Operation: kmsg.ACLOperationRead, Pattern: kmsg.ACLResourcePatternTypeLiteral, Allow: true},
		kfake.ACL{Resource: kmsg.ACLResourceTypeCluster, Name: "kafka-cluster", Operation: kmsg.ACLOperationDescribe, Pattern: kmsg.ACLResourcePatternTypeLiteral, Allow: true},
	))
	s := newSite(t, brokers, kgo.SASL(plain.Auth{User: "admin", Pass: password}.AsMechanism()))
	file := filepath.Join(t.TempDir(), "password")
	s.must(os.WriteFile(file, []byte(password), 0o600))
	s.p.Kafka.SASL = kafka.SASL{Mechanism: "PLAIN", User: "lifecycle", PasswordFile: file}
	s.p.Roles = []app.Role{app.Lifecycle}
	topics := s.p.Topics.Names()
	found := s.examine()
	for _, want := range []doctor.Finding{
		{
			Part: "rights", Verdict: doctor.Failure, Found: "lifecycle may not write " + topics.Commands() + ", write " + topics.Results() + ", write " +
				topics.Events() + ", write " + topics.State() + ", write " + topics.DeadLetters() + ", write transactional-id " + s.p.Groups()[app.Lifecycle] + "-, describe transactional-id " +
				s.p.Topics.Prefix + "dlq-replay, describe transactional-id " + s.p.Topics.Prefix + "state-import",
			Do: acls(s, "Write") + " --topic '" + topics.Commands() + "' --topic '" + topics.Results() + "' --topic '" + topics.Events() + "' --topic '" +
				topics.State() + "' --topic '" + topics.DeadLetters() + "' && " +
				acls(s, "Describe") + " --transactional-id '" + s.p.Topics.Prefix + "dlq-replay' --transactional-id '" +
				s.p.Topics.Prefix + "state-import' --resource-pattern-type prefixed && " +
				acls(s, "Write") + " --transactional-id '" + s.p.Groups()[app.Lifecycle] + "-' --resource-pattern-type prefixed",
		},
		{
			Part: "rights", Verdict: doctor.Warning, Found: "lifecycle may not end a transaction that hangs (docs/OPERATIONS.md, Hanging transactions)",
			Do: acls(s, "ClusterAction") + " --cluster",
		},
	} {
		if !slices.Contains(found, want) {
			t.Errorf("got %+v, want %+v", found, want)
		}
	}
	s.must(os.WriteFile(file, []byte("another"), 0o600))
	if found := s.examine(); found[0].Verdict != doctor.Failure || !strings.Contains(found[0].Do, "kafka.sasl") {
		t.Errorf("with a wrong password: %+v", found[0])
	}
}

func acls(s *site, operation string) string {
	return "kafka-acls.sh --bootstrap-server " + s.p.Kafka.Brokers[0] + " --add --allow-principal 'User:lifecycle' --operation " + operation
}

func TestTheCommandsThatGrantMissingRightsAreEnough(t *testing.T) {
	broker, operator := testenv.GuardedKafka(t, map[string]string{"worker": "secret"})
	s := newSite(t, broker.Brokers(), operator)
	file := filepath.Join(t.TempDir(), "password")
	s.must(os.WriteFile(file, []byte("secret"), 0o600))
	s.p.Kafka.SASL = kafka.SASL{Mechanism: "PLAIN", User: "worker", PasswordFile: file}
	// Alone, so that what other roles may do does not help.
	s.p.Roles = []app.Role{app.Lifecycle}
	s.grantAll()
	s.sweepsAsWorker(broker.Brokers(), operator, "a transaction that goes on is none that hangs, and all can be seen", func(found []hanging.Transaction, err error) bool {
		return err == nil && len(found) == 0 // the former one may look hanging until its markers are written
	})
	// Without the right to see the ids of the operator's verbs nothing of theirs is ever taken for forgotten.
	_, err := s.admin.DeleteACLs(t.Context(), kadm.NewACLs().TransactionalIDs(dlq.TransactionalID(s.p.Topics.Names()), snapshot.TransactionalID(s.p.Topics.Names())).
		Allow("User:worker").AllowHosts().Operations(kadm.OpDescribe).ResourcePatternType(kadm.ACLPatternPrefixed))
	s.must(err)
	s.sweepsAsWorker(broker.Brokers(), operator, "what cannot be seen is not said to hang", func(found []hanging.Transaction, err error) bool {
		return errors.Is(err, hanging.ErrUnseen) && len(found) == 0
	})
	s.grantAll()
	// Who may list all groups and describe some is told so of the rest.
	_, err = s.admin.CreateACLs(t.Context(), kadm.NewACLs().Clusters().Allow("User:worker").AllowHosts().Operations(kadm.OpDescribe).ResourcePatternType(kadm.ACLPatternLiteral))
	s.must(err)
	polltest.Until(t, "groups that may not be described are told of", func() bool {
		return slices.ContainsFunc(s.examine(), func(f doctor.Finding) bool {
			return f.Part == "lag" && f.Verdict == doctor.Warning && strings.Contains(f.Found, "nobody can tell whether other groups") && strings.HasSuffix(f.Do, "--operation Describe --group '*'")
		})
	})
	s.grantAll()
	s.p.Roles = app.Roles()
	s.grantAll()
	state := s.p.Topics.Names().State()
	_, err = s.admin.DeleteACLs(t.Context(), kadm.NewACLs().Topics(state).Allow("User:worker").AllowHosts().Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral))
	s.must(err)
	s.p.Roles = []app.Role{app.Broker}
	want := doctor.Finding{
		Part: "rights", Verdict: doctor.Failure, Found: "broker may not read " + state,
		Do: "kafka-acls.sh --bootstrap-server " + broker.Brokers()[0] + " --add --allow-principal 'User:worker' --operation Read --topic '" + state + "'",
	}
	polltest.Until(t, "the right that was taken away is named", func() bool { return slices.Contains(s.examine(), want) })
}

// grantAll does what the findings say until there are none.
func (s *site) grantAll() {
	s.t.Helper()
	// What may not be seen is compared only once it may, and a right counts a moment after it was given.
	polltest.Until(s.t, "everything is in order with the rights that it asked for", func() bool {
		ok := true
		for _, f := range s.examine() {
			ok = ok && (f.Verdict == doctor.OK || f.Verdict == doctor.Skipped)
			for line := range strings.SplitSeq(f.Do, " && ") {
				if strings.HasPrefix(line, "kafka-acls.sh ") {
					s.grant(line)
				}
			}
		}
		return ok
	})
}

// sweepsAsWorker looks for hanging transactions as lifecycle does, with the worker's rights, while an operator's verb has a
// transaction open, until the answer is right.
func (s *site) sweepsAsWorker(brokers []string, operator kgo.Opt, what string, right func([]hanging.Transaction, error) bool) {
	s.t.Helper()
	topics, where := s.p.Topics.Names(), kadm.TopicsSet{}
	for _, d := range topics.Definitions() {
		if d.Name != topics.Audit() {
			where.Add(d.Name, 0)
		}
	}
	worker, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.SASL(plain.Auth{User: "worker", Pass: "secret"}.AsMechanism()))
	s.must(err)
	defer worker.Close()
	for _, options := range [][]kgo.Opt{dlq.Options(topics), snapshot.Options(topics, time.Minute)} {
		// Open for longer than the wait below: Kafka must not end it for us.
		cl, err := kgo.NewClient(append(options, kgo.TransactionTimeout(10*time.Minute), kgo.SeedBrokers(brokers...), operator)...)
		s.must(err)
		s.must(cl.BeginTransaction())
		for topic := range where {
			s.must(cl.ProduceSync(s.t.Context(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("v")}).FirstErr())
		}
		polltest.Until(s.t, what, func() bool {
			return right(hanging.Find(s.t.Context(), kadm.NewClient(worker), where, lifecycle.Writers(topics, s.p.Groups()[app.Lifecycle])...))
		})
		s.must(cl.EndTransaction(s.t.Context(), kgo.TryAbort))
		cl.Close()
	}
}

// grant does what a command line of kafka-acls.sh would.
func (s *site) grant(line string) {
	s.t.Helper()
	acls, words := kadm.NewACLs().ResourcePatternType(kadm.ACLPatternLiteral).AllowHosts(), strings.Fields(strings.ReplaceAll(line, "'", ""))
	var topics, ids []string
	for n := range words {
		value := ""
		if n+1 < len(words) {
			value = words[n+1]
		}
		switch words[n] {
		case "--allow-principal":
			acls.Allow(value)
		case "--operation":
			op, err := kmsg.ParseACLOperation(value)
			s.must(err)
			acls.Operations(op)
		case "--topic":
			topics = append(topics, value)
			acls.Topics(topics...)
		case "--group":
			acls.Groups(value)
		case "--transactional-id":
			ids = append(ids, value)
			acls.TransactionalIDs(ids...)
		case "--cluster":
			acls.Clusters()
		case "--resource-pattern-type":
			acls.ResourcePatternType(kadm.ACLPatternPrefixed)
		}
	}
	made, err := s.admin.CreateACLs(s.t.Context(), acls)
	s.must(err)
	for _, m := range made {
		s.must(m.Err)
	}
}

func TestATransactionThatHangsIsFound(t *testing.T) {
	kafka := testenv.ForgetfulKafka(t)
	s := newSite(t, kafka.Brokers())
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.TransactionalID("gone"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	s.must(err)
	defer cl.Close()
	topics := s.p.Topics.Names()
	s.must(cl.BeginTransaction())
	s.must(cl.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Audit(), Partition: 1, Value: []byte("known")}).FirstErr())
	producer, epoch, err := cl.ProducerID(t.Context())
	s.must(err)
	kafka.Hang(t, producer, epoch, &kgo.Record{Topic: topics.State(), Partition: 2, Key: []byte("k"), Value: []byte("v")})
	s.must(cl.EndTransaction(t.Context(), kgo.TryCommit))
	want := topics.State() + "/2 cannot be read beyond offset 0"
	if found := s.examine(); !slices.ContainsFunc(found, func(f doctor.Finding) bool {
		return f.Part == "transactions" && f.Verdict == doctor.Failure && strings.Contains(f.Found, want)
	}) {
		t.Errorf("got %+v, want %q", found, want)
	}
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/events"
)

// Names in the demonstration. The account ids are of nobody.
const (
	platformAccount = "100000000001"
	customerAccount = "200000000002"
	organization    = "org-demo"
	environment     = "env-demo"
	administrator   = "u-admin"
	customerRole    = "orders-sink"
	bucket          = "customer-orders"
	ordersTopic     = "orders"
	connector       = "lcc-orders"
	region          = "us-east-1"
)

// stack is everything embedded.
type stack struct {
	options options
	log     *slog.Logger
	folder  *folder
	memory  memory

	kafka *kfake.Cluster
	redis *miniredis.Miniredis
	aws   *sandbox.Sandbox
	roles *app.App

	platform sandbox.User    // rolebridge's own identity
	customer sandbox.Account // the customer's administrator
}

// start opens the stand-ins and builds the roles; run starts them. On an error nothing stays open.
func start(ctx context.Context, o options, log *slog.Logger) (*stack, error) {
	s := &stack{options: o, log: log}
	for _, open := range []func(context.Context) error{s.openFolder, s.openKafka, s.openRedis, s.openAWS, s.buildRoles} {
		if err := open(ctx); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// openFolder recalls what an earlier run on the same folder made, or makes it up.
func (s *stack) openFolder(context.Context) (err error) {
	if s.folder, err = openFolder(s.options.data); err != nil {
		return err
	}
	if s.memory, err = s.folder.recall(); err != nil || s.memory.APIKey != "" {
		return err
	}
	s.memory = memory{APIKey: "DEMO" + rand.Text()[:12], APISecret: rand.Text() + rand.Text()}
	return s.folder.remember(s.memory)
}

func (s *stack) close() {
	if s.kafka != nil {
		s.kafka.Close()
	}
	if s.redis != nil {
		s.redis.Close()
	}
	if s.folder != nil {
		s.folder.close()
	}
}

// address is the n-th of the stack's ports on loopback.
func (s *stack) address(n int) string {
	if s.options.port == 0 {
		return "127.0.0.1:0"
	}
	return fmt.Sprintf("127.0.0.1:%d", s.options.port+n)
}

func (s *stack) openKafka(ctx context.Context) error {
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, network, s.address(2))
		}),
	}
	if !s.folder.temporary {
		options = append(options, kfake.DataDir(s.folder.file("kafka")))
	}
	var err error
	if s.kafka, err = kfake.NewCluster(options...); err != nil {
		return fmt.Errorf("embedded Kafka: %w", err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.ListenAddrs()...))
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	if _, err := events.Apply(ctx, admin, topics().Names(), 1); err != nil {
		return fmt.Errorf("embedded Kafka: %w", err)
	}
	_, err = admin.CreateTopics(ctx, 1, 1, nil, ordersTopic)
	return err
}

func topics() app.Topics {
	return app.Topics{Prefix: events.DefaultPrefix, Partitions: events.DefaultPartitions, Replication: 1}
}

func (s *stack) openRedis(context.Context) error {
	s.redis = miniredis.NewMiniRedis()
	return s.redis.Start()
}

// openAWS makes the platform's account with the one identity that rolebridge has there, and the customer's account.
func (s *stack) openAWS(ctx context.Context) error {
	config := sandbox.Defaults()
	config.Log = s.log
	if !s.folder.temporary {
		config.Dir = s.folder.file("aws")
	}
	var err error
	if s.aws, err = sandbox.New(config); err != nil {
		return err
	}
	if err := s.aws.Listen(ctx, s.address(3)); err != nil {
		return err
	}
	if _, err := s.aws.AddAccount(platformAccount); err != nil {
		return err
	}
	if s.platform, err = s.aws.AddUser(platformAccount, "rolebridge", platformPermissions); err != nil {
		return err
	}
	s.customer, err = s.aws.AddAccount(customerAccount)
	return err
}

// platformPermissions is all that rolebridge's own identity may do: make platform roles, and become them.
const platformPermissions = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":["iam:CreateRole","iam:GetRole","iam:DeleteRole","iam:UpdateAssumeRolePolicy","iam:UpdateRole","iam:TagRole","iam:ListRoleTags",
  "iam:PutRolePolicy","iam:GetRolePolicy","iam:DeleteRolePolicy","iam:ListRolePolicies","sts:AssumeRole","sts:TagSession"],
  "Resource":"arn:aws:iam::` + platformAccount + `:role/*"}]}`

// customerPermissions is what the customer lets the connector do: an S3 sink's permissions on one bucket.
func customerPermissions() (string, error) {
	document, err := policy.S3Sink(policy.S3{Partition: "aws", Bucket: bucket})
	if err != nil {
		return "", err
	}
	return string(document.JSON()), nil
}

func (s *stack) buildRoles(ctx context.Context) error {
	keyset := s.folder.file("keyset.json")
	if err := creds.WriteKeyset(ctx, keyset); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	keys := s.folder.file("keys.yaml")
	text := fmt.Sprintf("keys:\n  - key: %s\n    secret: %s\n    organization: %s\n    principal: %s\n",
		s.memory.APIKey, s.memory.APISecret, organization, administrator)
	if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
		return err
	}
	c := app.Defaults()
	c.Kafka.Brokers = s.kafka.ListenAddrs()
	c.Topics = topics()
	c.Redis.Address = s.redis.Addr()
	c.AWS = app.AWS{
		Region: region, Endpoint: s.aws.Endpoint(), Accounts: []app.AWSAccount{{ID: platformAccount}},
		Identities: []string{s.platform.ARN}, Credentials: s.platform.Key,
	}
	c.API.Listen, c.Broker.Listen, c.Telemetry.Listen = s.address(0), s.address(1), s.address(4)
	c.API.KeysFile, c.Broker.KeysetFile = keys, keyset
	c.Lifecycle.Instance, c.Lifecycle.Fresh = "devstack", true
	c.StopWithin, c.NotReadyFor = 10*time.Second, 0
	var err error
	s.roles, err = app.New(ctx, c, app.Roles(), s.log)
	return err
}

// run serves until ctx ends.
func (s *stack) run(ctx context.Context) error {
	// The roles stop first: they still need what they stand on.
	ground, sink := context.WithCancel(context.WithoutCancel(ctx))
	defer sink()
	g, ground := errgroup.WithContext(ground)
	g.Go(func() error { return s.aws.Run(ground) })
	g.Go(func() error {
		defer sink()
		return s.roles.Run(ctx)
	})
	return g.Wait()
}

// envFile writes the file that other terminals source.
func (s *stack) envFile() error {
	at := s.roles.Addresses()
	profiles, err := s.profiles()
	if err != nil {
		return err
	}
	settings, err := s.settings()
	if err != nil {
		return err
	}
	lines := [][2]string{
		{"ROLEBRIDGE_CONFIG", settings},
		{"ROLEBRIDGE_URL", "http://" + at["api"]},
		{"ROLEBRIDGE_KEY", s.memory.APIKey},
		{"ROLEBRIDGE_SECRET", s.memory.APISecret},
		{"ROLEBRIDGE_ENVIRONMENT", environment},
		{"ROLEBRIDGE_ORGANIZATION", organization},
		{"KAFKA_BROKERS", s.kafka.ListenAddrs()[0]},
		{"AWS_ENDPOINT_URL", s.aws.Endpoint()},
		{"AWS_REGION", region},
		{"AWS_DEFAULT_REGION", region},
		{"AWS_EC2_METADATA_DISABLED", "true"},
		{"AWS_SHARED_CREDENTIALS_FILE", profiles},
		{"AWS_CONTAINER_CREDENTIALS_FULL_URI", s.credentialsURL()},
		{"AWS_CONTAINER_AUTHORIZATION_TOKEN", s.memory.Token},
		{"DEVSTACK_BUCKET", bucket},
		{"ROLEBRIDGE_OPERATIONS_URL", "http://" + at["telemetry"]},
		{"DEVSTACK_METRICS", "http://" + at["telemetry"] + "/metrics"},
	}
	var text strings.Builder
	text.WriteString("# Written by devstack. It holds secrets of a sandbox, good for this sandbox only.\n" +
		"unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_CA_BUNDLE\n")
	for _, l := range lines {
		fmt.Fprintf(&text, "export %s='%s'\n", l[0], l[1])
	}
	if err := os.MkdirAll(filepath.Dir(s.options.env), 0o700); err != nil {
		return err
	}
	return os.WriteFile(s.options.env, []byte(text.String()), 0o600)
}

// Profiles of the credentials file: who somebody in another terminal may be beside the connector.
const (
	customerProfile = "customer" // aws --profile customer iam …
	platformProfile = "platform" // rolebridge's own identity, for settings
)

// profiles writes the keys of the customer's administrator and of the platform as AWS profiles, since the ordinary identity
// of another terminal is the connector's. It returns the file's full path.
func (s *stack) profiles() (path string, err error) {
	var text strings.Builder
	for _, p := range []struct {
		name string
		key  sandbox.AccessKey
	}{{customerProfile, s.customer.Root}, {platformProfile, s.platform.Key}} {
		fmt.Fprintf(&text, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", p.name, p.key.ID, p.key.Secret.Reveal())
	}
	return s.beside("aws-credentials", text.String())
}

// settings writes the settings of a process that would belong to this stack. It returns the file's full path.
func (s *stack) settings() (path string, err error) {
	keyset, err := filepath.Abs(s.folder.file("keyset.json"))
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(map[string]any{
		"kafka":  map[string]any{"brokers": s.kafka.ListenAddrs()},
		"topics": map[string]any{"prefix": topics().Prefix, "partitions": topics().Partitions, "replication": topics().Replication},
		"redis":  map[string]any{"address": s.redis.Addr()},
		"aws": map[string]any{
			"region": region, "endpoint": s.aws.Endpoint(), "profile": platformProfile,
			"accounts": []any{map[string]any{"id": platformAccount}}, "identities": []string{s.platform.ARN},
		},
		"broker":    map[string]any{"keyset_file": keyset},
		"lifecycle": map[string]any{"instance": "devstack"},
	})
	if err != nil {
		return "", err
	}
	return s.beside("rolebridge.yaml", "# Written by devstack.\n"+string(text))
}

// beside writes a file beside the env file, for its owner only, and returns its full path.
func (s *stack) beside(name, text string) (path string, err error) {
	if path, err = filepath.Abs(filepath.Join(filepath.Dir(s.options.env), name)); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func (s *stack) credentialsURL() string {
	return "http://" + s.roles.Addresses()["broker"] + creds.Path
}

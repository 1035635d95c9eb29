package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/audit"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/kafka"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/telemetry"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
	"github.com/rolebridge/rolebridge/workers/mapping"
	"github.com/rolebridge/rolebridge/workers/trust"
)

// Role is a part that a process may play. Any process may play several.
type Role string

// The roles.
const (
	API       Role = "api"
	Lifecycle Role = "lifecycle"
	Mapping   Role = "mapping"
	Trust     Role = "trust"
	Broker    Role = "broker"
)

// Roles lists all roles.
func Roles() []Role { return []Role{API, Lifecycle, Mapping, Trust, Broker} }

// ParseRoles reads a list of roles, "all" for every one.
func ParseRoles(names []string) ([]Role, error) {
	if slices.Equal(names, []string{"all"}) {
		return Roles(), nil
	}
	var roles []Role
	for _, n := range names {
		if !slices.Contains(Roles(), Role(n)) {
			return nil, fmt.Errorf("roles: %s: want some of %v, or all", n, Roles())
		}
		if !slices.Contains(roles, Role(n)) {
			roles = append(roles, Role(n))
		}
	}
	if len(roles) == 0 {
		return nil, fmt.Errorf("roles: none: want some of %v, or all", Roles())
	}
	return roles, nil
}

// Config is all that can be set in a process, part by part.
type Config struct {
	Kafka     kafka.Config     `koanf:"kafka"`
	Topics    Topics           `koanf:"topics"`
	Redis     Redis            `koanf:"redis"`
	AWS       AWS              `koanf:"aws"`
	Commands  Commands         `koanf:"commands"`
	API       APIConfig        `koanf:"api"`
	Lifecycle lifecycle.Config `koanf:"lifecycle"`
	Mapping   mapping.Config   `koanf:"mapping"`
	Trust     trust.Config     `koanf:"trust"`
	Broker    BrokerConfig     `koanf:"broker"`
	Audit     audit.Config     `koanf:"audit"`
	DryRun    DryRun           `koanf:"dry_run"`
	Telemetry Telemetry        `koanf:"telemetry"`
	// Tracer makes spans; nil makes none.
	Tracer *telemetry.Tracer `koanf:"-"`
	// StopWithin bounds an orderly stop, after NotReadyFor: a third of it for listeners to drain, the rest for transactions
	// to end and producers to flush.
	StopWithin time.Duration `koanf:"stop_within"`
	// NotReadyFor is how long a stopping process still serves while /readyz says no, so that load balancers look elsewhere:
	// longer than they need to notice.
	NotReadyFor time.Duration `koanf:"not_ready_for"`
}

// Topics says which topics an installation uses.
type Topics struct {
	Prefix     string `koanf:"prefix"`
	Partitions int32  `koanf:"partitions"`
	// Replication is the factor for topics that `rolebridge topics apply` creates; -1 is the brokers' default.
	Replication int16 `koanf:"replication"`
}

// Names returns the topics of the contract.
func (t Topics) Names() events.Topics {
	return events.Topics{Prefix: t.Prefix, Partitions: t.Partitions}
}

// Groups are the consumer groups of the roles that have one.
func (c Config) Groups() map[Role]string {
	groups := map[Role]string{Lifecycle: c.Lifecycle.Group, Mapping: c.Mapping.Group, Trust: c.Trust.Group}
	for role, set := range groups {
		groups[role] = cmp.Or(set, c.Topics.Names().Group(string(role)))
	}
	return groups
}

// Redis says how to reach the cache that brokers share. Without an address brokers share nothing, and each asks the
// cloud for itself.
type Redis struct {
	creds.RedisConfig `koanf:",squash"`
	PasswordFile      string `koanf:"password_file"`
	// WithTLS encrypts the connection, with the system's certificate authorities.
	WithTLS bool `koanf:"tls"`
}

// AWS says who we are at AWS. Our own credentials come from the SDK's default chain.
type AWS struct {
	Region string `koanf:"region"`
	// Endpoint replaces the address of every service, for stand-ins.
	Endpoint string `koanf:"endpoint"`
	// Accounts in which platform roles are made, filled in their order.
	Accounts []AWSAccount `koanf:"accounts"`
	// Path of platform roles, e.g. /rolebridge/.
	Path string `koanf:"path"`
	// Identities are the ARNs of the roles of the broker and of the trust worker: who may become a platform role.
	Identities []string `koanf:"identities"`
	// Credentials replace the SDK's default chain, for a process that embeds its own cloud.
	Credentials sdk.CredentialsProvider `koanf:"-"`
	// Profile of the AWS SDK's shared files that our identity is in; empty is the SDK's default chain.
	Profile string `koanf:"profile"`
}

// AWSAccount is one platform account.
type AWSAccount struct {
	ID string `koanf:"id"`
	// Role is assumed before IAM is asked there; empty: our own credentials are of this account.
	Role string `koanf:"role"`
}

// Commands says how commands are written: by the api, and by verbs that write to Kafka themselves.
type Commands struct {
	// SigningKeyFile is the Ed25519 key that signs them, made by `rolebridge signing-key create`. Empty: they are not signed.
	SigningKeyFile string `koanf:"signing_key_file"`
}

// Codec returns codec, or one that signs if there is a key.
func (c Commands) Codec(codec *events.Codec) (*events.Codec, error) {
	if c.SigningKeyFile == "" {
		return codec, nil
	}
	key, err := signature.ReadKey(c.SigningKeyFile)
	if err != nil {
		return nil, fmt.Errorf("commands.signing_key_file: %w", err)
	}
	return codec.Signing(key), nil
}

// APIConfig is the REST API's.
type APIConfig struct {
	api.Config      `koanf:",squash"`
	listen.Settings `koanf:",squash"`
	// KeysFile holds API keys of the operator's own, beside those of accounts; see api.ReadKeys for its shape. Empty: none.
	KeysFile string `koanf:"keys_file"`
	// OIDC says how issuers of bearer tokens are asked.
	OIDC identity.Config `koanf:"oidc"`
}

// DryRun says how an api has proofs made of what is not saved, by a trust worker, which has the identity for it. A process
// of both roles needs no settings.
type DryRun struct {
	// Settings say where a trust worker answers the api's, inside the installation; without an address: nowhere.
	listen.Settings `koanf:",squash"`
	// URL is where the api finds a trust worker; empty: in its own process, or dry runs are not offered.
	URL string `koanf:"url"`
	// TokenFile holds the text that both know.
	TokenFile string `koanf:"token_file"`
}

// BrokerConfig is the credential broker's.
type BrokerConfig struct {
	creds.Config    `koanf:",squash"`
	listen.Settings `koanf:",squash"`
	// KeysetFile is the tink keyset (JSON) that seals sessions in Redis.
	KeysetFile string `koanf:"keyset_file"`
	// KeysetKMS is the ARN of the AWS KMS key that encrypts the keyset in the file; empty: it stands there in the clear.
	KeysetKMS string `koanf:"keyset_kms"`
	// OIDC says how issuers of workloads' tokens are asked.
	OIDC identity.Config `koanf:"oidc"`
	// SPIFFE lists the authorities of workloads' certificates, by trust domain. It needs TLS.
	SPIFFE []identity.Bundle `koanf:"spiffe"`
}

// Telemetry is what a process shows of itself.
type Telemetry struct {
	// Listen is where probes and metrics answer, over plain HTTP: there is no secret in them.
	Listen string     `koanf:"listen"`
	Level  slog.Level `koanf:"log_level"`
}

func (t Telemetry) settings() listen.Settings {
	s := at(t.Listen)
	s.InsecureListen = true
	return s
}

// at is a listener with all defaults but its address.
func at(address string) listen.Settings {
	s := listen.Defaults()
	s.Listen = address
	return s
}

// Defaults suits one process of all roles on one machine, with a Kafka and a Redis beside it.
func Defaults() Config {
	host, err := os.Hostname()
	if err != nil {
		host = "rolebridge"
	}
	c := Config{
		Kafka:      kafka.Defaults(),
		Topics:     Topics{Prefix: events.DefaultPrefix, Partitions: events.DefaultPartitions, Replication: -1},
		Redis:      Redis{RedisConfig: creds.RedisDefaults()},
		AWS:        AWS{Region: "us-east-1"},
		API:        APIConfig{Config: api.Defaults(), Settings: at("127.0.0.1:8080"), OIDC: identity.Defaults()},
		Lifecycle:  lifecycle.Defaults(),
		Mapping:    mapping.Defaults(),
		Trust:      trust.Defaults(),
		Broker:     BrokerConfig{Config: creds.Defaults(), Settings: at("127.0.0.1:8081"), OIDC: identity.Defaults()},
		Audit:      audit.Defaults(),
		DryRun:     DryRun{Settings: at("")},
		Telemetry:  Telemetry{Listen: "127.0.0.1:9090"},
		StopWithin: 30 * time.Second, NotReadyFor: 3 * time.Second,
	}
	c.Lifecycle.Instance, c.Audit.Replica = host, host
	return c
}

// Validate reports all faults of the parts that these roles need, each as "path: value: what is allowed".
func (c Config) Validate(roles []Role) error {
	plays := func(some ...Role) bool {
		return slices.ContainsFunc(some, func(r Role) bool { return slices.Contains(roles, r) })
	}
	faults := []error{c.Kafka.Validate(), c.Topics.Names().Check(), c.Telemetry.settings().Validate("telemetry")}
	if c.NotReadyFor < 0 || c.NotReadyFor > time.Minute {
		faults = append(faults, fmt.Errorf("not_ready_for: %v: want 0s to 1m", c.NotReadyFor))
	}
	if c.StopWithin < time.Second || c.StopWithin > 5*time.Minute {
		faults = append(faults, fmt.Errorf("stop_within: %v: want 1s to 5m", c.StopWithin))
	}
	if plays(API) {
		faults = append(faults, c.API.Config.Validate(), c.API.Settings.Validate("api"), c.API.OIDC.Validate("api"), c.Audit.Validate())
	}
	if plays(Lifecycle) {
		lc := c.Lifecycle
		lc.Topics = c.Topics.Names()
		faults = append(faults, lc.Validate())
	}
	if plays(Mapping) {
		faults = append(faults, prefixed("aws.", c.AWS.platform().Validate()))
	}
	if plays(Mapping) {
		mc := c.Mapping
		mc.Topics = c.Topics.Names()
		faults = append(faults, mc.Validate())
	}
	if plays(Trust) {
		tc := c.Trust
		tc.Topics = c.Topics.Names()
		faults = append(faults, tc.Validate())
	}
	if plays(Trust) && c.DryRun.Listen != "" {
		faults = append(faults, c.DryRun.Settings.Validate("dry_run"))
	}
	if (plays(Trust) && c.DryRun.Listen != "" || plays(API) && c.DryRun.URL != "") && c.DryRun.TokenFile == "" {
		faults = append(faults, errors.New("dry_run.token_file: empty: want a file with the text that api and trust worker both know"))
	}
	if plays(Broker) {
		faults = append(faults, c.Broker.Config.Validate(), c.Broker.Settings.Validate("broker"), c.Broker.OIDC.Validate("broker"))
		if !plays(API) { // which has looked at it
			faults = append(faults, c.Audit.Validate())
		}
		if len(c.Broker.SPIFFE) > 0 && c.Broker.TLS.CertFile == "" {
			faults = append(faults, errors.New("broker.spiffe: without broker.tls: want a certificate for the listener: clients show theirs over TLS only"))
		}
		if c.Redis.Address != "" {
			faults = append(faults, c.Redis.Validate())
		}
		if c.Redis.Address != "" && c.Broker.KeysetFile == "" {
			faults = append(faults, errors.New("broker.keyset_file: empty: want a tink keyset to seal sessions in Redis; make one with `rolebridge keyset create`"))
		}
		if c.Broker.KeysetKMS != "" {
			if _, err := aws.ParseKMSKey(c.Broker.KeysetKMS); err != nil {
				faults = append(faults, fmt.Errorf("broker.keyset_kms: %w", err))
			}
		}
	}
	return errors.Join(faults...)
}

// platform is what the mapping worker is told of AWS.
func (c AWS) platform() aws.PlatformConfig {
	accounts := make([]aws.Account, len(c.Accounts))
	for n, of := range c.Accounts {
		accounts[n] = aws.Account{ID: of.ID, Role: of.Role}
	}
	return aws.PlatformConfig{
		Config:   aws.Config{Region: c.Region, Endpoint: c.Endpoint, Credentials: c.Credentials, Profile: c.Profile},
		Accounts: accounts, Path: c.Path, Identities: c.Identities,
	}
}

// own are the platform's accounts: where its roles are, and those of the identities that become them.
func (c AWS) own() (accounts []string) {
	for _, a := range c.Accounts {
		accounts = append(accounts, a.ID)
	}
	for _, identity := range c.Identities {
		if arn, err := policy.ParseARN(identity); err == nil && arn.Account != "" {
			accounts = append(accounts, arn.Account)
		}
	}
	slices.Sort(accounts)
	return slices.Compact(accounts)
}

// prefixed puts the path of a part in front of each of its faults.
func prefixed(path string, err error) error {
	if err == nil {
		return nil
	}
	var lines []error
	for line := range strings.Lines(err.Error()) {
		lines = append(lines, errors.New(path+strings.TrimRight(line, "\n")))
	}
	return errors.Join(lines...)
}

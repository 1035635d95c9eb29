package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/audit"
	"github.com/rolebridge/rolebridge/creds/hint"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/reload"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

var errLoading = errors.New("still loading")

// assemble builds the parts of each role.
func (a *App) assemble(ctx context.Context, roles []Role) error {
	plays := func(r Role) bool { return slices.Contains(roles, r) }
	var table *events.Table
	if plays(API) || plays(Broker) {
		table = a.table(plays(API))
	}
	for _, part := range []struct {
		role     Role
		assemble func() error
	}{
		{Lifecycle, a.lifecycle},
		{Mapping, func() error { return a.mapping(ctx) }},
		{Trust, func() error { return a.trust(ctx) }},
		{Broker, func() error { return a.broker(ctx, table) }},
		{API, func() error { return a.api(ctx, table) }},
	} {
		if plays(part.role) {
			if err := part.assemble(); err != nil {
				return err
			}
		}
	}
	return nil
}

// table is the replica of the state that the api and the broker of one process share.
func (a *App) table(receipts bool) *events.Table {
	options := []events.TableOption{events.WithLog(a.log)}
	if receipts {
		options = append(options, events.WithReceipts())
	}
	table := events.NewTable(a.config.Topics.Names(), a.kafka, options...)
	registerTable(a.reg, table)
	a.work("replica", table.Run)
	a.check("replica", func() error {
		select {
		case <-table.Ready():
			return nil
		default:
			return errLoading
		}
	})
	return table
}

func (a *App) lifecycle() error {
	c := a.config.Lifecycle
	c.Accounts = a.config.AWS.own()
	c.Topics, c.Client, c.Tracer = a.config.Topics.Names(), a.kafka, a.config.Tracer
	signatures, err := a.signatures()
	if err != nil {
		return err
	}
	c.Proof = signatures
	w, err := lifecycle.New(c, a.codec, a.log, a.reg)
	if err != nil {
		return err
	}
	a.work("lifecycle", w.Run)
	a.check("lifecycle", func() error {
		if !w.Ready() {
			return errLoading
		}
		return nil
	})
	return nil
}

// reloadSigners is how often the file of registered keys is read again.
const reloadSigners = 5 * time.Second

// signatures is how deciders judge who sends commands.
func (a *App) signatures() (signature.Policy, error) {
	c := a.config.Lifecycle
	if c.SignersFile == "" {
		return signature.Policy{}, nil
	}
	signers, err := reload.Open(func(contents [][]byte) (*signature.Signers, error) {
		return signature.ParseSigners(contents[0])
	}, c.SignersFile)
	if err != nil {
		return signature.Policy{}, fmt.Errorf("lifecycle.signers_file: %w", err)
	}
	a.work("signers", func(ctx context.Context) error {
		signers.Run(ctx, reloadSigners, func(err error) {
			if err != nil {
				a.log.ErrorContext(ctx, "signers not reloaded; those before stay", "error", err)
				return
			}
			a.log.InfoContext(ctx, "signers reloaded")
		})
		return nil
	})
	return signature.Policy{Required: c.RequireSigned, Signers: signers.Get}, nil
}

func (a *App) api(ctx context.Context, table *events.Table) error {
	keys := api.Keys{}
	if file := a.config.API.KeysFile; file != "" {
		var err error
		if keys, err = api.ReadKeys(file); err != nil {
			return err
		}
	}
	tokens, err := identity.New("api", a.config.API.OIDC, a.log, a.reg)
	if err != nil {
		return err
	}
	a.work("bearer tokens", tokens.Run)
	cl, err := kgo.NewClient(append(slices.Clone(a.kafka), api.ProducerOptions()...)...)
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	a.closers = append(a.closers, cl.Close)
	c := a.config.API.Config
	c.Accounts = a.config.AWS.own()
	if at, here := a.urls["broker"]; here && c.CredentialsURL == "" {
		c.CredentialsURL = at + creds.Path
	}
	feed, err := events.NewFeed(a.config.Topics.Names(), a.codec, a.kafka, a.log)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, feed.Close)
	a.work("events", feed.Run)
	trail, err := a.trail(API, events.SourceAPI)
	if err != nil {
		return err
	}
	options := []api.Option{api.WithTokens(tokens), api.WithEvents(feed), api.WithTrail(trail)}
	if prover, err := a.dryRuns(); err != nil {
		return err
	} else if prover != nil {
		options = append(options, api.WithDryRuns(prover))
	}
	codec, err := a.config.Commands.Codec(a.codec)
	if err != nil {
		return err
	}
	l, err := a.listen(ctx, "api", a.config.API.Settings)
	if err != nil {
		return err
	}
	server, err := api.New(c, table, api.NewProducer(cl, codec, a.log), keys, a.reg, a.log, append(options, api.WithSources(l.Sources()))...)
	if err != nil {
		return err
	}
	a.front("api", l, a.config.Tracer.Handler("api", server.Handler()))
	return nil
}

func (a *App) broker(ctx context.Context, table *events.Table) error {
	c := a.awsConfig()
	c.Region, c.Timeout = a.config.Broker.Region, a.config.Broker.Timeout
	client, err := aws.New(ctx, c)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, client.Close)
	store, err := a.store(ctx, client)
	if err != nil {
		return err
	}
	trail, err := a.trail(Broker, events.SourceBroker)
	if err != nil {
		return err
	}
	hints, err := a.hints()
	if err != nil {
		return err
	}
	tokens, err := identity.New("broker", a.config.Broker.OIDC, a.log, a.reg)
	if err != nil {
		return err
	}
	a.work("workloads' tokens", tokens.Run)
	options := []creds.Option{
		creds.WithLog(a.log), creds.WithMetrics(a.reg), creds.WithTracer(a.config.Tracer), creds.WithTrail(trail), creds.OnRefused(hints.Refused), creds.WithTokens(tokens),
	}
	var clients []listen.Option
	if len(a.config.Broker.SPIFFE) > 0 {
		bundles, err := a.bundles()
		if err != nil {
			return err
		}
		options, clients = append(options, creds.WithCertificates(bundles)), append(clients, listen.WithClients(bundles))
	}
	l, err := a.listen(ctx, "broker", a.config.Broker.Settings, clients...)
	if err != nil {
		return err
	}
	b, err := creds.New(a.config.Broker.Config, table, store, creds.FromAWS(client), append(options, creds.WithSources(l.Sources()))...)
	if err != nil {
		return err
	}
	a.work("broker", b.Run)
	a.operations.Handle("GET "+creds.ExplainPath, creds.NewExplainer(b, table))
	a.front("broker", l, b.Handler())
	return nil
}

// hints is how the broker says that trust should be proved.
func (a *App) hints() (*hint.Teller, error) {
	cl, err := kgo.NewClient(append(slices.Clone(a.kafka), hint.ProducerOptions()...)...)
	if err != nil {
		return nil, fmt.Errorf("hints: %w", err)
	}
	a.closers = append(a.closers, cl.Close)
	teller, err := hint.New(cl, a.codec, a.log, a.reg)
	if err != nil {
		return nil, err
	}
	a.work("hints", teller.Run)
	return teller, nil
}

// bundles are the authorities of workloads' certificates, as their files say.
func (a *App) bundles() (*identity.Bundles, error) {
	bundles, err := identity.OpenBundles(a.config.Broker.SPIFFE)
	if err != nil {
		return nil, err
	}
	a.work("trust bundles", func(ctx context.Context) error {
		bundles.Run(ctx, a.config.Broker.TLS.ReloadEvery, func(err error) {
			if err != nil {
				a.log.ErrorContext(ctx, "trust bundles not reloaded; those before stay", "error", err)
				return
			}
			a.log.InfoContext(ctx, "trust bundles reloaded")
		})
		return nil
	})
	return bundles, nil
}

// trail is where the broker notes who was given what, or the api who asked for what. Each has its own, so that neither takes
// the room of the other's notes.
func (a *App) trail(of Role, source string) (*audit.Trail, error) {
	cl, err := kgo.NewClient(append(slices.Clone(a.kafka), a.config.Audit.ProducerOptions()...)...)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	a.closers = append(a.closers, cl.Close)
	trail, err := audit.New(a.config.Audit, source, cl, a.codec, a.log, prometheus.WrapRegistererWith(prometheus.Labels{"role": string(of)}, a.reg))
	if err != nil {
		return nil, err
	}
	a.work("audit of the "+string(of), trail.Run)
	return trail, nil
}

// store is what the broker's replicas share. us has the key that encrypts the keyset.
func (a *App) store(ctx context.Context, us *aws.Client) (creds.Store, error) {
	c := a.config.Redis
	if c.Address == "" {
		a.log.WarnContext(ctx, "no Redis: sessions are not shared between brokers")
		return creds.NewMemory(time.Now), nil
	}
	file, err := a.config.Broker.keyset(ctx, us)
	if err != nil {
		return nil, err
	}
	keyset, sealer, err := creds.NewKeysetWatch(file, a.log, a.reg)
	if err != nil {
		return nil, err
	}
	a.work("keyset", keyset.Run)
	resolved, err := c.Resolve()
	if err != nil {
		return nil, err
	}
	store, err := creds.NewRedis(resolved, sealer, a.log)
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, func() { _ = store.Close() }) // nothing is lost with it
	return store, nil
}

// Resolve reads the password, and returns what a client needs.
func (r Redis) Resolve() (creds.RedisConfig, error) {
	c := r.RedisConfig
	if r.PasswordFile != "" {
		var err error
		if c.Password, err = secret.Read(r.PasswordFile); err != nil {
			return c, fmt.Errorf("redis.password_file: %w", err)
		}
	}
	if r.WithTLS {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return c, nil
}

// keyset is the broker's keyset; us has the key that encrypts it.
func (b BrokerConfig) keyset(ctx context.Context, us *aws.Client) (file creds.KeysetFile, err error) {
	file.Path = b.KeysetFile
	if b.KeysetKMS != "" {
		file.KMS, err = us.KMS(ctx, b.KeysetKMS)
	}
	return file, err
}

// KeysetFile is the broker's keyset. It is used until done is called.
func (c Config) KeysetFile(ctx context.Context) (file creds.KeysetFile, done func(), err error) {
	if c.Broker.KeysetKMS == "" {
		file, err = c.Broker.keyset(ctx, nil)
		return file, func() {}, err
	}
	us, err := aws.New(ctx, c.AWS.Client())
	if err != nil {
		return file, nil, err
	}
	file, err = c.Broker.keyset(ctx, us)
	return file, us.Close, err
}

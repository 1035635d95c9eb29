package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api/client"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/signature"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// signedSite is a process of api and decider that decides signed commands only, on a real Kafka.
type signedSite struct {
	t       *testing.T
	dir     string
	entries string // of the file of registered keys
	client  *kgo.Client
	codec   *events.Codec
	api     *client.Client
}

func (s *signedSite) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// register adds a new key to the file of registered keys; a source is that key's alone.
func (s *signedSite) register(name, actor, source string) (key signature.Key, path string) {
	s.t.Helper()
	key = signature.NewKey()
	s.entries += fmt.Sprintf("  - {name: %s, actors: [%q], sources: [%q], public_key: %s}\n", name, actor, source, key.Public())
	return key, s.file("signers.yaml", "signers:\n"+s.entries)
}

// ask sends a command of source, signed by key if there is one, and returns the answer.
func (s *signedSite) ask(source string, key *signature.Key, actor integration.Principal, ask integration.Ask) integration.Fact {
	s.t.Helper()
	codec := s.codec
	if key != nil {
		codec = codec.Signing(*key)
	}
	id := uuid.NewString()
	r, err := codec.CommandRecord(integration.Command{Source: source, ID: id, Organization: "org-1", Actor: actor, Time: time.Now(), Ask: ask})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), polltest.Bound)
	defer cancel()
	if err := s.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	for {
		fetches := s.client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			s.t.Fatalf("no answer to %s: %v", ask.Type(), err)
		}
		for _, r := range fetches.Records() {
			if e, err := s.codec.Event(r); err == nil && e.Answers != nil && e.Answers.ID == id {
				return e.Fact
			}
		}
	}
}

// unproved fails the test unless fact refuses a command whose producer is not proved.
func (s *signedSite) unproved(fact integration.Fact, why string) {
	s.t.Helper()
	refused, ok := fact.(integration.Refused)
	if !ok || refused.Code != integration.CodeUnproved || !strings.Contains(refused.Message, why) {
		s.t.Errorf("got %s %+v, want a refusal as %s with %q", fact.Type(), fact, integration.CodeUnproved, why)
	}
}

func openSigned(t *testing.T) (s *signedSite, plane signature.Key) {
	t.Helper()
	s = &signedSite{t: t, dir: t.TempDir()}
	c := app.Defaults()
	c.Kafka.Brokers, c.Topics.Prefix, c.Topics.Partitions, c.Topics.Replication = testenv.Kafka(t), testenv.Prefix(t), 2, 1
	var err error
	if s.codec, err = events.NewCodec(c.Topics.Names()); err != nil {
		t.Fatal(err)
	}
	if s.client, err = kgo.NewClient(kgo.SeedBrokers(c.Kafka.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumeTopics(c.Topics.Names().Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	if _, err := events.Apply(t.Context(), kadm.NewClient(s.client), c.Topics.Names(), 1); err != nil {
		t.Fatal(err)
	}
	plane, c.Lifecycle.SignersFile = s.register("plane", "platform:*", "/plane")
	own, _ := s.register("api", "*", events.SourceAPI)
	c.Lifecycle.RequireSigned, c.Lifecycle.Instance = true, testenv.Prefix(t)
	c.Commands.SigningKeyFile = s.file("api.pem", string(own.PEM()))
	const key, word = "ADMIN1", "a-secret-that-is-long-enough-for-one"
	c.API.KeysFile = s.file("keys.yaml", fmt.Sprintf("keys:\n  - {key: %s, secret: %s, organization: org-1, principal: u-admin}\n", key, word))
	c.API.Listen, c.Telemetry.Listen, c.NotReadyFor, c.API.MappedWithin = "127.0.0.1:0", "127.0.0.1:0", 0, time.Millisecond
	a, err := app.New(t.Context(), c, []app.Role{app.API, app.Lifecycle}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the stop: %v", err)
		}
	})
	if s.api, err = client.New(client.Config{URL: a.URLs()["api"], Key: key, Secret: secret.New(word)}); err != nil {
		t.Fatal(err)
	}
	return s, plane
}

func TestWithSignaturesRequiredAWriterToTheTopicActsAsNobodyElse(t *testing.T) {
	s, plane := openSigned(t)
	organization := integration.CreateOrganization{Admin: "u-admin"}
	s.unproved(s.ask("/plane", nil, "platform:plane", organization), "has no signature")
	stranger := signature.NewKey()
	s.unproved(s.ask("/plane", &stranger, "platform:plane", organization), "names no registered key")
	if fact := s.ask("/plane", &plane, "platform:plane", organization); fact.Type() != "organization.created" {
		t.Fatalf("signed by the control plane: %s %+v", fact.Type(), fact)
	}
	create := func(name string) integration.Create {
		return integration.Create{Environment: "env-1", Name: name, Config: integration.Config{Kind: integration.KindAWS}}
	}
	s.unproved(s.ask("/plane", nil, "u-admin", create("forged")), "has no signature")
	s.unproved(s.ask("/plane", &plane, "u-admin", create("forged")), "signer plane may not act as u-admin")

	// The api signs for whom it knows.
	polltest.Until(t, "the api has the organization", func() bool {
		_, err := s.api.List(t.Context(), "env-1", "")
		return err == nil
	})
	made, err := s.api.Create(t.Context(), wire.IntegrationRequestV2{
		DisplayName: "ours", Provider: "aws", Environment: wire.ReferenceRequest{ID: "env-1"}, Config: &wire.ConfigRequest{Kind: "AwsIntegrationConfig"},
	})
	if err != nil || made.DisplayName != "ours" {
		t.Errorf("through the api: %+v, %v", made, err)
	}

	// A key that is registered later counts without a restart.
	late, _ := s.register("late", "u-*", "/late")
	polltest.Until(t, "the deciders have read the file again", func() bool {
		return s.ask("/late", &late, "u-admin", create("late")).Type() == "integration.created"
	})
	// No key sends what another one's source could have sent.
	for _, source := range []string{"/plane", events.SourceAPI} {
		s.unproved(s.ask(source, &late, "u-admin", create("stolen")), "signer late may not send commands of source")
	}
}

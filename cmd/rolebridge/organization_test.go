package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// plane is a control plane's command line at a Kafka that a test owns.
type plane struct {
	*cli
	topics events.Topics
	seeds  kgo.Opt
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &plane{
		cli: &cli{env: map[string]string{envBrokers: strings.Join(cluster.ListenAddrs(), ",")}},
		// Fewer partitions than the command line assumes: what the topics are like counts.
		topics: events.Topics{Prefix: events.DefaultPrefix, Partitions: 3}, seeds: kgo.SeedBrokers(cluster.ListenAddrs()...),
	}
}

// apply makes the topics.
func (p *plane) apply(t *testing.T) {
	t.Helper()
	cl, err := kgo.NewClient(p.seeds)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := events.Apply(t.Context(), kadm.NewClient(cl), p.topics, 1); err != nil {
		t.Fatal(err)
	}
}

// decide runs the decider until the test ends.
func (p *plane) decide(t *testing.T, changes ...func(*lifecycle.Config)) {
	t.Helper()
	codec, err := events.NewCodec(p.topics)
	if err != nil {
		t.Fatal(err)
	}
	c := lifecycle.Defaults()
	c.Topics, c.Client, c.Instance, c.Fresh = p.topics, []kgo.Opt{p.seeds}, "test", true
	for _, change := range changes {
		change(&c)
	}
	w, err := lifecycle.New(c, codec, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // stopped before its Kafka
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("decider: %v", err)
		}
	})
}

func TestAnOrganizationIsMadeAndConfigured(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.apply(t)
	p.decide(t)
	if got := p.want(t, 0, "organization", "create", "org-1", "--admin", "u-admin"); got.out != "org-1: organization.created, version 1\n" {
		t.Errorf("got %q", got.out)
	}
	if got := p.want(t, 5, "organization", "create", "org-1", "--admin", "u-admin"); !strings.Contains(got.err, "organization org-1 exists") || got.out != "" {
		t.Errorf("got %q and %q", got.out, got.err)
	}
	if got := p.want(t, 0, "organization", "configure", "org-1", "--quota", "500", "--insecure-roles", "warn"); got.out != "org-1: organization.configured, version 2\n" {
		t.Errorf("got %q", got.out)
	}
	for _, wrong := range []struct {
		code int
		want string
		args string
	}{
		{4, "org-2", "configure org-2 --quota 5"},
		{2, "--admin", "create org-2"},
		{2, "--quota or --insecure-roles", "configure org-1"},
		{2, "--quota: want", "configure org-1 --quota -1"},
		{2, "--insecure-roles: want block or warn", "configure org-1 --insecure-roles perhaps"},
		{2, "arg", "create"},
	} {
		args := append([]string{"organization"}, strings.Fields(wrong.args)...)
		if got := p.want(t, wrong.code, args...); !strings.Contains(got.err, wrong.want) {
			t.Errorf("%s: got %q, want a text about %q", wrong.args, got.err, wrong.want)
		}
	}
}

func TestACommandThatNobodyAnswersIsReported(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.apply(t)
	var out, stderr bytes.Buffer
	s := streams{out: &out, err: &stderr, env: func(name string) string { return p.env[name] }}
	c := newOrganizationCreate(s, time.Second)
	c.SetArgs([]string{"org-1", "--admin", "u-admin"})
	c.SilenceUsage, c.SilenceErrors = true, true
	code := report(c, c.ExecuteContext(t.Context()), s)
	if code != 7 || !strings.Contains(stderr.String(), "not answered within 1s: is the role lifecycle running?") || out.Len() > 0 {
		t.Errorf("got exit code %d, %q and %q; want 7 and what may be wrong", code, out.String(), stderr.String())
	}
	// It was written, so it is decided once there is a decider.
	p.decide(t)
	if got := p.want(t, 5, "organization", "create", "org-1", "--admin", "u-admin"); !strings.Contains(got.err, "exists") {
		t.Errorf("got %q", got.err)
	}
}

func TestWithoutTopicsACommandIsNotWritten(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	got := p.want(t, 5, "organization", "create", "org-1", "--admin", "u-admin")
	if !strings.Contains(got.err, "topic rolebridge.events") || !strings.Contains(got.err, "rolebridge topics apply") {
		t.Errorf("got %q", got.err)
	}
}

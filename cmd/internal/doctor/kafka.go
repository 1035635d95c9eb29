package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/cmd/internal/plural"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/hanging"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// kafkaPart is the look at Kafka.
type kafkaPart struct {
	patient *Patient
	topics  events.Topics
	client  *kgo.Client
	admin   *kadm.Client
	reached bool
	missing []string // topics
	hidden  []string // topics that we may not see, there or not
}

func (p *Patient) openKafka() (*kafkaPart, error) {
	options, err := p.Kafka.Options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	return &kafkaPart{patient: p, topics: p.Topics.Names(), client: client, admin: kadm.NewClient(client)}, nil
}

// needed skips a look that makes no sense without Kafka.
func (k *kafkaPart) needed(l look) look {
	return func(ctx context.Context) ([]Finding, error) {
		if !k.reached {
			return one(skipped("Kafka cannot be reached"))
		}
		return l(ctx)
	}
}

func (k *kafkaPart) reach(ctx context.Context) ([]Finding, error) {
	brokers := strings.Join(k.patient.Kafka.Brokers, ", ")
	if err := k.client.Ping(ctx); err != nil {
		do := "Is kafka.brokers right, and may this machine connect?"
		if k.patient.Kafka.SASL.Mechanism != "" { // some brokers hang up without a word
			do = "Check kafka.brokers, and kafka.sasl: its mechanism, user and password file."
		}
		return one(failure(fmt.Sprintf("%s: %s", brokers, errText(err)), do))
	}
	k.reached = true
	m, err := k.admin.BrokerMetadata(ctx)
	if err != nil {
		return nil, err
	}
	return one(ok(fmt.Sprintf("%s, cluster %s", plural.Of(len(m.Brokers), "broker"), m.Cluster)))
}

func (k *kafkaPart) contract(ctx context.Context) ([]Finding, error) {
	var found []Finding
	have, err := events.Inspect(ctx, k.admin, k.topics, k.patient.Topics.Replication)
	if err != nil && !errors.Is(err, kerr.TopicAuthorizationFailed) {
		return nil, err
	}
	_, hidden, err2 := k.topicRights(ctx)
	if err2 != nil {
		return nil, err2
	}
	k.hidden = hidden
	k.missing = slices.DeleteFunc(have.Missing, func(name string) bool { return slices.Contains(hidden, name) })
	if err != nil {
		var lacks []right
		for _, d := range k.topics.Definitions() {
			if k.seen(d.Name) {
				lacks = append(lacks, right{kadm.OpDescribeConfigs, onTopic, d.Name})
			}
		}
		found = append(found, warning("their settings cannot be compared: "+err.Error(), k.grant(lacks)))
	}
	if len(k.missing) > 0 {
		found = append(found, failure("missing: "+strings.Join(k.missing, ", "), "Make them: rolebridge topics apply."))
	}
	for _, d := range have.Drifts {
		f := warning(d.String(), fmt.Sprintf("If that is not on purpose: kafka-configs.sh --alter --topic %s --add-config %s=%s.", d.Topic, d.Setting, d.Want))
		if d.Setting == "partitions" {
			f = failure(d.String(), "Set topics.partitions as they are: each organization lives on one partition, and others would be counted differently.")
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		text := fmt.Sprintf("all as they should be, %s", plural.Of(k.topics.Partitions, "partition"))
		if len(hidden) > 0 {
			text = fmt.Sprintf("what we may see is as it should be, %s; not %s", plural.Of(k.topics.Partitions, "partition"), strings.Join(hidden, ", "))
		}
		return one(ok(text))
	}
	return found, nil
}

// seen reports whether a topic is there and shown to us.
func (k *kafkaPart) seen(name string) bool {
	return !slices.Contains(k.missing, name) && !slices.Contains(k.hidden, name)
}

// behind looks whether somebody reads what is to be decided and carried out.
func (k *kafkaPart) behind(ctx context.Context) ([]Finding, error) {
	if len(k.missing) > 0 {
		return one(skipped("topics are missing"))
	}
	groups := k.patient.Groups()
	counting, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	var found []Finding
	for _, role := range k.patient.Roles {
		group, has := groups[role]
		if !has {
			continue
		}
		lags, err := k.admin.Lag(ctx, group)
		if err != nil {
			return found, err
		}
		lag := lags[group]
		switch err := lag.Error(); {
		case errors.Is(err, kerr.GroupIDNotFound):
			found = append(found, nobody(role, group, plural.Of(0, "record")))
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			continue // told with the rights
		case err != nil:
			return found, fmt.Errorf("group %s: %w", group, err)
		case len(lag.Members) == 0:
			found = append(found, nobody(role, group, k.waiting(counting, lag.Lag)))
		default:
			found = append(found, ok(fmt.Sprintf("%s: %s, %s behind", role, plural.Of(len(lag.Members), "worker"), k.waiting(counting, lag.Lag))))
		}
	}
	if len(found) == 0 {
		return one(skipped("the roles read no topic in a group"))
	}
	if slices.Contains(k.patient.Roles, app.Lifecycle) {
		others, err := k.otherDeciders(ctx, groups)
		return append(found, others...), err
	}
	return found, nil
}

// otherDeciders are groups beside the deciders' own that read the commands, as after a change of lifecycle.group that some have
// not heard of. A group that we may not see is not found.
func (k *kafkaPart) otherDeciders(ctx context.Context, groups map[app.Role]string) (found []Finding, err error) {
	own, commands := groups[app.Lifecycle], k.topics.Commands()
	reading, moving, err := events.Readers(ctx, k.admin, commands)
	for _, g := range reading {
		if g.Group != own {
			found = append(found, warning(fmt.Sprintf("group %s reads %s beside group %s: deciders of two groups decide everything twice", g.Group, commands, own),
				"If its members are deciders, stop them, and give all of them one lifecycle.group (docs/OPERATIONS.md, Groups)."))
		}
	}
	for _, g := range moving {
		if !slices.Contains(slices.Collect(maps.Values(groups)), g.Group) { // of ours it is known what they read
			found = append(found, warning(fmt.Sprintf("group %s rebalances, so nobody can tell whether it reads %s", g.Group, commands), "Look again once it has settled."))
		}
	}
	if errors.Is(err, kerr.GroupAuthorizationFailed) {
		return append(found, warning(fmt.Sprintf("nobody can tell whether other groups read %s: %v", commands, err), k.grant([]right{{kadm.OpDescribe, onGroup, "*"}}))), nil
	}
	return found, err
}

func nobody(role app.Role, group, waiting string) Finding {
	return failure(fmt.Sprintf("no %s runs: group %s has no member, waiting: %s", role, group, waiting),
		fmt.Sprintf("Start one: rolebridge serve --roles %s.", role))
}

func (k *kafkaPart) hanging(ctx context.Context) ([]Finding, error) {
	where := kadm.TopicsSet{}
	for _, d := range k.topics.Definitions() {
		for p := range d.Partitions {
			if k.seen(d.Name) {
				where.Add(d.Name, p)
			}
		}
	}
	hangs, err := hanging.Confirm(ctx, func(ctx context.Context) ([]hanging.Transaction, error) {
		return hanging.Find(ctx, k.admin, where, lifecycle.Writers(k.topics, k.patient.Groups()[app.Lifecycle])...)
	})
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, t := range hangs {
		found = append(found, failure(
			fmt.Sprintf("%s/%d cannot be read beyond offset %d: a transaction of %q hangs there", t.Topic, t.Partition, t.Start, t.ID),
			"A running lifecycle ends it within seconds if it may; else docs/OPERATIONS.md, Hanging transactions.",
		))
	}
	if len(found) == 0 {
		return one(ok("none hangs"))
	}
	return found, nil
}

func roleNames(roles []app.Role) string {
	names := make([]string, len(roles))
	for n, r := range roles {
		names[n] = string(r)
	}
	return strings.Join(names, ", ")
}

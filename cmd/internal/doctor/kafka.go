package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/hanging"
)

// kafkaPart is the look at Kafka.
type kafkaPart struct {
	patient *Patient
	topics  events.Topics
	client  *kgo.Client
	admin   *kadm.Client
	reached bool
	missing []string // topics
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
	return one(ok(fmt.Sprintf("%d brokers, cluster %s", len(m.Brokers), m.Cluster)))
}

func (k *kafkaPart) contract(ctx context.Context) ([]Finding, error) {
	have, err := events.Inspect(ctx, k.admin, k.topics, k.patient.Topics.Replication)
	if err != nil {
		return nil, err
	}
	var found []Finding
	k.missing = have.Missing
	if len(have.Missing) > 0 {
		found = append(found, failure("missing: "+strings.Join(have.Missing, ", "), "Make them: rolebridge topics apply."))
	}
	for _, d := range have.Drifts {
		f := warning(d.String(), fmt.Sprintf("If that is not on purpose: kafka-configs.sh --alter --topic %s --add-config %s=%s.", d.Topic, d.Setting, d.Want))
		if d.Setting == "partitions" {
			f = failure(d.String(), "Set topics.partitions as they are: each organization lives on one partition, and others would be counted differently.")
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		return one(ok(fmt.Sprintf("all as they should be, %d partitions", k.topics.Partitions)))
	}
	return found, nil
}

// uses is what a role does with topics.
type uses struct{ read, write []string }

// needs says what each role does with which topic; the table of docs/SECURITY.md.
func needs(role app.Role, t events.Topics) uses {
	switch role {
	case app.API:
		return uses{read: []string{t.State()}, write: []string{t.Commands()}}
	case app.Lifecycle:
		return uses{
			read:  []string{t.Commands(), t.Results(), t.State()},
			write: []string{t.Commands(), t.Results(), t.Events(), t.State(), t.DeadLetters()},
		}
	case app.Mapping, app.Trust:
		return uses{read: []string{t.Events()}, write: []string{t.Results(), t.DeadLetters()}}
	case app.Broker:
		return uses{read: []string{t.State()}, write: []string{t.Results(), t.Audit()}}
	}
	return uses{}
}

// rights compares what the principal of the settings may do with what the roles need.
func (k *kafkaPart) rights(ctx context.Context) ([]Finding, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.IncludeTopicAuthorizedOperations = true
	for _, d := range k.topics.Definitions() {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &d.Name
		request.Topics = append(request.Topics, topic)
	}
	answer, err := request.RequestWith(ctx, k.client)
	if err != nil {
		return nil, err
	}
	may := map[string][]kadm.ACLOperation{}
	for _, t := range answer.Topics {
		if t.Topic != nil && t.ErrorCode == 0 {
			may[*t.Topic] = kadm.DecodeACLOperations(t.AuthorizedOperations)
		}
	}
	var found []Finding
	for _, role := range k.patient.Roles {
		var lacks []string
		use := needs(role, k.topics)
		for _, of := range []struct {
			op     kadm.ACLOperation
			topics []string
		}{{kadm.OpRead, use.read}, {kadm.OpWrite, use.write}} {
			for _, topic := range of.topics {
				if !slices.Contains(k.missing, topic) && !slices.Contains(may[topic], of.op) {
					lacks = append(lacks, strings.ToLower(of.op.String())+" "+topic)
				}
			}
		}
		if len(lacks) > 0 {
			found = append(found, failure(fmt.Sprintf("%s may not %s", role, strings.Join(lacks, ", ")), "Give its principal the ACLs of docs/SECURITY.md."))
		}
	}
	if slices.Contains(k.patient.Roles, app.Lifecycle) {
		f, err := k.clusterRight(ctx)
		if err != nil {
			return found, err
		}
		found = append(found, f...)
	}
	if len(found) == 0 {
		return one(ok("enough for " + roleNames(k.patient.Roles)))
	}
	return found, nil
}

// clusterRight looks whether lifecycle may end a transaction that hangs.
func (k *kafkaPart) clusterRight(ctx context.Context) ([]Finding, error) {
	request := kmsg.NewPtrDescribeClusterRequest()
	request.IncludeClusterAuthorizedOperations = true
	answer, err := request.RequestWith(ctx, k.client)
	if err != nil {
		return nil, err
	}
	operations := kadm.DecodeACLOperations(answer.ClusterAuthorizedOperations)
	if len(operations) == 0 || slices.Contains(operations, kadm.OpAlter) || slices.Contains(operations, kadm.OpClusterAction) {
		return nil, nil // none at all: the broker does not say
	}
	return one(warning("lifecycle may not end a transaction that hangs", "Give its principal ClusterAction on the cluster; docs/OPERATIONS.md, Hanging transactions."))
}

// behind looks whether somebody reads what is to be decided and carried out.
func (k *kafkaPart) behind(ctx context.Context) ([]Finding, error) {
	if len(k.missing) > 0 {
		return one(skipped("topics are missing"))
	}
	groups := map[app.Role]string{
		app.Lifecycle: k.patient.Lifecycle.Group, app.Mapping: k.patient.Mapping.Group, app.Trust: k.patient.Trust.Group,
	}
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
			found = append(found, nobody(role, group, 0))
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			found = append(found, failure(fmt.Sprintf("%s may not read group %s", role, group), "Give its principal Read on the group."))
		case err != nil:
			return found, fmt.Errorf("group %s: %w", group, err)
		case len(lag.Members) == 0:
			found = append(found, nobody(role, group, lag.Lag.Total()))
		default:
			found = append(found, ok(fmt.Sprintf("%s: %d workers, %d records behind", role, len(lag.Members), max(0, lag.Lag.Total()))))
		}
	}
	if len(found) == 0 {
		return one(skipped("the roles read no topic in a group"))
	}
	return found, nil
}

func nobody(role app.Role, group string, behind int64) Finding {
	return failure(fmt.Sprintf("no %s runs: group %s has no member, %d records wait", role, group, max(0, behind)),
		fmt.Sprintf("Start one: rolebridge serve --roles %s.", role))
}

func (k *kafkaPart) hanging(ctx context.Context) ([]Finding, error) {
	where := kadm.TopicsSet{}
	for _, d := range k.topics.Definitions() {
		for p := range d.Partitions {
			if !slices.Contains(k.missing, d.Name) {
				where.Add(d.Name, p)
			}
		}
	}
	hangs, err := hanging.Confirm(ctx, func(ctx context.Context) ([]hanging.Transaction, error) { return hanging.Find(ctx, k.admin, where) })
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

package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// right is an operation on a resource, in the words of kafka-acls.sh.
type right struct {
	op   kadm.ACLOperation
	kind string // topic, group, transactional-id or cluster
	name string
}

func (r right) String() string {
	what := strings.ToLower(r.op.String()) + " "
	if r.kind != "topic" {
		what += r.kind + " "
	}
	return what + r.name
}

const (
	onTopic         = "topic"
	onGroup         = "group"
	onTransactional = "transactional-id"
	onCluster       = "cluster"
)

// uses is what a role does with topics.
type uses struct{ read, write []string }

// needs says what each role does with which topic; the table of docs/SECURITY.md.
func needs(role app.Role, t events.Topics) uses {
	switch role {
	case app.API:
		return uses{read: []string{t.State(), t.Events()}, write: []string{t.Commands(), t.Audit()}}
	case app.Lifecycle:
		return uses{
			// Events and dead letters to see which transactions hang there; see workers/lifecycle/sweep.go.
			read:  []string{t.Commands(), t.Results(), t.State(), t.Events(), t.DeadLetters()},
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
	may, _, err := k.topicRights(ctx)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, role := range k.patient.Roles {
		var lacks []right
		use := needs(role, k.topics)
		for _, of := range []struct {
			op     kadm.ACLOperation
			topics []string
		}{{kadm.OpRead, use.read}, {kadm.OpWrite, use.write}} {
			for _, topic := range of.topics {
				if !slices.Contains(k.missing, topic) && !slices.Contains(may[topic], of.op) {
					lacks = append(lacks, right{of.op, onTopic, topic})
				}
			}
		}
		if group, has := k.patient.Groups()[role]; has {
			allowed, err := k.mayRead(ctx, group)
			if err != nil {
				return found, err
			}
			if !allowed {
				lacks = append(lacks, right{kadm.OpRead, onGroup, group})
			}
		}
		if role == app.Lifecycle {
			more, err := k.transactionalRights(ctx, k.patient.Groups()[role]+"-")
			if err != nil {
				return found, err
			}
			lacks = append(lacks, more...)
		}
		if len(lacks) > 0 {
			found = append(found, failure(fmt.Sprintf("%s may not %s", role, joined(lacks)), k.grant(lacks)))
		}
	}
	if slices.Contains(k.patient.Roles, app.Lifecycle) {
		f, err := k.clusterRight(ctx)
		if err != nil {
			return found, err
		}
		found = append(found, f...)
	}
	if len(found) > 0 {
		return found, nil
	}
	enough := "enough for " + roleNames(k.patient.Roles)
	if slices.Contains(k.patient.Roles, app.Lifecycle) {
		enough += "; of lifecycle's transactional id only Describe was looked at, not Write: that cannot be seen without writing"
	}
	return one(ok(enough))
}

func joined(all []right) string {
	texts := make([]string, len(all))
	for n, r := range all {
		texts[n] = r.String()
	}
	return strings.Join(texts, ", ")
}

// grant is the command lines that give our principal rights: one for each operation on a kind of resource.
func (k *kafkaPart) grant(lacks []right) string {
	type sort struct {
		kind string
		op   kadm.ACLOperation
	}
	by := map[sort]string{}
	for _, r := range lacks {
		s := sort{r.kind, r.op}
		by[s] += fmt.Sprintf(" --%s", r.kind)
		if r.kind != onCluster {
			by[s] += fmt.Sprintf(" '%s'", r.name)
		}
	}
	var lines []string
	for _, s := range slices.SortedFunc(maps.Keys(by), func(a, b sort) int {
		return strings.Compare(a.kind+a.op.String(), b.kind+b.op.String())
	}) {
		line := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal '%s' --operation %s%s",
			k.patient.Kafka.Brokers[0], k.principal(), camel(s.op), by[s])
		if s.kind == onTransactional {
			line += " --resource-pattern-type prefixed" // one for each instance
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " && ")
}

// camel is an operation as kafka-acls.sh wants it: ClusterAction for CLUSTER_ACTION.
func camel(op kadm.ACLOperation) string {
	var b strings.Builder
	for part := range strings.SplitSeq(op.String(), "_") {
		b.WriteString(part[:1] + strings.ToLower(part[1:]))
	}
	return b.String()
}

// principal is who we are to a Kafka with its default rules.
func (k *kafkaPart) principal() string {
	c := k.patient.Kafka
	if c.SASL.Mechanism != "" {
		return "User:" + c.SASL.User
	}
	if c.TLS.CertFile != "" {
		if pair, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile); err == nil && pair.Leaf != nil {
			return "User:" + pair.Leaf.Subject.String()
		}
	}
	return "User:ANONYMOUS"
}

// topicRights are the operations that we may do on each topic, and the topics that we may not even see.
func (k *kafkaPart) topicRights(ctx context.Context) (may map[string][]kadm.ACLOperation, hidden []string, err error) {
	request := kmsg.NewPtrMetadataRequest()
	request.IncludeTopicAuthorizedOperations = true
	for _, d := range k.topics.Definitions() {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &d.Name
		request.Topics = append(request.Topics, topic)
	}
	answer, err := request.RequestWith(ctx, k.client)
	if err != nil {
		return nil, nil, err
	}
	may = map[string][]kadm.ACLOperation{}
	for _, t := range answer.Topics {
		switch {
		case t.Topic == nil:
		case t.ErrorCode == 0:
			may[*t.Topic] = kadm.DecodeACLOperations(t.AuthorizedOperations)
		case errors.Is(kerr.ErrorForCode(t.ErrorCode), kerr.TopicAuthorizationFailed):
			hidden = append(hidden, *t.Topic)
		}
	}
	return may, hidden, nil
}

// mayRead reports whether we may be a member of a group.
func (k *kafkaPart) mayRead(ctx context.Context, group string) (bool, error) {
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups, request.IncludeAuthorizedOperations = []string{group}, true
	answer, err := request.RequestWith(ctx, k.client)
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed): // already when its coordinator is looked for
		return false, nil
	case err != nil:
		return false, err
	case len(answer.Groups) != 1:
		return false, errors.New("unexpected answer: not one group")
	}
	g := answer.Groups[0]
	if g.ErrorCode != 0 {
		err := kerr.ErrorForCode(g.ErrorCode)
		if errors.Is(err, kerr.GroupAuthorizationFailed) {
			return false, nil
		}
		if !errors.Is(err, kerr.GroupIDNotFound) {
			return false, fmt.Errorf("group %s: %w", group, err)
		}
	}
	operations := kadm.DecodeACLOperations(g.AuthorizedOperations)
	return len(operations) == 0 || slices.Contains(operations, kadm.OpRead), nil // none at all: the broker does not say
}

// transactionalRights are those that lifecycle lacks: to write with its own ids, which begin with own, and to see those of
// operators, whose transactions would look to it as if Kafka had forgotten them.
func (k *kafkaPart) transactionalRights(ctx context.Context, own string) (lacks []right, err error) {
	try := func(id string, needs right) error {
		allowed, err := k.mayTransact(ctx, id)
		if err == nil && !allowed {
			lacks = append(lacks, needs)
		}
		return err
	}
	if err := try(own+k.patient.Lifecycle.Instance, right{kadm.OpWrite, onTransactional, own}); err != nil {
		return nil, err
	}
	for _, id := range lifecycle.Operators(k.topics) {
		if err := try(id, right{kadm.OpDescribe, onTransactional, id}); err != nil {
			return nil, err
		}
	}
	return lacks, nil
}

// mayTransact reports whether we may see a transactional id, which whoever may write with it may; others may too, so it is
// not enough. To try would end the transaction of whoever writes with it now.
func (k *kafkaPart) mayTransact(ctx context.Context, id string) (bool, error) {
	request := kmsg.NewPtrDescribeTransactionsRequest()
	request.TransactionalIDs = []string{id}
	answer, err := request.RequestWith(ctx, k.client)
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed): // already when its coordinator is looked for
		return false, nil
	case err != nil:
		return false, err
	}
	for _, t := range answer.TransactionStates {
		if errors.Is(kerr.ErrorForCode(t.ErrorCode), kerr.TransactionalIDAuthorizationFailed) {
			return false, nil
		}
	}
	return true, nil
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
	return one(warning("lifecycle may not end a transaction that hangs (docs/OPERATIONS.md, Hanging transactions)",
		k.grant([]right{{kadm.OpClusterAction, onCluster, ""}})))
}

package testenv

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup makes a member of a group that wants to read topics and was assigned no partition. Unless it settles, the group
// rebalances from then on. The member never says that it lives, and is gone after five minutes.
func JoinGroup(t testing.TB, cl *kgo.Client, group string, settle bool, topics ...string) {
	t.Helper()
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = topics
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", metadata.AppendTo(nil)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.Protocols = group, "consumer", []kmsg.JoinGroupRequestProtocol{protocol}
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 300_000, 300_000
	joined, err := join.RequestWith(t.Context(), cl)
	if err == nil && errors.Is(kerr.ErrorForCode(joined.ErrorCode), kerr.MemberIDRequired) {
		join.MemberID = joined.MemberID
		joined, err = join.RequestWith(t.Context(), cl)
	}
	if err == nil {
		err = kerr.ErrorForCode(joined.ErrorCode)
	}
	if err != nil {
		t.Fatalf("join group %s: %v", group, err)
	}
	if !settle {
		return
	}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = group, joined.MemberID, joined.Generation
	sync.ProtocolType, sync.Protocol = new("consumer"), new("range")
	synced, err := sync.RequestWith(t.Context(), cl)
	if err == nil {
		err = kerr.ErrorForCode(synced.ErrorCode)
	}
	if err != nil {
		t.Fatalf("settle group %s: %v", group, err)
	}
}

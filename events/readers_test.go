package events_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestReadersOfATopicAreFoundBeforeTheyHavePartitions(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	admin := kadm.NewClient(cl)
	if reading, moving, err := events.Readers(t.Context(), admin, "t"); err != nil || len(reading)+len(moving) > 0 {
		t.Errorf("without a group: got %v, %v, %v", reading, moving, err)
	}
	testenv.JoinGroup(t, cl, "of-another", true, "u")
	testenv.JoinGroup(t, cl, "named", true, "u")
	testenv.JoinGroup(t, cl, "joined", true, "t", "u")
	testenv.JoinGroup(t, cl, "rebalances", false, "u")
	testenv.JoinGroup(t, cl, "gone", true, "t")
	gone, err := admin.DescribeGroups(t.Context(), "gone")
	if err != nil {
		t.Fatal(err)
	}
	leave, member := kmsg.NewPtrLeaveGroupRequest(), kmsg.NewLeaveGroupRequestMember()
	leave.Group, member.MemberID = "gone", gone["gone"].Members[0].MemberID
	leave.Members = append(leave.Members, member)
	if left, err := leave.RequestWith(t.Context(), cl); err != nil || left.ErrorCode != 0 {
		t.Fatal(left, err)
	}
	reading, moving, err := events.Readers(t.Context(), admin, "t", "named", "never-been")
	names := func(groups []kadm.DescribedGroup) (names []string) {
		for _, g := range groups {
			names = append(names, g.Group)
		}
		return names
	}
	if got, want := names(reading), []string{"joined", "named"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, want := names(moving), []string{"rebalances"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: nobody can tell what it reads", got, want)
	}
}

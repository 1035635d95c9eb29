package lifecycle

import (
	"fmt"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

// A full transaction of one partition, as after a backlog: 1000 creations of 17 organizations, which is what 200
// organizations leave for each of 12 partitions.
func BenchmarkAFullBatch(b *testing.B) {
	of := newBench(b)
	of.d.fresh = freshInputs(nil)
	var home []integration.OrganizationID
	for n := 0; len(home) < 17; n++ {
		if o := integration.OrganizationID(fmt.Sprintf("org-%06d", n)); topics.Home(o) == of.p.id {
			home = append(home, o)
		}
	}
	quota := 1 << 16
	for _, o := range home {
		of.decide(of.at(
			of.command("make-"+string(o), "platform:cp", o, integration.CreateOrganization{Admin: "u-admin"}),
			of.command("quota-"+string(o), "platform:cp", o, integration.ConfigureOrganization{IntegrationQuota: &quota}),
		)...)
	}
	for n := range 1000 {
		of.in = append(of.in, of.command(fmt.Sprint("c-", n), "u-admin", home[n%len(home)], create("sink", fmt.Sprintf("arn:aws:iam::%012d:role/c", n))))
	}
	of.at(of.in...)
	for b.Loop() {
		batch := of.d.begin(of.p) // never committed: every round decides the same
		batch.in = of.in
		out, err := batch.decide(of.now)
		if err != nil || len(out) != 4001 {
			b.Fatalf("%d records, %v; want 2 events, a receipt and an integration for each command, and a cursor", len(out), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(of.in)), "ns/command")
}

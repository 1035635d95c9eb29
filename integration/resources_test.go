package integration_test

import (
	"fmt"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
)

func TestTheResourcesOfTheBindingsAreBoundedDistinctAndInOrder(t *testing.T) {
	t.Parallel()
	i := integration.Integration{Connectors: map[integration.ConnectorID]integration.Binding{}}
	for n := range 8 {
		own := integration.Resource{S3: integration.S3Objects{Bucket: fmt.Sprint("b", n), Access: integration.AccessRead}}
		i.Connectors[integration.ConnectorID(fmt.Sprint("c", n))] = integration.Binding{Terms: integration.Terms{Resources: []integration.Resource{raw, own}}}
	}
	all, left := i.Resources(5)
	if len(all) != 5 || left != 4 || all[0] != raw || all[1].S3.Bucket != "b0" || all[4].S3.Bucket != "b3" {
		t.Errorf("got %v and %d left out", all, left)
	}
	if all, left := (integration.Integration{}).Resources(5); len(all) != 0 || left != 0 {
		t.Errorf("no bindings: got %v, %d", all, left)
	}
}

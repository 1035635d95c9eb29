package main

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

func TestARunIsInTheAuditTrailAndExplained(t *testing.T) {
	r, _ := runStack(t, "")
	r.get(t, r.credentialsURL(), r.memory.Token+"x") // nobody's

	codec, err := events.NewCodec(topics().Names())
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.ListenAddrs()...), kgo.ConsumeTopics(topics().Names().Audit()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var issued, unknown events.Audit
	for issued.Note == nil || unknown.Note == nil {
		for _, record := range cl.PollFetches(ctx).Records() {
			a, _, err := codec.Audit(record)
			if err != nil {
				t.Fatal(err)
			}
			switch note := a.Note.(type) {
			case events.CredentialsIssued:
				issued = a
			case events.CredentialsRefused:
				if note.Code == integration.CodeUnauthenticated {
					unknown = a
				}
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("the trail has no more than %+v and %+v", issued, unknown)
		}
	}
	if unknown.Organization != "" || issued.Organization == "" {
		t.Errorf("got %+v and %+v", issued, unknown)
	}

	var all []creds.Explanation
	text := r.get(t, "http://"+r.roles.Addresses()["telemetry"]+creds.ExplainPath+"?of="+string(issued.Integration), "")
	if err := json.Unmarshal(text, &all); err != nil || len(all) != 1 || all[0].Answer != "ok" || len(all[0].Gates) != 5 {
		t.Errorf("got %s, %v", text, err)
	}
}

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/rolebridge/rolebridge/cmd/internal/doctor"
)

func TestDoctorSaysWhatIsWrongAndExitsWith7(t *testing.T) {
	c := &cli{env: map[string]string{envBrokers: "127.0.0.1:1"}}
	got := c.want(t, 7, "doctor", "--roles", "api")
	for _, want := range []string{"FAIL  kafka ", "> Is kafka.brokers right", "SKIP  topics ", "SKIP  api ", "1 to be mended"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("got %q, want %q in it", got.out, want)
		}
	}
	var found []doctor.Finding
	if err := json.Unmarshal([]byte(c.want(t, 7, "doctor", "--roles", "api", "-o", "json").out), &found); err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 || found[0].Part != "kafka" || found[0].Verdict != doctor.Failure {
		t.Errorf("got %+v, want Kafka first, as a failure", found)
	}
}

func TestDoctorIsContentWithTopicsThatItCanSee(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	c := &cli{env: map[string]string{envBrokers: strings.Join(kafka.ListenAddrs(), ",")}}
	if got := c.want(t, 7, "doctor", "--roles", "api"); !strings.Contains(got.out, "rolebridge topics apply") {
		t.Errorf("got %q, want what to do about missing topics", got.out)
	}
	c.want(t, 0, "topics", "apply", "--replication", "1")
	c.want(t, 0, "doctor", "--roles", "api")
	c.want(t, 2, "doctor", "--roles", "cook")
}

package app_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestABrokerOpensItsKeysetAtTheKMSOfTheSettings(t *testing.T) {
	moto := testenv.Moto(t)
	key, file := awstest.KMSKey(t, moto), creds.KeysetFile{Path: filepath.Join(t.TempDir(), "keyset")}
	us, err := aws.New(t.Context(), aws.Config{Region: awstest.Region, Endpoint: moto, Credentials: awstest.Static("any", "any")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(us.Close)
	if file.KMS, err = us.KMS(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := file.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	a := everything(t, func(c *app.Config) {
		c.Kafka.Brokers, c.Topics.Partitions, c.Lifecycle.Fresh = cluster.ListenAddrs(), 2, true
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka.Brokers...))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if _, err := events.Apply(t.Context(), kadm.NewClient(cl), c.Topics.Names(), 1); err != nil {
			t.Fatal(err)
		}
		c.Redis.Address, c.AWS.Endpoint = "127.0.0.1:1", moto // there is no Redis
		c.Broker.KeysetFile, c.Broker.KeysetKMS = file.Path, key
		c.NotReadyFor, c.StopWithin = 0, time.Second
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	loaded := func() bool {
		w := httptest.NewRecorder()
		a.Probes().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
		return strings.Contains(w.Body.String(), `rolebridge_broker_keyset_loads_total{outcome="ok"} 1`)
	}
	for deadline := time.Now().Add(30 * time.Second); !loaded(); {
		if time.Now().After(deadline) {
			t.Error("after 30 s the keyset is not loaded")
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		t.Logf("the stop, with no Redis: %v", err)
	}
}

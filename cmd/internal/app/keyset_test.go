package app_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/internal/polltest"
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
	a := everything(t, onKafka(t), func(c *app.Config) {
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
	polltest.Until(t, "the keyset is loaded", loaded)
	stop()
	if err := <-done; err != nil {
		t.Logf("the stop, with no Redis: %v", err)
	}
}

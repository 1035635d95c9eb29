package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// exchangeWithin is far above what an exchange takes: a minute of rounds 15 s apart, on a busy machine.
const exchangeWithin = 3 * time.Minute

func TestNoReadFailsWhileTheExternalIDIsRotated(t *testing.T) {
	w := newWorld(t)
	broker := w.start("broker", "broker")
	platform := w.start("platform", "api,lifecycle,mapping,trust")
	platform.ready()
	broker.ready()
	w.found()
	c := w.customer(platform.url("api"))
	const role, bucket = "orders", "orders-bucket"
	id := c.integrate(role, bucket)
	write := c.connector(broker.url("broker"), id, "lcc-1")
	w.must(write(w.ctx, bucket, "before"))
	w.aws.SetPropagation(5 * time.Second)
	var cold atomic.Int64
	stop := goOn(w, func(ctx context.Context, n int) error {
		if err := write(ctx, bucket, fmt.Sprint("object-", n)); err != nil {
			return err
		}
		// A connector that was never there before: nothing is cached for it.
		bound, err := c.api.Bind(ctx, id, wire.ConnectorRequest{Connector: fmt.Sprint("lcc-new-", n)})
		if err != nil {
			return nil //nolint:nilerr // the API is away while the platform is restarted; reads are the matter here
		}
		cold.Add(1)
		return w.readsCold(ctx, broker, bound.Token)
	})
	defer stop()

	// A rotation that is given up changes nothing.
	r, err := c.api.Rotate(w.ctx, id)
	w.must(err)
	c.trusts(role, r.TrustPolicy)
	aborted, err := c.api.AbortRotation(w.ctx, id)
	w.must(err)
	if aborted.ExternalID != r.ExternalID || aborted.NextExternalID != "" {
		t.Fatalf("aborted: got %+v, want the external ID %s alone", aborted, r.ExternalID)
	}
	c.trusts(role, aborted.TrustPolicy)

	begun, err := c.api.Rotate(w.ctx, id)
	w.must(err)
	if begun.ExternalID != r.ExternalID || begun.NextExternalID == r.NextExternalID {
		t.Fatalf("begun again: got %+v after %+v", begun, r)
	}
	c.trusts(role, begun.TrustPolicy)
	exchanged := c.turns(id, "the new external ID is in use", func(r wire.Rotation) bool { return r.Phase == string(integration.RotationRetiring) })
	if exchanged.ExternalID != begun.NextExternalID || exchanged.FormerExternalID != begun.ExternalID {
		t.Fatalf("exchanged: got %+v after %+v", exchanged, begun)
	}
	c.trusts(role, exchanged.TrustPolicy)
	c.turns(id, "the former external ID is refused", func(r wire.Rotation) bool { return !r.RefusedSince.IsZero() })

	// A former ID is kept for ten minutes at least. They go by while the platform is away.
	platform.end()
	w.ago(id, 10*time.Minute)
	platform = w.start("platform", "api,lifecycle,mapping,trust")
	platform.ready()
	c = w.customer(platform.url("api"))
	over := c.turns(id, "the former external ID is retired", func(r wire.Rotation) bool { return r.Phase == wire.RotationNone })
	if over.ExternalID != begun.NextExternalID {
		t.Errorf("in the end %s is in use, want %s", over.ExternalID, begun.NextExternalID)
	}
	n := stop()
	if n < 20 || cold.Load() < 20 {
		t.Errorf("the connector wrote %d objects, and there were %d new connectors in all this time; want 20 or more of both", n, cold.Load())
	}
	t.Logf("%d objects were written, and %d new connectors had their first session", n, cold.Load())
	w.must(write(w.ctx, bucket, "after"))
}

// goOn does f again and again until stop is called, which says how often; each error fails the test.
func goOn(w *world, f func(ctx context.Context, n int) error) (stop func() int) {
	ctx, cancel := context.WithCancel(w.ctx)
	done, n := make(chan struct{}), 0
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; n++ {
			if err := f(ctx, n); err != nil && ctx.Err() == nil {
				w.t.Errorf("read %d: %v", n, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return sync.OnceValue(func() int {
		cancel()
		<-done
		return n
	})
}

// readsCold reads the credentials of a connector that nothing is cached for. It asks again while the broker does not know
// the connector, which was bound a moment ago.
func (w *world) readsCold(ctx context.Context, broker *process, token string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		s, err := credentials(ctx, broker, token)
		switch {
		case err != nil:
			return err
		case s.status == http.StatusOK:
			return nil
		case s.status != http.StatusUnauthorized:
			return fmt.Errorf("a new connector got status %d", s.status)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// trusts sets the trust policy of the customer's role.
func (c *customer) trusts(role string, document json.RawMessage) {
	c.w.t.Helper()
	_, err := c.iam.UpdateAssumeRolePolicy(c.w.ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: aws.String(string(document))})
	c.w.must(err)
}

// turns asks for a proof and then waits until the rotation has come so far.
func (c *customer) turns(id, what string, far func(wire.Rotation) bool) (r wire.Rotation) {
	c.w.t.Helper()
	begin := time.Now()
	_, err := c.api.Validate(c.w.ctx, id, 0)
	c.w.must(err)
	c.w.eventually(exchangeWithin, what, func() (err error) {
		if r, err = c.api.Rotation(c.w.ctx, id); err == nil && !far(r) {
			err = fmt.Errorf("got %+v", r)
		}
		return err
	})
	c.w.t.Logf("%s after %v", what, time.Since(begin).Round(time.Second))
	return r
}

// ago dates the phase of a rotation, and what was found in it, back in the stored state, which nobody may own meanwhile.
func (w *world) ago(id string, d time.Duration) {
	w.t.Helper()
	var found *events.Stored
	for p := range w.topics.Partitions {
		_, err := events.Replay(w.ctx, w.cl, w.topics.State(), p, func(r *kgo.Record) error {
			s, err := events.ReadStored(r)
			if err == nil && s.Integration != nil && s.IntegrationID == integration.ID(id) {
				found = &s
			}
			return err
		})
		w.must(err)
	}
	if found == nil || found.Integration.Rotation == nil {
		w.t.Fatalf("the state has no rotation of %s: %+v", id, found)
	}
	n := found.Integration.Rotation
	n.Since, n.RefusedSince = n.Since.Add(-d), n.RefusedSince.Add(-d)
	record, err := w.topics.IntegrationRecord(found.OrganizationID, found.IntegrationID, found.Integration)
	w.must(err)
	w.must(w.cl.ProduceSync(w.ctx, record).FirstErr())
}

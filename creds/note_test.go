package creds_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
)

// notebook is a trail that remembers.
type notebook struct {
	mu    sync.Mutex
	notes []events.Audit
}

func (n *notebook) Note(a events.Audit) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, a)
}

// take returns what was noted since the last take, a line each.
func (n *notebook) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	for _, a := range n.notes {
		fmt.Fprintf(&b, "%s %s: ", a.Organization, a.Integration)
		switch note := a.Note.(type) {
		case events.CredentialsIssued:
			fmt.Fprintf(&b, "%s %s %s from %s in epoch %d, %v\n", note.Environment, note.Connector, note.SessionName, note.Level, note.Epoch, note.ExpiresAt.Sub(a.Time).Round(time.Minute))
		case events.CredentialsRefused:
			fmt.Fprintf(&b, "%s %s %s\n", note.Environment, note.Connector, note.Code)
		}
	}
	n.notes = nil
	return b.String()
}

func TestEverySessionAndEveryRefusalIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		trail := &notebook{}
		w.options = append(w.options, creds.WithTrail(trail))
		b := w.broker(t)
		want := func(when, notes string) {
			t.Helper()
			if got := trail.take(); got != notes {
				t.Errorf("%s:\ngot  %q\nwant %q", when, got, notes)
			}
		}
		for range 10 {
			mustSession(t, b, w.token)
		}
		want("ten reads", "acme cspi-orders: env orders-sink orders-sink@cspi-orders from cloud in epoch 0, 1h0m0s\n")

		other := w.broker(t)
		mustSession(t, other, w.token)
		want("another replica", "acme cspi-orders: env orders-sink orders-sink@cspi-orders from store in epoch 0, 1h0m0s\n")

		bubbletest.Pass(40 * time.Minute)
		mustSession(t, b, w.token)
		mustSession(t, b, w.token)
		if got := trail.take(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "from memory") {
			t.Errorf("after a renewal got %q, want one note of a session from memory", got)
		}

		w.replica.Revoke(orders)
		mustSession(t, b, w.token)
		want("a revocation", "acme cspi-orders: env orders-sink orders-sink@cspi-orders from cloud in epoch 1, 1h0m0s\n")

		_, err := b.Session(t.Context(), credstest.NewToken())
		wantCode(t, "an unknown token", err, integration.CodeUnauthenticated)
		want("an unknown token", " :   unauthenticated\n")

		w.replica.Change(orders, func(i *integration.Integration) { i.Trust.Status = integration.TrustDenied })
		_, err = b.Session(t.Context(), w.token)
		wantCode(t, "denied trust", err, integration.CodeDenied)
		want("denied trust", "acme cspi-orders: env orders-sink forbidden\n")
	})
}

func TestARefusalOfTheCloudIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		trail := &notebook{}
		w.options = append(w.options, creds.WithTrail(trail))
		w.cloud.Role(customerRole, credstest.CloudRole{Trusts: "somebody else", ExternalID: externalID})
		_, err := w.broker(t).Session(t.Context(), w.token)
		wantCode(t, "a role that refuses", err, integration.CodeDenied)
		if got, want := trail.take(), "acme cspi-orders: env orders-sink forbidden\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

package creds_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// stolen binds what thieves of another organization read on Kafka of the world's token: its hash, and its proof.
func stolen(w *world) {
	const thief, theirs = integration.OrganizationID("mallory"), integration.ID("cspi-aaaaa")
	w.cloud.Role(platformRole+"-thief", credstest.CloudRole{})
	w.cloud.Role(customerRole+"-thief", credstest.CloudRole{Trusts: platformRole + "-thief", ExternalID: externalID, Tags: true})
	w.replica.Trusted(thief, theirs, platformRole+"-thief", customerRole+"-thief", externalID, true)
	w.replica.ChangeBinding(theirs, "lcc-1", func(_ integration.OrganizationID, b *integration.Binding) {
		b.Tokens = []integration.Token{credstest.Token(org, orders, sink, w.token)}
	})
}

func TestACopiedTokenHashOpensNothingAndLocksNobodyOut(t *testing.T) {
	for name, order := range map[string]func(*world){
		"bound after its owner":  func(w *world) { stolen(w) },
		"bound before its owner": func(w *world) { w.replica.Unbind(orders, sink); stolen(w); w.replica.Bind(orders, sink, w.token) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				order(w)
				b := w.broker(t)
				if got, want := mustSession(t, b, w.token).Account, "222222222222"; got != want {
					t.Fatalf("the owner got a session of account %s, want %s", got, want)
				}
				if n := w.cloud.Calls(customerRole + "-thief"); n != 0 {
					t.Errorf("the owner's token assumed the other organization's role %d times", n)
				}
				w.replica.Unbind(orders, sink)
				_, err := b.Session(t.Context(), w.token)
				wantCode(t, "a token whose owner let go", err, integration.CodeUnauthenticated)
			})
		})
	}
}

func TestATokenWithoutAProofOpensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replica.ChangeBinding(orders, sink, func(_ integration.OrganizationID, b *integration.Binding) {
			b.Tokens = []integration.Token{{Hash: integration.TokenHash(w.token.Reveal())}}
		})
		_, err := w.broker(t).Session(t.Context(), w.token)
		wantCode(t, "a token without a proof", err, integration.CodeUnauthenticated)
	})
}

func TestATokenEndsByTheClockAndItsSuccessorKeepsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := w.broker(t)
		before := mustSession(t, b, w.token)
		next := credstest.NewToken()
		w.replica.ChangeBinding(orders, sink, func(o integration.OrganizationID, b *integration.Binding) {
			old := credstest.Token(o, orders, sink, w.token)
			old.ExpiresAt = time.Now().Add(10 * time.Minute)
			b.Tokens = []integration.Token{old, credstest.Token(o, orders, sink, next)}
		})
		for range 2 { // cold plans, then warm ones
			if mustSession(t, b, w.token).AccessKeyID != before.AccessKeyID || mustSession(t, b, next).AccessKeyID != before.AccessKeyID {
				t.Error("the two tokens of a binding get different sessions")
			}
		}
		bubbletest.Pass(10*time.Minute - time.Nanosecond)
		mustSession(t, b, w.token)
		bubbletest.Pass(time.Nanosecond)
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "a token that has expired", err, integration.CodeUnauthenticated)
		if got := mustSession(t, b, next); got.AccessKeyID != before.AccessKeyID {
			t.Error("the session was made anew when a token ended")
		}
		if n := w.cloud.Calls(customerRole); n != 1 {
			t.Errorf("the customer's role was assumed %d times, want once", n)
		}
	})
}

// bindOnly puts one token in the place of all others.
func (w *world) bindOnly(token integration.Token) {
	w.replica.ChangeBinding(orders, sink, func(_ integration.OrganizationID, b *integration.Binding) { b.Tokens = []integration.Token{token} })
}

func TestATokenThatAPersonCouldChooseOpensNothing(t *testing.T) {
	for name, text := range map[string]string{
		"a word": "hunter2-hunter2", "a UUID": "0b0f4c1e-6a5b-4b62-9a34-0d6f0e2f4c11", "42 characters": credstest.NewToken().Reveal()[:42],
		"one letter, often": strings.Repeat("a", 64), "seven letters, often": strings.Repeat("abcdefg", 9),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				token := secret.New(text)
				w.bindOnly(credstest.Token(org, orders, sink, token))
				b := w.broker(t)
				for range 3 {
					_, err := b.Session(t.Context(), token)
					wantCode(t, name, err, integration.CodeUnauthenticated)
				}
				if got := strings.Count(w.log.String(), "bound token opens nothing"); got != 1 || strings.Contains(w.log.String(), text) {
					t.Errorf("told %d times, want once and without the token:\n%s", got, w.log)
				}
			})
		})
	}
}

func TestEveryFormOf256RandomBitsIsStrong(t *testing.T) {
	t.Parallel()
	var raw [32]byte
	for range 1000 {
		_, _ = rand.Read(raw[:])
		for _, text := range []string{
			base64.RawURLEncoding.EncodeToString(raw[:]), hex.EncodeToString(raw[:]), fmt.Sprintf("%078d", new(big.Int).SetBytes(raw[:])), rand.Text() + rand.Text(),
		} {
			if !integration.StrongToken(text) {
				t.Errorf("%s is not taken for 256 random bits", text)
			}
		}
	}
}

func TestATokenWhoseProofIsWrongIsToldToWhoeverIsOnCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		wrong := credstest.Token(org, orders, "another-connector", w.token)
		w.bindOnly(wrong)
		b := w.broker(t)
		_, err := b.Session(t.Context(), w.token)
		wantCode(t, "a token with another connector's proof", err, integration.CodeUnauthenticated)
		for _, want := range []string{"bound token opens nothing", string(orders), string(sink), "is not the token's for this connector"} {
			if !strings.Contains(w.log.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, w.log)
			}
		}
		// The way out is another rotation, and nobody has to wait for anything.
		next := credstest.NewToken()
		w.bindOnly(credstest.Token(org, orders, sink, next))
		mustSession(t, b, next)
	})
}

func TestACopiedHashTellsNothingWhileItsOwnerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replica.Unbind(orders, sink)
		stolen(w)
		w.replica.Bind(orders, sink, w.token)
		mustSession(t, w.broker(t), w.token)
		if strings.Contains(w.log.String(), "bound token opens nothing") {
			t.Errorf("a thief's copy is told of:\n%s", w.log)
		}
	})
}

func TestARequestWithoutATokenOpensNothingWhateverIsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replica.ChangeBinding(orders, sink, func(_ integration.OrganizationID, b *integration.Binding) {
			b.Tokens = []integration.Token{credstest.Token(org, orders, sink, secret.New(""))}
		})
		b := w.broker(t)
		_, err := b.Session(t.Context(), secret.New(""))
		wantCode(t, "no token", err, integration.CodeUnauthenticated)
		for name, header := range map[string]string{"none": "", "the scheme alone": "Bearer ", "one that is too long": strings.Repeat("x", 9<<10)} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, creds.Path, nil)
			r.Header.Set("Authorization", header)
			answer := httptest.NewRecorder()
			b.Handler().ServeHTTP(answer, r)
			if answer.Code != http.StatusUnauthorized {
				t.Errorf("an Authorization header of %s: got %d, want 401", name, answer.Code)
			}
		}
	})
}

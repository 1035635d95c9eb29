package identity_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolebridge/rolebridge/internal/bubbletest"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
)

func TestANewKeyIsFetchedAndJunkFetchesNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		p.keys[issuer] = []jose.JSONWebKey{key()}
		want(t, "first", prove(t.Context(), v, acme, identitytest.Sign(key(), claims(issuer, time.Hour)), wanted(issuer)), nil)
		bubbletest.Pass(11 * time.Second)
		next := identitytest.NewSigningKey(jose.ES256)
		p.set(func(p *published) { p.keys[issuer] = append(p.keys[issuer], next) })
		want(t, "a new key", prove(t.Context(), v, acme, identitytest.Sign(next, claims(issuer, time.Hour)), wanted(issuer)), nil)
		if n := p.count(issuer); n != 2 {
			t.Errorf("asked %d times for two keys, want 2", n)
		}
		for range 60 { // a minute of junk
			for range 20 {
				junk := identitytest.Sign(identitytest.NewSigningKey(jose.ES256), claims(issuer, time.Hour))
				want(t, "junk", prove(t.Context(), v, acme, junk, wanted(issuer)), identity.ErrRefused)
			}
			bubbletest.Pass(time.Second)
		}
		if n := p.count(issuer); n > 2+6 {
			t.Errorf("asked %d times within a minute of unknown keys, want at most once in 10 s", n)
		}
	})
}

func TestAWithdrawnKeyEndsWhatItProved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		p.keys[issuer] = []jose.JSONWebKey{key()}
		raw := identitytest.Sign(key(), claims(issuer, 24*time.Hour))
		want(t, "first", prove(t.Context(), v, acme, raw, wanted(issuer)), nil)
		p.set(func(p *published) { p.keys[issuer] = []jose.JSONWebKey{identitytest.NewSigningKey(jose.ES256)} })
		bubbletest.Pass(identity.Defaults().Refresh + time.Second)
		want(t, "the read that asks again", prove(t.Context(), v, acme, raw, wanted(issuer)), nil)
		synctest.Wait()
		want(t, "afterwards", prove(t.Context(), v, acme, raw, wanted(issuer)), identity.ErrRefused)
	})
}

func TestAnOutageOfTheIssuerDoesNotMatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		p.keys[issuer] = []jose.JSONWebKey{key()}
		long := identitytest.Sign(key(), claims(issuer, 48*time.Hour))
		want(t, "before", prove(t.Context(), v, acme, long, wanted(issuer)), nil)
		p.set(func(p *published) { p.away[issuer] = true })
		for hour := range 23 {
			want(t, fmt.Sprintf("a token known, hour %d", hour), prove(t.Context(), v, acme, long, wanted(issuer)), nil)
			want(t, fmt.Sprintf("a new token, hour %d", hour),
				prove(t.Context(), v, acme, identitytest.Sign(key(), claims(issuer, time.Hour)), wanted(issuer)), nil)
			bubbletest.Pass(time.Hour)
		}
		bubbletest.Pass(2 * time.Hour)
		want(t, "a token known, after a day", prove(t.Context(), v, acme, long, wanted(issuer)), nil)
		want(t, "a new token, after a day", prove(t.Context(), v, acme, identitytest.Sign(key(), claims(issuer, time.Hour)), wanted(issuer)), identity.ErrUnavailable)
		bubbletest.Pass(24 * time.Hour)
		want(t, "the token has expired", prove(t.Context(), v, acme, long, wanted(issuer)), identity.ErrRefused)
	})
}

func TestADeadIssuerIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		p.away[issuer] = true
		raw := identitytest.Sign(key(), claims(issuer, time.Hour))
		for range 600 {
			want(t, "away", prove(t.Context(), v, acme, raw, wanted(issuer)), identity.ErrUnavailable)
			bubbletest.Pass(time.Second)
		}
		if n := p.count(issuer); n < 8 || n > 25 {
			t.Errorf("asked %d times in ten minutes of 600 reads, want about 15", n)
		}
		p.set(func(p *published) { p.keys[issuer], p.away[issuer] = []jose.JSONWebKey{key()}, false })
		bubbletest.Pass(80 * time.Second)
		want(t, "back", prove(t.Context(), v, acme, raw, wanted(issuer)), nil)
	})
}

func TestOneFetchServesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		p.keys[issuer], p.wait[issuer] = []jose.JSONWebKey{key()}, time.Second
		var all sync.WaitGroup
		for n := range 100 {
			raw := identitytest.Sign(key(), claims(issuer, time.Hour+time.Duration(n)*time.Second))
			all.Go(func() { want(t, "one of many", prove(t.Context(), v, acme, raw, wanted(issuer)), nil) })
		}
		all.Wait()
		if n := p.count(issuer); n != 1 {
			t.Errorf("asked %d times for 100 callers, want once", n)
		}
	})
}

func TestWhoCannotWaitFindsTheKeysLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		p.keys[issuer], p.wait[issuer] = []jose.JSONWebKey{key()}, 2*time.Second
		raw := identitytest.Sign(key(), claims(issuer, time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		want(t, "impatient", prove(ctx, v, acme, raw, wanted(issuer)), identity.ErrUnavailable)
		want(t, "without patience", v.Token(t.Context(), acme, raw, wanted(issuer), 100*time.Millisecond), identity.ErrUnavailable)
		bubbletest.Pass(2 * time.Second)
		want(t, "later", prove(t.Context(), v, acme, raw, wanted(issuer)), nil)
		if n := p.count(issuer); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
	})
}

func TestDeadIssuersOfOneCustomerSlowNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		var all sync.WaitGroup
		for n := range 1000 {
			dead := fmt.Sprintf("https://dead-%d.example.com", n)
			p.set(func(p *published) { p.wait[dead] = time.Hour })
			raw := identitytest.Sign(key(), claims(dead, time.Hour))
			all.Go(func() {
				want(t, "dead", prove(t.Context(), v, "mallory", raw, wanted(dead)), identity.ErrUnavailable)
			})
		}
		synctest.Wait()
		p.set(func(p *published) { p.keys[issuer] = []jose.JSONWebKey{key()} })
		begin := time.Now()
		want(t, "another customer", prove(t.Context(), v, acme, identitytest.Sign(key(), claims(issuer, time.Hour)), wanted(issuer)), nil)
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("another customer waited %s", waited)
		}
		p.set(func(p *published) {
			asked := 0
			for url, n := range p.asked {
				if strings.HasPrefix(url, "https://dead-") {
					asked += n
				}
			}
			if asked != 4 {
				t.Errorf("%d fetches of one customer are under way, want 4", asked)
			}
		})
		all.Wait()
	})
}

func TestOnlyAnIssuerWhoseTokenClaimsAllIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := run(t, identity.Defaults())
		p := publish(v)
		p.keys[issuer] = []jose.JSONWebKey{key()}
		wrong := claims(issuer, time.Hour)
		wrong.Subject = "somebody"
		for what, raw := range map[string]string{
			"another subject": identitytest.Sign(key(), wrong), "expired": identitytest.Sign(key(), claims(issuer, -time.Hour)),
			"another issuer": identitytest.Sign(key(), claims("https://elsewhere.example.com", time.Hour)), "no token": "x",
		} {
			want(t, what, prove(t.Context(), v, acme, raw, wanted(issuer)), identity.ErrRefused)
		}
		if p.count(issuer)+p.count("https://elsewhere.example.com") != 0 {
			t.Errorf("asked: %v, want nobody", p.asked)
		}
	})
}

package creds

import (
	"hash/fnv"
	"sync/atomic"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
)

// Lives of what is handed out.
const (
	// MinLife is what is left at least of a session that is handed out while the cloud answers: botocore begins to
	// refresh at 15 minutes, and then does so at every request.
	MinLife = 15 * time.Minute / compressed
	// HardLimit is how long before its expiry a session is dropped whatever happens: a request that is signed now has to
	// arrive, and clocks differ.
	HardLimit = 60 * time.Second / compressed
)

// Issued is a session and what is left of it, as this process measures it; what a [Store] keeps. The clocks of replicas,
// of the cloud and of a store differ, so nothing but durations passes between them.
type Issued struct {
	cloud.Session
	// At is when the session was asked for, by this process's clock and with its monotonic reading. A store that brings
	// it from another process reckons it from the time that the entry has left.
	At time.Time
	// Life is how long it lives from At on, as its issuer saw it: never longer than was asked for.
	Life time.Duration
}

// newIssued measures a session that was asked for at a moment and for a duration. A cloud gives no longer life than was
// asked for; where it seems to, our clock is behind, and does not show what was cut off: clouds name the end in whole
// seconds (STS API reference, Credentials).
func newIssued(s cloud.Session, at time.Time, asked time.Duration) Issued {
	life := s.Expires.Sub(at)
	if life > asked {
		life = asked - time.Second
	}
	return Issued{Session: s, At: at, Life: life}
}

// prepared is a session in memory with all that an answer needs. What it says never changes.
type prepared struct {
	Issued
	// deadline carries a monotonic reading: it holds also when the wall clock is set back.
	deadline  time.Time
	refreshAt time.Time
	container document
	noted     atomic.Bool // the trail knows that it was handed out
	// process is made for the first who asks for it: few do, and it is as large as the other.
	process atomic.Pointer[document]
}

// prepare readies a session for its answers.
func prepare(k Key, r Recipe, s Issued) (*prepared, error) {
	life := min(s.Life, r.Duration)
	p := &prepared{Issued: s, deadline: s.At.Add(life)}
	p.refreshAt = s.At.Add(life/2 + time.Duration(spread(k, s)*float64(life)/10))
	if r.hop() == hopPlatform {
		return p, nil // nobody is answered with it
	}
	var err error
	p.container, err = newDocument(containerCredentials{
		AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey.Reveal(), Token: s.Token.Reveal(), Expiration: p.expiry(),
		AccountID: s.Account, RoleARN: r.Chain[len(r.Chain)-1],
	})
	return p, err
}

func (p *prepared) expiry() string { return p.Expires.UTC().Format(time.RFC3339) }

// forProcess is the answer in the shape of a credential_process.
func (p *prepared) forProcess() (document, error) {
	if made := p.process.Load(); made != nil {
		return *made, nil
	}
	made, err := newDocument(processCredentials{
		Version: 1, AccessKeyID: p.AccessKeyID, SecretAccessKey: p.SecretAccessKey.Reveal(),
		SessionToken: p.Token.Reveal(), Expiration: p.expiry(), AccountID: p.Account,
	})
	if err == nil {
		p.process.Store(&made)
	}
	return made, err
}

// spread is in [0, 1) and the same on every replica, so that the moment of a refresh is one moment for the whole fleet:
// with a moment of its own for each of n replicas the earliest would count, and the calls per hour would grow with n.
func spread(k Key, s Issued) float64 {
	h := fnv.New64a()
	h.Write(k.Sum[:])
	h.Write([]byte(s.AccessKeyID))
	return float64(h.Sum64()>>11) / (1 << 53)
}

// left is how long the session may be handed out; negative when it is over. It believes the worse of two clocks: the wall
// clock may have been set back, and the monotonic clock stands still while a machine sleeps. A nil session has none.
func (p *prepared) left(now time.Time) time.Duration {
	if p == nil {
		return -1
	}
	return min(p.deadline.Sub(now), p.Expires.Sub(now)) - HardLimit
}

// good reports whether the session may be handed out without looking any further.
func (p *prepared) good(now time.Time) bool { return p.left(now) >= MinLife-HardLimit }

// valid reports whether the session may be handed out at all.
func (p *prepared) valid(now time.Time) bool { return p.left(now) > 0 }

// due reports whether half of the session's life is over.
func (p *prepared) due(now time.Time) bool { return !now.Before(p.refreshAt) }

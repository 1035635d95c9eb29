package identity

import (
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/rolebridge/rolebridge/integration"
)

// maxVerdicts bounds the memory of verdicts, about 30 MB. Only verified tokens have one, so nobody without such tokens can
// push out those of others.
const maxVerdicts = 100_000

// verdict is that a token proves an identity.
type verdict struct {
	until  time.Time
	issuer *issuer
	key    string // thumbprint of the key that it was signed with
}

// proof is what a verdict is about.
type proof struct {
	token [sha256.Size]byte
	of    integration.OIDC
}

// verdicts spare warm reads the signature, and make them independent of the issuer.
type verdicts struct{ by *lru.Cache[proof, verdict] }

func newVerdicts() *verdicts {
	by, err := lru.New[proof, verdict](maxVerdicts)
	if err != nil {
		panic(err) // only of a size below one
	}
	return &verdicts{by}
}

// hold reports whether an earlier verdict says that the token proves one of these workloads: until it expires, as long as
// its issuer has not withdrawn the key.
func (v *verdicts) hold(all *issuers, o integration.OrganizationID, raw string, among []integration.Workload, now time.Time) bool {
	p := proof{token: sha256.Sum256([]byte(raw))}
	for n := range among {
		p.of = among[n].OIDC
		known, ok := v.by.Get(p)
		if !ok {
			continue
		}
		if now.Before(known.until) && all.still(known.issuer, known.key, o, now) {
			return true
		}
		v.by.Remove(p)
	}
	return false
}

func (v *verdicts) keep(raw string, of integration.OIDC, that verdict) {
	v.by.Add(proof{sha256.Sum256([]byte(raw)), of}, that)
}

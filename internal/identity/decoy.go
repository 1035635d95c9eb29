package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// decoys are tokens of each algorithm with keys that are nobody's: verifying one takes the time of verifying a token that
// was presented, and always fails.
type decoys map[jose.SignatureAlgorithm]decoy

type decoy struct {
	token *jwt.JSONWebToken
	key   any
}

// decoyBits is the size of the RSA keys of nearly all issuers.
const decoyBits = 2048

func newDecoys() (decoys, error) {
	modulus := make([]byte, decoyBits/8)
	_, _ = rand.Read(modulus) // never fails
	modulus[0] |= 0x80
	modulus[len(modulus)-1] |= 1
	rsaKey := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}
	small, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	all := decoys{}
	for _, alg := range algorithms {
		d := decoy{key: any(rsaKey)}
		signature := make([]byte, decoyBits/8)
		switch alg {
		case jose.ES256:
			d.key, signature = small.Public(), make([]byte, 64)
		case jose.ES384:
			d.key, signature = large.Public(), make([]byte, 96)
		case jose.EdDSA:
			d.key, signature = edwards, make([]byte, ed25519.SignatureSize)
		}
		// Small numbers in all parts: a signature that is out of range would be refused before any work.
		for n := range signature {
			signature[n] = 1
		}
		if d.token, err = jwt.ParseSigned(compact(alg, signature), []jose.SignatureAlgorithm{alg}); err != nil {
			return nil, err
		}
		all[alg] = d
	}
	return all, nil
}

// spend takes the time of a verification.
func (d decoys) spend(alg jose.SignatureAlgorithm) {
	if of, ok := d[alg]; ok {
		var nothing struct{}
		_ = of.token.Claims(of.key, &nothing) // always an error
	}
}

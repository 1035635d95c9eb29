package creds

// What the fuzzers reach past the network for.
var (
	ToProcess = toProcess
	RefusalOf = refusalOf
)

// Seal is what a store keeps of a session.
func (s *Sealer) Seal(k Key, of Issued) ([]byte, error) { return s.seal(k, of) }

// SealText seals what is no session.
func (s *Sealer) SealText(k Key, plain []byte) ([]byte, error) {
	return (*s.aead.Load()).Encrypt(plain, sealedFor(k))
}

// Open reads what a store keeps.
func (s *Sealer) Open(k Key, sealed []byte) (Issued, error) { return s.open(k, sealed) }

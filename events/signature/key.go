package signature

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/gowebpki/jcs"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/secret"
)

const pemType = "PRIVATE KEY"

// Key signs commands. It cannot be printed. Safe for concurrent use.
type Key struct {
	seed   secret.Text
	public PublicKey
}

// NewKey makes a key at random.
func NewKey() Key {
	_, private, _ := ed25519.GenerateKey(rand.Reader) // crypto/rand never fails
	return keyOf(private)
}

func keyOf(private ed25519.PrivateKey) Key {
	return Key{secret.New(string(private.Seed())), publicOf(private.Public().(ed25519.PublicKey))}
}

// ParseKey reads a private key as PKCS #8 in PEM, such as `openssl genpkey -algorithm ed25519` writes.
func ParseKey(text []byte) (Key, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(rest) > 0 {
		return Key{}, errors.New("want one PEM block of type " + pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Key{}, errors.New("want a private key as PKCS #8")
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return Key{}, errors.New("want an Ed25519 key")
	}
	return keyOf(private), nil
}

// ReadKey reads a private key from a file that only its owner may read.
func ReadKey(path string) (Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("signing key: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return Key{}, fmt.Errorf("signing key: %s: others may read it (%v): want mode 0600", path, info.Mode().Perm())
	}
	key, err := ParseKey(text)
	if err != nil {
		return key, fmt.Errorf("signing key: %s: %w", path, err)
	}
	return key, nil
}

func (k Key) private() ed25519.PrivateKey { return ed25519.NewKeyFromSeed([]byte(k.seed.Reveal())) }

// PEM returns the private key as [ParseKey] reads it. Whoever has it may sign.
func (k Key) PEM() []byte {
	der, _ := x509.MarshalPKCS8PrivateKey(k.private()) // an Ed25519 key always has that form
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
}

// Public returns the public key.
func (k Key) Public() PublicKey { return k.public }

// Sign signs the event in a record in binary mode, by two more attributes.
func (k Key) Sign(r *kgo.Record) error {
	if err := events.Extend(r, events.ExtSignatureKey, k.public.ID()); err != nil {
		return err
	}
	signed, _, err := canonical(r)
	if err != nil {
		return err
	}
	return events.Extend(r, events.ExtSignature, k.sign(signed))
}

// SignEvent signs an event in the JSON format of CloudEvents, as a record in structured mode carries it, and returns it in
// its canonical form with the signature. What was signed before is signed anew.
func (k Key) SignEvent(text []byte) ([]byte, error) {
	text, err := jcs.Transform(text)
	if err != nil {
		return nil, fmt.Errorf("no canonical form (RFC 8785): %w", err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, errors.New("want one JSON object")
	}
	if at, _ := all["time"].(string); at == "" {
		return nil, errors.New("attribute time is missing: a signature counts from it")
	}
	delete(all, events.ExtSignature)
	all[events.ExtSignatureKey] = k.public.ID()
	if text, err = json.Marshal(all); err != nil {
		return nil, err
	}
	if text, err = jcs.Transform(text); err != nil {
		return nil, err
	}
	all[events.ExtSignature] = k.sign(text)
	if text, err = json.Marshal(all); err != nil {
		return nil, err
	}
	return jcs.Transform(text)
}

func (k Key) sign(text []byte) string {
	return base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.private(), text))
}

// PublicKey checks signatures.
type PublicKey struct {
	key ed25519.PublicKey
	der string // SubjectPublicKeyInfo (RFC 5280)
}

func publicOf(key ed25519.PublicKey) PublicKey {
	der, _ := x509.MarshalPKIXPublicKey(key) // an Ed25519 key always has that form
	return PublicKey{key, string(der)}
}

// ParsePublicKey reads what [PublicKey.String] writes.
func ParsePublicKey(text string) (PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return PublicKey{}, errors.New("want base64")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, errors.New("want a public key as SubjectPublicKeyInfo")
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, errors.New("want an Ed25519 key")
	}
	return publicOf(key), nil
}

// String is the SubjectPublicKeyInfo in base64: the line between the lines of dashes of `openssl pkey -pubout`.
func (p PublicKey) String() string { return base64.StdEncoding.EncodeToString([]byte(p.der)) }

// ID is what a command names its key by: the SHA-256 of the SubjectPublicKeyInfo, in base64url.
func (p PublicKey) ID() string {
	sum := sha256.Sum256([]byte(p.der))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// claim is what a record says of its signature; empty when it has none.
type claim struct {
	Key       string `json:"signaturekey"`
	Signature string `json:"signature"`
}

// canonical returns the bytes of an event that are signed, which is all of it but the signature, and its claim. A name that
// is there twice is an error, since readers may differ in which of the two they take.
func canonical(r *kgo.Record) (signed []byte, of claim, err error) {
	text, err := events.Document(r)
	if err != nil {
		return nil, of, err
	}
	if text, err = jcs.Transform(text); err != nil {
		return nil, of, fmt.Errorf("no canonical form (RFC 8785): %w", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, of, err
	}
	if err := json.Unmarshal(text, &of); err != nil {
		return nil, of, errors.New("attributes signature and signaturekey are not texts")
	}
	delete(all, events.ExtSignature)
	if text, err = json.Marshal(all); err != nil {
		return nil, of, err
	}
	signed, err = jcs.Transform(text)
	return signed, of, err
}

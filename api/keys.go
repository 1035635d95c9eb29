package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/strictyaml"
)

// Key is an API key of the operator's own, beside those of accounts: whose it is, in which organization, and the SHA-256 of its
// secret. The secret itself is with its owner only; being random and long it needs no slow hash.
type Key struct {
	ID           string
	Organization integration.OrganizationID
	Principal    integration.Principal
	Hash         [sha256.Size]byte
}

// Keyring finds API keys. Safe for concurrent use.
type Keyring interface {
	Key(id string) (Key, bool)
}

// Keys is a fixed [Keyring].
type Keys map[string]Key

// Key finds a key.
func (k Keys) Key(id string) (Key, bool) {
	key, ok := k[id]
	return key, ok
}

// NewKeys makes a keyring of keys, whose ids must differ.
func NewKeys(keys ...Key) (Keys, error) {
	ring := Keys{}
	for _, k := range keys {
		if _, twice := ring[k.ID]; twice {
			return nil, fmt.Errorf("api.keys: %s is there twice", k.ID)
		}
		ring[k.ID] = k
	}
	return ring, nil
}

// HashSecret is what a [Key] keeps of its secret.
func HashSecret(s secret.Text) [sha256.Size]byte { return sha256.Sum256([]byte(s.Reveal())) }

// keyFile is what [ReadKeys] reads.
type keyFile struct {
	Keys []struct {
		Key          string      `yaml:"key"`
		Secret       secret.Text `yaml:"secret"`
		SecretSHA256 string      `yaml:"secret_sha256"`
		Organization string      `yaml:"organization"`
		Principal    string      `yaml:"principal"`
	} `yaml:"keys"`
}

// keyID has no colon, since Basic credentials end the key at the first.
var keyID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// minSecret is the length of a secret of 128 random bits in base64.
const minSecret = 22

// ReadKeys reads a keyring from a YAML file, that only its owner may read:
//
//	keys:
//	  - key: DEVKEY
//	    secret: …              # or secret_sha256: 64 hexadecimal digits
//	    organization: org-1
//	    principal: u-admin
//
// It names all faults at once, and never a secret.
func ReadKeys(path string) (Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("api.keys: %w", err)
	}
	defer f.Close()
	var faults []error
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		faults = append(faults, fmt.Errorf("api.keys: %s: others may read it (%v): want mode 0600", path, info.Mode().Perm()))
	}
	var file keyFile
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("api.keys: %w", err)
	}
	if err := strictyaml.Decode(text, &file); errors.Is(err, strictyaml.ErrMore) {
		return nil, fmt.Errorf("api.keys: %s: %w", path, err)
	} else if err != nil { // whose text may have a secret
		return nil, fmt.Errorf("api.keys: %s: want a list of keys, each with key, secret or secret_sha256, organization, principal", path)
	}
	keys := make([]Key, 0, len(file.Keys))
	for n, k := range file.Keys {
		fault := func(field, want string) {
			faults = append(faults, fmt.Errorf("api.keys: %s: keys[%d].%s: want %s", path, n, field, want))
		}
		if !keyID.MatchString(k.Key) {
			fault("key", "1 to 64 letters, digits, '_', '.' or '-'")
		}
		if k.Organization == "" {
			fault("organization", "an organization's id")
		}
		if k.Principal == "" {
			fault("principal", "a principal")
		}
		key := Key{ID: k.Key, Organization: integration.OrganizationID(k.Organization), Principal: integration.Principal(k.Principal)}
		switch sum, err := hex.DecodeString(k.SecretSHA256); {
		case k.Secret.Empty() == (k.SecretSHA256 == ""):
			fault("secret", "either secret or secret_sha256")
		case !k.Secret.Empty() && len(k.Secret.Reveal()) < minSecret:
			fault("secret", fmt.Sprintf("at least %d random characters", minSecret))
		case !k.Secret.Empty():
			key.Hash = HashSecret(k.Secret)
		case err != nil || len(sum) != len(key.Hash):
			fault("secret_sha256", "64 hexadecimal digits")
		default:
			copy(key.Hash[:], sum)
		}
		keys = append(keys, key)
	}
	ring, err := NewKeys(keys...)
	return ring, errors.Join(append(faults, err)...)
}

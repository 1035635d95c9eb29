package creds

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Sealer encrypts sessions for a store that others can read: AES-256-GCM under a Tink keyset, bound to the key and epoch
// that the session is for, so that an entry moved to another key does not open. Safe for concurrent use.
type Sealer struct{ aead atomic.Pointer[tink.AEAD] }

// NewSealer makes a sealer with a keyset of its own, which ends with the process: entries of other processes do not open.
func NewSealer() (*Sealer, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("creds: %w", err)
	}
	s := new(Sealer)
	if err := s.use(handle); err != nil {
		return nil, err
	}
	return s, nil
}

// OpenSealer reads a Tink keyset in JSON, as [WriteKeyset] and tinkey make it. Every replica needs the same.
func OpenSealer(path string) (*Sealer, error) {
	handle, err := KeysetFile{Path: path}.Read(context.Background())
	if err != nil {
		return nil, err
	}
	s := new(Sealer)
	err = s.use(handle)
	return s, err
}

func (s *Sealer) use(handle *keyset.Handle) error {
	a, err := aead.New(handle)
	if err != nil {
		return fmt.Errorf("creds: keyset: %w", err)
	}
	s.aead.Store(&a)
	return nil
}

// entry is a session as it is sealed.
type entry struct {
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	Token           string    `json:"token"`
	Expires         time.Time `json:"expires"`
	Identity        string    `json:"identity"`
	Account         string    `json:"account"`
	// Life, and no moment at which it began: the clock of who reads it is another one. The store knows what is left.
	Life time.Duration `json:"life"`
}

// seal encrypts a session for k.
func (s *Sealer) seal(k Key, of Issued) ([]byte, error) {
	plain, err := json.Marshal(entry{
		AccessKeyID: of.AccessKeyID, SecretAccessKey: of.SecretAccessKey.Reveal(), Token: of.Token.Reveal(),
		Expires: of.Expires, Identity: of.Identity, Account: of.Account, Life: of.Life,
	})
	if err != nil {
		return nil, err
	}
	return (*s.aead.Load()).Encrypt(plain, sealedFor(k))
}

// open decrypts what was sealed for k; for anything else it returns [ErrUnreadable].
func (s *Sealer) open(k Key, sealed []byte) (Issued, error) {
	plain, err := (*s.aead.Load()).Decrypt(sealed, sealedFor(k))
	if err != nil {
		return Issued{}, ErrUnreadable
	}
	var e entry
	if err := json.Unmarshal(plain, &e); err != nil {
		return Issued{}, ErrUnreadable
	}
	return Issued{Life: e.Life, Session: cloud.Session{
		AccessKeyID: e.AccessKeyID, SecretAccessKey: secret.New(e.SecretAccessKey), Token: secret.New(e.Token),
		Expires: e.Expires, Identity: e.Identity, Account: e.Account,
	}}, nil
}

// sealedFor is the associated data. Which key of the keyset was used stands in Tink's prefix of the ciphertext.
func sealedFor(k Key) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("rolebridge session 2"), k.Sum[:]...), uint64(k.Epoch)) //nolint:gosec // the same bits are as good
}

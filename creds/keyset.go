package creds

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/rolebridge/rolebridge/internal/wholefile"
)

// KeysetFile is a Tink keyset in a file, in JSON, as tinkey makes it too. Every replica needs the same. Its keys are
// changed without an outage in this order, each step on all replicas before the next: Add, Promote, and an hour later,
// when the last session sealed with the old key has expired, Remove.
type KeysetFile struct {
	Path string
	// KMS has a key that encrypts the keyset in the file; nil: the keyset stands there in the clear. A file of the other kind
	// is refused.
	KMS tink.AEADWithContext
}

// KeysetKey is one key of a keyset, without its material.
type KeysetKey struct {
	ID      uint32
	Primary bool // seals; all others only open
}

// Create writes a keyset with one new key to a new file that only its owner can read. An existing one is an
// [fs.ErrExist].
func (f KeysetFile) Create(ctx context.Context) error {
	if _, err := os.Stat(f.Path); err == nil {
		return fmt.Errorf("creds: keyset: %s: %w", f.Path, fs.ErrExist)
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("creds: %w", err)
	}
	return f.write(ctx, handle, wholefile.Create)
}

// Add adds a key that opens and does not seal yet, and returns its id.
func (f KeysetFile) Add(ctx context.Context) (id uint32, err error) {
	err = f.change(ctx, func(m *keyset.Manager) error {
		id, err = m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
	return id, err
}

// Promote lets a key seal from now on. Replicas that do not have it yet cannot open what it seals.
func (f KeysetFile) Promote(ctx context.Context, id uint32) error {
	return f.change(ctx, func(m *keyset.Manager) error { return m.SetPrimary(id) })
}

// Remove removes a key: what it sealed does not open any more. The key that seals cannot be removed.
func (f KeysetFile) Remove(ctx context.Context, id uint32) error {
	return f.change(ctx, func(m *keyset.Manager) error { return m.Delete(id) })
}

// Keys lists the keys.
func (f KeysetFile) Keys(ctx context.Context) ([]KeysetKey, error) {
	handle, err := f.Read(ctx)
	if err != nil {
		return nil, err
	}
	info := handle.KeysetInfo()
	var keys []KeysetKey
	for _, k := range info.GetKeyInfo() {
		keys = append(keys, KeysetKey{ID: k.GetKeyId(), Primary: k.GetKeyId() == info.GetPrimaryKeyId()})
	}
	return keys, nil
}

// Read reads the keyset. No error repeats what is in the file.
func (f KeysetFile) Read(ctx context.Context) (*keyset.Handle, error) {
	raw, err := os.ReadFile(f.Path)
	if err != nil {
		return nil, fmt.Errorf("creds: keyset: %w", err)
	}
	return f.parse(ctx, raw)
}

// keysetUse is the associated data of encrypted keysets: what the same KMS key encrypted for something else does not open,
// and a policy of that key can ask for it.
const keysetUse = "rolebridge/keyset"

var (
	errNoKeyset  = errors.New("it is no keyset of AES-GCM keys in JSON")
	errEncrypted = errors.New("it is encrypted, and no KMS key is named (broker.keyset_kms, --kms)")
	errClear     = errors.New("it is in the clear, though a KMS key is named (broker.keyset_kms, --kms)")
)

func (f KeysetFile) parse(ctx context.Context, raw []byte) (*keyset.Handle, error) {
	handle, err := f.open(ctx, raw)
	if err == nil {
		if _, bad := aead.New(handle); bad != nil {
			err = errNoKeyset
		}
	}
	if err != nil {
		return nil, fmt.Errorf("creds: keyset: %s: %w", f.Path, err)
	}
	return handle, nil
}

// open returns none of the parsers' errors: they may quote a key.
func (f KeysetFile) open(ctx context.Context, raw []byte) (*keyset.Handle, error) {
	var looks struct {
		Encrypted string            `json:"encryptedKeyset"`
		Clear     []json.RawMessage `json:"key"`
	}
	if json.Unmarshal(raw, &looks) != nil {
		return nil, errNoKeyset
	}
	from := keyset.NewJSONReader(bytes.NewReader(raw))
	switch {
	case f.KMS == nil && looks.Encrypted != "":
		return nil, errEncrypted
	case f.KMS != nil && len(looks.Clear) > 0:
		return nil, errClear
	case f.KMS != nil && looks.Encrypted == "":
		return nil, errNoKeyset
	case f.KMS != nil:
		by := &heard{AEADWithContext: f.KMS}
		handle, err := keyset.ReadWithContext(ctx, from, by, []byte(keysetUse))
		if by.err != nil {
			return nil, fmt.Errorf("the KMS key did not open it: %w", by.err)
		}
		if err != nil {
			return nil, errNoKeyset
		}
		return handle, nil
	}
	handle, err := insecurecleartextkeyset.Read(from)
	if err != nil {
		return nil, errNoKeyset
	}
	return handle, nil
}

// heard keeps what the KMS said: Tink hands on its text only.
type heard struct {
	tink.AEADWithContext
	err error
}

// EncryptWithContext implements [tink.AEADWithContext].
func (h *heard) EncryptWithContext(ctx context.Context, plain, use []byte) (sealed []byte, err error) {
	sealed, h.err = h.AEADWithContext.EncryptWithContext(ctx, plain, use)
	return sealed, h.err
}

// DecryptWithContext implements [tink.AEADWithContext].
func (h *heard) DecryptWithContext(ctx context.Context, sealed, use []byte) (plain []byte, err error) {
	plain, h.err = h.AEADWithContext.DecryptWithContext(ctx, sealed, use)
	return plain, h.err
}

func (f KeysetFile) change(ctx context.Context, change func(*keyset.Manager) error) error {
	handle, err := f.Read(ctx)
	if err != nil {
		return err
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := change(manager); err != nil {
		return fmt.Errorf("creds: %w", err)
	}
	if handle, err = manager.Handle(); err != nil {
		return fmt.Errorf("creds: %w", err)
	}
	return f.write(ctx, handle, wholefile.Replace)
}

// write puts a whole new file in place: a broker may read it at any moment.
func (f KeysetFile) write(ctx context.Context, handle *keyset.Handle, place func(path string, text []byte) error) error {
	var raw bytes.Buffer
	var err error
	if to := keyset.NewJSONWriter(&raw); f.KMS != nil {
		by := &heard{AEADWithContext: f.KMS}
		err = handle.WriteWithContext(ctx, to, by, []byte(keysetUse))
		if by.err != nil {
			err = fmt.Errorf("the KMS key did not encrypt it: %w", by.err)
		}
	} else {
		err = insecurecleartextkeyset.Write(handle, to)
	}
	if err != nil {
		return fmt.Errorf("creds: keyset: %w", err)
	}
	if err := place(f.Path, raw.Bytes()); err != nil {
		return fmt.Errorf("creds: keyset: %w", err)
	}
	return nil
}

// WriteKeyset is [KeysetFile.Create] in the clear.
func WriteKeyset(ctx context.Context, path string) error {
	return KeysetFile{Path: path}.Create(ctx)
}

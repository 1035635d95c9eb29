package creds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// KeysetFile is a Tink keyset in a file, in JSON, as tinkey makes it too. Every replica needs the same. Its keys are
// changed without an outage in this order, each step on all replicas before the next: Add, Promote, and an hour later,
// when the last session sealed with the old key has expired, Remove.
type KeysetFile struct {
	Path string
	// KMS has a key that encrypts the keyset in the file; nil: the keyset stands there in the clear.
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
	return f.write(ctx, handle, os.Link) // which never replaces
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

var errNoKeyset = errors.New("it is no keyset of AES-GCM keys in JSON")

func (f KeysetFile) parse(ctx context.Context, raw []byte) (*keyset.Handle, error) {
	from := keyset.NewJSONReader(bytes.NewReader(raw))
	var handle *keyset.Handle
	var err error
	if f.KMS != nil {
		if handle, err = keyset.ReadWithContext(ctx, from, f.KMS, nil); err != nil {
			return nil, fmt.Errorf("creds: keyset: %s: the KMS key does not open it: %w", f.Path, err)
		}
	} else {
		// A parser's error may quote the key.
		if handle, err = insecurecleartextkeyset.Read(from); err != nil {
			return nil, fmt.Errorf("creds: keyset: %s: %w", f.Path, errNoKeyset)
		}
	}
	if _, err := aead.New(handle); err != nil {
		return nil, fmt.Errorf("creds: keyset: %s: %w", f.Path, errNoKeyset)
	}
	return handle, nil
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
	return f.write(ctx, handle, os.Rename)
}

// write puts a whole new file in place: a broker may read it at any moment.
func (f KeysetFile) write(ctx context.Context, handle *keyset.Handle, place func(from, to string) error) error {
	var raw bytes.Buffer
	var err error
	if to := keyset.NewJSONWriter(&raw); f.KMS != nil {
		err = handle.WriteWithContext(ctx, to, f.KMS, nil)
	} else {
		err = insecurecleartextkeyset.Write(handle, to)
	}
	if err != nil {
		return fmt.Errorf("creds: keyset: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(f.Path), ".keyset-*") // which nobody else can read
	if err != nil {
		return fmt.Errorf("creds: keyset: %w", err)
	}
	defer func() { _ = os.Remove(next.Name()) }()
	_, err = next.Write(raw.Bytes())
	if err = errors.Join(err, next.Sync(), next.Close()); err == nil {
		err = place(next.Name(), f.Path)
	}
	if err != nil {
		return fmt.Errorf("creds: keyset: %w", err)
	}
	return nil
}

// WriteKeyset is [KeysetFile.Create] in the clear.
func WriteKeyset(ctx context.Context, path string) error {
	return KeysetFile{Path: path}.Create(ctx)
}

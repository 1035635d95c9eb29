package creds_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rolebridge/rolebridge/creds"
)

// FuzzAKeysetFile: no file makes us panic, what is read has a key that seals, and no error repeats what is in the file.
func FuzzAKeysetFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "keyset.json")
	if err := creds.WriteKeyset(f.Context(), path); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		good, good[:len(good)/2], nil, []byte("{}"), []byte("null"), []byte(`{"encryptedKeyset":"AAAA"}`), []byte(`{"primaryKeyId":1,"key":[{}]}`),
		bytes.Replace(good, []byte("ENABLED"), []byte("DISABLED"), 1), bytes.Replace(good, []byte("AesGcmKey"), []byte("HmacKey"), 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := creds.KeysetFile{Path: path}.Keys(t.Context())
		if err != nil {
			if long := bytes.TrimSpace(text); len(long) > 20 && bytes.Contains([]byte(err.Error()), long) {
				t.Fatalf("the error shows the file: %v", err)
			}
			return
		}
		primary := 0
		for _, k := range keys {
			if k.Primary {
				primary++
			}
		}
		if primary == 0 {
			t.Fatalf("%q is a keyset of which no key seals: %+v", text, keys)
		}
	})
}

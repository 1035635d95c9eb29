package creds_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/integration"
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

// FuzzAnyRequestToTheBroker: whatever a client sends, the answer is one short JSON document that names its length; a refusal has a
// code, is never our fault and repeats no secret; and a session goes to nobody but the holder of the token.
func FuzzAnyRequestToTheBroker(f *testing.F) {
	w := newWorld(f)
	b := w.broker(f)
	token := w.token.Reveal()
	for _, seed := range [][5]string{
		{"GET", creds.Path, "", token, "aws-sdk-java/2"},
		{"GET", creds.Path, "format=process", "Bearer " + token, ""},
		{"GET", creds.Path, "integration=cspi-orders&connector=orders-sink", token, ""},
		{"GET", creds.Path, "integration=cspi-orders&connector=orders-sink&integration=x", "Bearer " + token[1:], ""},
		{"GET", creds.Path, "integration=cspi-orders&connector=orders-sink", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2kifQ.AQ", ""},
		{"GET", creds.Path, "format=x", token, ""},
		{"GET", creds.Path, "%zz;&=", strings.Repeat("t", 9000), ""},
		{"POST", creds.Path, strings.Repeat("a", 1025), "", "aws-sdk-java/1"},
		{"GET", creds.Path + "/", "", token, ""},
		{"\x00", "", "\x00", "\xff", "\x7f"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], "192.0.2.1:5")
	}
	f.Fuzz(func(t *testing.T, method, path, query, authorization, agent, from string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Method, r.URL, r.RemoteAddr = method, &url.URL{Path: path, RawQuery: query}, from
		r.Header["Authorization"], r.Header["User-Agent"] = []string{authorization}, []string{agent}
		got := httptest.NewRecorder()
		b.Handler().ServeHTTP(got, r)
		var said map[string]any
		if err := json.Unmarshal(got.Body.Bytes(), &said); err != nil || got.Header().Get("Content-Length") != strconv.Itoa(got.Body.Len()) || got.Body.Len() > 4<<10 {
			t.Fatalf("%s %q?%q: got %d with %d bytes, %v: %.200s", method, path, query, got.Code, got.Body.Len(), got.Header(), got.Body)
		}
		if got.Code == http.StatusOK {
			if shown := strings.TrimPrefix(authorization, "Bearer "); shown != token || method != http.MethodGet || path != creds.Path || said["SecretAccessKey"] == "" {
				t.Fatalf("%s %q?%q with %q: got a session", method, path, query, authorization)
			}
			return
		}
		if got.Code >= 500 || said["code"] == nil || said["code"] == "" || said["Code"] != said["code"] || said["message"] == "" || strings.Contains(got.Body.String(), token) {
			t.Fatalf("%s %q?%q: got %d %s", method, path, query, got.Code, got.Body)
		}
	})
}

// FuzzASealedEntry: an entry of the store opens only whole, and for the key and epoch that it was sealed for; what opens is
// sealed and opened the same again. Anything else is unreadable, which has the session fetched anew.
func FuzzASealedEntry(f *testing.F) {
	sealer, err := creds.NewSealer()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"access_key_id":"ASIA","secret_access_key":"s","token":"t","expires":"2026-01-01T00:00:00Z","identity":"i","account":"1","life":3600000000000}`,
		`{"expires":"0000-01-01T00:00:00+23:59","life":-9223372036854775808}`, `{"life":1e3}`, `{"token":"\ud800"}`, `{"access_key_id":1}`, "\x01\x00\x00\x00\x00",
	} {
		f.Add([]byte(seed), uint16(0), byte(0), int64(0))
		f.Add([]byte(seed), uint16(7), byte(1), int64(0))
		f.Add([]byte(seed), uint16(0), byte(0), int64(-1))
	}
	f.Fuzz(func(t *testing.T, plain []byte, at uint16, flip byte, epochs int64) {
		if _, err := sealer.Open(recipe().Key(), plain); !errors.Is(err, creds.ErrUnreadable) {
			t.Fatalf("%q opens, and was sealed by nobody: %v", plain, err)
		}
		k := recipe().Key()
		sealed, err := sealer.SealText(k, plain)
		if err != nil {
			t.Fatal(err)
		}
		sealed[int(at)%len(sealed)] ^= flip
		k.Epoch += epochs
		got, err := sealer.Open(k, sealed)
		if err != nil {
			if !errors.Is(err, creds.ErrUnreadable) {
				t.Fatalf("%q: got %v, want %v", plain, err, creds.ErrUnreadable)
			}
			return
		}
		if flip != 0 || epochs != 0 {
			t.Fatalf("%q opens though byte %d was changed by %x, %d epochs later", plain, at, flip, epochs)
		}
		again, err := sealer.Seal(k, got)
		if err != nil {
			t.Fatalf("%q was opened and cannot be sealed: %v", plain, err)
		}
		twice, err := sealer.Open(k, again)
		if err != nil || !twice.Expires.Equal(got.Expires) {
			t.Fatalf("sealed again %q opens as %+v, %v", plain, twice, err)
		}
		if got.Expires = twice.Expires; !reflect.DeepEqual(twice, got) {
			t.Fatalf("sealed again %q opens as %+v, want %+v", plain, twice, got)
		}
	})
}

// FuzzAnAnswerOfABroker: what the client prints for an SDK is a whole set of credentials or nothing, whatever answers at the
// address; an answer that tells of a refusal has a code.
func FuzzAnAnswerOfABroker(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2026-01-01T00:00:00Z","AccountId":"1"}`,
		`{"AccessKeyId":"A","SecretAccessKey":"","Token":"T"}`, `{"code":"denied","message":"m"}`, `{"Code":"denied"}`, `{"code":1}`, `{"accesskeyid":"\ud800","secretaccesskey":"S","token":"T"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if refused := creds.RefusalOf(raw); refused != nil && refused.Code == "" {
			t.Fatalf("%q is a refusal without a code", raw)
		}
		text, err := creds.ToProcess(raw)
		if err != nil {
			if _, refused := errors.AsType[*integration.Refusal](err); refused || len(err.Error()) > 200 {
				t.Fatalf("%q: got %v", raw, err)
			}
			return
		}
		var said struct{ AccessKeyID, SecretAccessKey, Token, Expiration, AccountID string }
		var printed struct {
			Version                                                           int
			AccessKeyID, SecretAccessKey, SessionToken, Expiration, AccountID string
		}
		if err := errors.Join(json.Unmarshal(raw, &said), json.Unmarshal(text, &printed)); err != nil {
			t.Fatal(err)
		}
		if printed.Version != 1 || printed.AccessKeyID == "" || printed.AccessKeyID != said.AccessKeyID || printed.SecretAccessKey == "" || printed.SecretAccessKey != said.SecretAccessKey ||
			printed.SessionToken == "" || printed.SessionToken != said.Token || printed.Expiration != said.Expiration || printed.AccountID != said.AccountID {
			t.Fatalf("%q is printed as %q", raw, text)
		}
	})
}

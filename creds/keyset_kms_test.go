package creds_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// kmsWorld is a KMS at the end of a road, and a key there.
type kmsWorld struct {
	*awstest.Road
	moto   string
	client *aws.Client
	key    tink.AEADWithContext
}

func newKMSWorld(t *testing.T) *kmsWorld {
	t.Helper()
	w := &kmsWorld{moto: testenv.Moto(t)}
	w.Road = awstest.RoadTo(t, w.moto)
	var err error
	w.client, err = aws.New(t.Context(), aws.Config{Region: awstest.Region, Endpoint: w.URL, Credentials: awstest.Static("any", "any")})
	must(t, err)
	t.Cleanup(w.client.Close)
	w.key = w.newKey(t)
	return w
}

func (w *kmsWorld) newKey(t *testing.T) tink.AEADWithContext {
	t.Helper()
	key, err := w.client.KMS(t.Context(), awstest.KMSKey(t, w.moto))
	must(t, err)
	return key
}

func TestAnEncryptedKeysetIsSharedAndRotatedLikeOneInTheClear(t *testing.T) {
	w, k := newRedisWorld(t), newKMSWorld(t)
	file := creds.KeysetFile{Path: filepath.Join(t.TempDir(), "keyset"), KMS: k.key}
	must(t, file.Create(t.Context()))
	var stands struct{ EncryptedKeyset []byte }
	raw, err := os.ReadFile(file.Path)
	must(t, err)
	must(t, json.Unmarshal(raw, &stands))
	plain, err := k.key.DecryptWithContext(t.Context(), stands.EncryptedKeyset, []byte("rolebridge/keyset"))
	must(t, err)
	material := plain[len(plain)-40:] // a keyset ends with the material of its key and a few tags
	if bytes.Contains(raw, material) || strings.Contains(string(raw), base64.StdEncoding.EncodeToString(material)) {
		t.Error("the key stands in the file in the clear")
	}

	one, two := watch(t, file, w.log), watch(t, file, w.log)
	before := w.readBy(t, one)
	if got := w.readBy(t, two); got != before {
		t.Error("two brokers with the same encrypted keyset share no session")
	}
	asked := k.Taken.Load()
	for range 5 {
		one.Load(t.Context())
	}
	if n := k.Taken.Load() - asked; n != 0 {
		t.Errorf("KMS was asked %d times about a file that did not change", n)
	}
	old, err := file.Keys(t.Context())
	must(t, err)
	added, err := file.Add(t.Context())
	must(t, err)
	must(t, file.Promote(t.Context(), added))
	must(t, file.Remove(t.Context(), old[0].ID))
	if keys, err := file.Keys(t.Context()); err != nil || len(keys) != 1 || keys[0] != (creds.KeysetKey{ID: added, Primary: true}) {
		t.Errorf("the keys are %v, %v; want the new one", keys, err)
	}
}

func TestAKeysetThatItsKMSKeyDoesNotOpenIsRefused(t *testing.T) {
	k := newKMSWorld(t)
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	must(t, err)
	encryptedFor := func(use []byte) []byte {
		var raw bytes.Buffer
		must(t, handle.WriteWithContext(t.Context(), keyset.NewJSONWriter(&raw), k.key, use))
		return raw.Bytes()
	}
	use := []byte("rolebridge/keyset")
	nothing, err := k.key.EncryptWithContext(t.Context(), []byte("hunter2"), use)
	must(t, err)
	ours, plain := encryptedFor(use), creds.KeysetFile{Path: filepath.Join(t.TempDir(), "plain")}
	must(t, plain.Create(t.Context()))
	inClear, err := os.ReadFile(plain.Path)
	must(t, err)
	for name, c := range map[string]struct {
		raw  []byte
		with tink.AEADWithContext
		want string // "" is none
	}{
		"ours":                          {ours, k.key, ""},
		"ours, with another key":        {ours, k.newKey(t), "AccessDeniedException"},
		"ours, without a key":           {ours, nil, "no KMS key is named"},
		"in the clear, with a key":      {inClear, k.key, "it is in the clear"},
		"encrypted for something else":  {encryptedFor([]byte("something/else")), k.key, "InvalidCiphertextException"},
		"encrypted for nothing":         {encryptedFor(nil), k.key, "InvalidCiphertextException"},
		"no ciphertext":                 {[]byte(`{"encryptedKeyset":"aHVudGVyMg=="}`), k.key, "InvalidCiphertextException"},
		"not in base64":                 {[]byte(`{"encryptedKeyset":"hunter2!"}`), k.key, "no keyset"},
		"no encrypted keyset inside":    {[]byte(`{}`), k.key, "no keyset"},
		"no keyset in the ciphertext":   {[]byte(`{"encryptedKeyset":"` + base64.StdEncoding.EncodeToString(nothing) + `"}`), k.key, "no keyset"},
		"half a file":                   {ours[:len(ours)/2], k.key, "no keyset"},
		"an empty file":                 {nil, k.key, "no keyset"},
		"something else than an object": {[]byte(`["hunter2"]`), k.key, "no keyset"},
	} {
		t.Run(name, func(t *testing.T) {
			file := creds.KeysetFile{Path: filepath.Join(t.TempDir(), "keyset"), KMS: c.with}
			must(t, os.WriteFile(file.Path, c.raw, 0o600))
			_, err := file.Read(t.Context())
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want a refusal that says %q", err, c.want)
			case err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), file.Path)):
				t.Errorf("%v repeats what is in the file, or does not say which file", err)
			}
		})
	}
}

func TestABrokerThatStartsWhileKMSIsAwayHasAColdCacheUntilItIsBack(t *testing.T) {
	w, k := newRedisWorld(t), newKMSWorld(t)
	file := creds.KeysetFile{Path: filepath.Join(t.TempDir(), "keyset"), KMS: k.key}
	must(t, file.Create(t.Context()))
	w.sealer = watch(t, file, w.log).sealer
	before := mustSession(t, w.replica(t), w.token)

	k.Cut.Store(true)
	late := watch(t, file, w.log)
	w.sealer = late.sealer
	if s := mustSession(t, w.replica(t), w.token); s.AccessKeyID == before.AccessKeyID {
		t.Error("without KMS, what the keyset sealed was opened")
	}
	late.Load(t.Context())
	if n := w.log.with("keyset refused", "Unreachable", "this process alone", "ERROR"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, w.log)
	}
	k.Cut.Store(false)
	late.Load(t.Context())
	w.world.replica.Revoke(orders)
	w.sealer = watch(t, file, w.log).sealer
	shared := mustSession(t, w.replica(t), w.token)
	w.sealer = late.sealer
	if s := mustSession(t, w.replica(t), w.token); s.AccessKeyID != shared.AccessKeyID {
		t.Error("with KMS back, the broker shares no session")
	}
}

func TestAKeysetThatChangesWhileKMSIsAwayIsTakenWhenItIsBack(t *testing.T) {
	w, k := newRedisWorld(t), newKMSWorld(t)
	file := creds.KeysetFile{Path: filepath.Join(t.TempDir(), "keyset"), KMS: k.key}
	must(t, file.Create(t.Context()))
	running := watch(t, file, w.log)
	w.sealer = running.sealer
	before := mustSession(t, w.replica(t), w.token)
	_, err := file.Add(t.Context())
	must(t, err)

	k.Cut.Store(true)
	for range 3 {
		running.Load(t.Context())
	}
	if s := mustSession(t, w.replica(t), w.token); s.AccessKeyID != before.AccessKeyID {
		t.Error("without KMS, the keyset before it does not open what it sealed")
	}
	if n := w.log.with("keyset refused", "Unreachable", "the keyset before it", "ERROR"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, w.log)
	}
	if n := count(t, running.loads, "refused"); n != 3 {
		t.Errorf("%v refusals counted, want every look: 3", n)
	}
	if _, err := file.Add(t.Context()); err == nil {
		t.Error("a key was added without KMS")
	}
	k.Cut.Store(false)
	running.Load(t.Context())
	if n := count(t, running.loads, "ok"); n != 2 {
		t.Errorf("%v loads counted, want 2: the first, and the changed one when KMS was back", n)
	}
}

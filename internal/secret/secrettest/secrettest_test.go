package secrettest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"testing"
)

func TestASecretIsFoundInEveryFormThatItTakes(t *testing.T) {
	t.Parallel()
	const token, jwt = "rbc_0123456789abcdefghijklmnopqrstuvwxyz", "eyJhbGciOiJSUzI1NiJ9.e30.zyxwvutsrqponmlkjihgfedcba987654"
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes.Repeat([]byte("key"), 40)})
	var s Secrets
	s.Add(t, "token", token)
	s.AddJWT(t, "jwt", jwt)
	s.AddPEM(t, "key", key)
	if s.Len() != 3 {
		t.Errorf("%d secrets, want 3", s.Len())
	}
	for text, want := range map[string]string{
		"a " + token + " b": "token", token[:24]: "token", token[20:]: "token",
		hex.EncodeToString([]byte(token)): "token", base64.StdEncoding.EncodeToString([]byte(token)): "token",
		jwt: "jwt", jwt[25:]: "jwt", string(key): "key", string(bytes.Split(key, []byte("\n"))[1]): "key",
	} {
		if found := s.found([]byte(text)); len(found) != 1 || found[want] == "" {
			t.Errorf("in %q there is %v, want %s", text, found, want)
		}
	}
	if found := s.found([]byte("eyJhbGciOiJSUzI1NiJ9.e30 -----BEGIN PRIVATE KEY----- rbc_")); len(found) != 0 {
		t.Errorf("what is no secret is found: %v", found)
	}
}

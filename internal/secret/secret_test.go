package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/internal/secret"
)

func TestASecretCannotBePrinted(t *testing.T) {
	const text = "hunter2-hunter2"
	s := secret.New(text)
	holder := struct {
		Name   string
		Open   secret.Text
		closed secret.Text
		Ptr    *secret.Text
	}{"n", s, s, &s}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "s", s, "holder", holder)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "s", s, "holder", holder)
	js, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	outputs := []string{log.String(), string(js), errors.Join(fmt.Errorf("failed: %w %v", os.ErrClosed, s)).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		outputs = append(outputs, fmt.Sprintf(verb, s), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	for _, out := range outputs {
		if strings.Contains(out, text) || strings.Contains(out, fmt.Sprintf("%x", text)) {
			t.Errorf("the secret was printed: %s", out)
		}
	}
	if s.Reveal() != text {
		t.Errorf("revealed %q, want %q", s.Reveal(), text)
	}
}

func TestASecretFileLosesItsLineEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("abc\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := secret.Read(path)
	if err != nil || !s.Equal(secret.New("abc")) {
		t.Errorf("read %q, %v; want abc", s.Reveal(), err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Read(path); err == nil {
		t.Error("an empty secret was accepted")
	}
}

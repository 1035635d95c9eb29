// Package secret holds text that must never be printed: keys, tokens, passwords.
//
// It does not encrypt and it does not wipe memory: it keeps a secret from reaching a log, an error, a metric or a JSON
// document by accident. The one way to the text is [Text.Reveal], which is easy to search for.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

const redacted = "redacted"

// Text prints, logs and marshals as "redacted". The zero Text is empty. It holds a pointer because package fmt skips
// the methods of unexported fields: a struct around a Text then prints an address and never the text.
type Text struct{ text *string }

// New makes a secret of s.
func New(s string) Text { return Text{&s} }

// Read takes a secret from a file, without the line end that editors put behind it.
func Read(path string) (Text, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Text{}, fmt.Errorf("secret: %w", err)
	}
	s := strings.TrimRight(string(raw), "\r\n")
	if s == "" {
		return Text{}, fmt.Errorf("secret: %s is empty", path)
	}
	return New(s), nil
}

// Reveal returns the text itself.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// Empty reports whether there is no text.
func (t Text) Empty() bool { return t.Reveal() == "" }

// Equal compares two secrets in a time that depends on their lengths only.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// Format writes "redacted" for every verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue logs as "redacted".
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText marshals as "redacted"; who has to send the text says so with [Text.Reveal].
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText reads a secret, except the word that MarshalText writes.
func (t *Text) UnmarshalText(text []byte) error {
	if string(text) == redacted {
		return errors.New("secret: the text was redacted")
	}
	*t = New(string(text))
	return nil
}

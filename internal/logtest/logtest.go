// Package logtest keeps what a program logs, for tests that look into it while the program runs.
//
// It is for tests only, and understands nothing of what is written: whether it is JSON, and of which level, is the logger's
// affair.
//
// The life of a log: a test gives a logger a new [Log] to write to, and reads all that was written so far as often as it
// likes.
package logtest

import (
	"bytes"
	"sync"
)

// Log keeps what is written to it. The zero value is empty. Safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer; it never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

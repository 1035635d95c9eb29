// Package wholefile writes files that nobody ever sees half written, and that only their owner can read.
//
// It is for small files that hold secrets and that others read at any moment: keysets, the command line's contexts. It does
// not lock: who reads, changes and writes takes a lock of its own.
//
// The life of a file: a temporary one beside it (mode 0600) gets the text, is flushed to the disk, and takes its place in
// one step.
package wholefile

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace writes text to path, in place of what is there.
func Replace(path string, text []byte) error { return write(path, text, os.Rename) }

// Create writes text to a new file at path. An existing one is an [io/fs.ErrExist] and stays as it is.
func Create(path string, text []byte) error { return write(path, text, os.Link) }

func write(path string, text []byte, place func(from, to string) error) error {
	next, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // which nobody else can read
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(next.Name()) }()
	_, err = next.Write(text)
	if err := errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return place(next.Name(), path)
}

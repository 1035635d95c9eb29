// Package reload keeps values that are read from files as they are in the files now: certificates, trust bundles, keysets.
//
// It watches by reading again and not by notification: files that an orchestrator mounts change by a swap of links, and
// network file systems tell nobody. Nor does it know what is in the files: whoever opens a value parses it.
//
// The life of a value: [Open] reads it, and fails when it cannot be used; [Value.Run] reads the files again and puts a new
// value in place when their contents changed. A change that cannot be used, e.g. because the second of two files is not
// written yet, leaves the value as it was, and is tried again in the next round.
package reload

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// MaxFile bounds what is read of one file, in bytes.
const MaxFile = 1 << 20

// Value is what some files say. Safe for concurrent use; one goroutine runs it.
type Value[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	now   atomic.Pointer[T]
	sum   [sha256.Size]byte // of what is in place; belongs to Run
}

// Open reads a value from files, whose contents parse gets in the same order.
func Open[T any](parse func(contents [][]byte) (T, error), paths ...string) (*Value[T], error) {
	v := &Value[T]{paths: paths, parse: parse}
	if _, err := v.again(); err != nil {
		return nil, err
	}
	return v, nil
}

// Get returns the value as it is now. It costs one atomic load.
func (v *Value[T]) Get() T { return *v.now.Load() }

// Run reads the files again once in every period, until ctx ends. After a change it calls told: with nil when a new value
// is in place, or the files are again as they were before an error; with the error when there is none. The same error is told once.
func (v *Value[T]) Run(ctx context.Context, every time.Duration, told func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch changed, err := v.again(); {
		case err != nil && err.Error() != said:
			said = err.Error()
			told(err)
		case err == nil && (changed || said != ""):
			said = ""
			told(nil)
		}
	}
}

func (v *Value[T]) again() (changed bool, err error) {
	contents := make([][]byte, len(v.paths))
	all := sha256.New()
	for n, path := range v.paths {
		if contents[n], err = readFile(path); err != nil {
			return false, err
		}
		one := sha256.Sum256(contents[n])
		all.Write(one[:])
	}
	sum := [sha256.Size]byte(all.Sum(nil))
	if v.now.Load() != nil && sum == v.sum {
		return false, nil
	}
	value, err := v.parse(contents)
	if err != nil {
		return false, err
	}
	v.now.Store(&value)
	v.sum = sum
	return true, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > MaxFile:
		return nil, fmt.Errorf("%s: larger than %d bytes", path, MaxFile)
	case len(text) == 0:
		return nil, errors.New(path + ": empty")
	}
	return text, nil
}

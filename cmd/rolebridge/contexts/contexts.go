// Package contexts keeps what the command line remembers between two commands: where an API is, with which key it is asked,
// and about which environment, each under a name of its own.
//
// It decides nothing about flags and variables, which go before a context, and it asks no server. The file holds secrets: it
// is readable by its owner only, and a looser one is mended before it is read.
//
// The life of a context: a [File] is read into a [Book]; a change reads it under a lock, alters the book, and puts a whole
// new file in its place. A secret leaves through the file and through [secret.Text.Reveal] only.
package contexts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/strictyaml"
	"github.com/rolebridge/rolebridge/internal/wholefile"
)

// Context is where an API is and who asks it.
type Context struct {
	Name, URL, Key string
	Secret         secret.Text
	Environment    string // may be empty
}

// Book is all contexts by name, and the one that is used when none is named; empty is none.
type Book struct {
	Current string
	all     map[string]Context
}

// form is the context as it is stored.
type form struct {
	URL         string `yaml:"url"`
	Key         string `yaml:"key,omitempty"`
	Secret      string `yaml:"secret,omitempty"`
	Environment string `yaml:"environment,omitempty"`
}

// stored is the file's form.
type stored struct {
	Current  string          `yaml:"current,omitempty"`
	Contexts map[string]form `yaml:"contexts"`
}

var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// CheckName says what is wrong with the name of a context.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%q: want 1 to 64 letters, digits and . _ @ -, starting with a letter or digit", name)
	}
	return nil
}

// Find returns the context of a name.
func (b *Book) Find(name string) (Context, bool) {
	c, ok := b.all[name]
	return c, ok
}

// Put adds a context, or replaces the one of its name.
func (b *Book) Put(c Context) { b.all[c.Name] = c }

// Remove takes a context away; one that was current leaves none.
func (b *Book) Remove(name string) {
	delete(b.all, name)
	if b.Current == name {
		b.Current = ""
	}
}

// List returns all contexts by name.
func (b *Book) List() []Context {
	all := make([]Context, 0, len(b.all))
	for _, name := range slices.Sorted(maps.Keys(b.all)) {
		all = append(all, b.all[name])
	}
	return all
}

// File is where a book is kept.
type File struct {
	Path string
	// Warn is told of what was mended; it must not be nil.
	Warn func(text string)
}

// longest bounds the file: a thousand contexts and more.
const longest = 1 << 20

// Read returns the book; a file that does not exist is an empty one.
func (f File) Read() (*Book, error) {
	b := &Book{all: map[string]Context{}}
	// Opening a pipe would wait for somebody who writes to it.
	if info, err := os.Stat(f.Path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a file", f.Path)
	}
	file, err := os.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := f.restrict(file); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, longest+1))
	if err != nil {
		return nil, err
	}
	if len(text) > longest {
		return nil, fmt.Errorf("%s: more than %d bytes", f.Path, longest)
	}
	var s stored
	if err := strictyaml.Decode(text, &s); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: not a file of contexts; correct or remove it: %w", f.Path, withoutValues(err))
	}
	b.Current = s.Current
	for name, c := range s.Contexts {
		if err := CheckName(name); err != nil {
			return nil, fmt.Errorf("%s: name of a context: %w", f.Path, err)
		}
		b.Put(Context{name, c.URL, c.Key, secret.New(c.Secret), c.Environment})
	}
	return b, nil
}

// withoutValues keeps the decoder's text from showing what stands in the file, which may be a secret: it quotes the values
// that do not fit.
func withoutValues(err error) error {
	if _, ok := errors.AsType[*yaml.TypeError](err); ok {
		return errors.New("it has keys or values that do not belong there; want current and contexts with url, key, secret and environment")
	}
	return errors.New("it is no YAML")
}

// restrict takes the rights of others away.
func (f File) restrict(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s: is a folder; want a file", f.Path)
	}
	mode := info.Mode().Perm()
	if mode&0o077 == 0 || runtime.GOOS == "windows" { // whose modes say nothing about others
		return nil
	}
	if err := file.Chmod(0o600); err != nil {
		return fmt.Errorf("%s holds secrets and others can read it (mode %04o); make it 0600: %w", f.Path, mode, err)
	}
	f.Warn(fmt.Sprintf("%s holds secrets and others could read it (mode %04o); it is 0600 now. If others use this machine, exchange the API keys in it.", f.Path, mode))
	return nil
}

// locked bounds the wait for another command that changes the file.
const locked = 10 * time.Second

// Change reads the book, has it changed, and writes it, unless change returns an error.
func (f File) Change(ctx context.Context, change func(*Book) error) error {
	if target, err := filepath.EvalSymlinks(f.Path); err == nil {
		f.Path = target // what a link points to is replaced, not the link
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return err
	}
	if info, err := os.Stat(f.Path + ".lock"); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s.lock: not a file", f.Path) // see Read
	}
	lock := flock.New(f.Path+".lock", flock.SetPermissions(0o600))
	ctx, cancel := context.WithTimeout(ctx, locked)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("%s: another command is changing it: %w", f.Path, err)
	}
	defer func() { _ = lock.Unlock() }()
	b, err := f.Read()
	if err != nil {
		return err
	}
	if err := change(b); err != nil {
		return err
	}
	s := stored{Current: b.Current, Contexts: map[string]form{}}
	for name, c := range b.all {
		s.Contexts[name] = form{c.URL, c.Key, c.Secret.Reveal(), c.Environment}
	}
	text, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	return wholefile.Replace(f.Path, text)
}

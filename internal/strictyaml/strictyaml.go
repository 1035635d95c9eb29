// Package strictyaml reads files that people write: one YAML document, of which nothing is left out in silence.
//
// A library's decoder reads the first document and stops there; what stands behind a line of three dashes, a rule that
// somebody added perhaps, would count for nothing and nobody would be told.
//
// The life of a file: read whole, decoded into its type, forgotten.
package strictyaml

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// ErrMore means that there is more than one document.
var ErrMore = errors.New("there is a second document behind the first (---): want one")

// Decode reads text into v, a pointer to a struct that has a field for all that may stand there. Without a document, the
// error is io.EOF.
func Decode(text []byte, v any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		return err
	}
	return end(d)
}

// Single fails with [ErrMore] when text has more than one document, and else as a decoder does.
func Single(text []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(new(yaml.Node)); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	return end(d)
}

func end(d *yaml.Decoder) error {
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return ErrMore
	}
	return nil
}

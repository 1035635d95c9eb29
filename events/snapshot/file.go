package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// File is a file that was read and checked.
type File struct {
	Header
	Trailer
	records []events.Stored
}

// maxLine bounds a line: an aggregate has at most some hundred KB.
const maxLine = 4 << 20

// Read reads a file to its end and checks every line, and all of them together: what is in it is what deciders could have
// written. The error names the line.
func Read(from io.Reader) (*File, error) {
	check, err := events.NewStoredCheck(events.Topics{Partitions: 1})
	if err != nil {
		return nil, err
	}
	return readFile(from, check)
}

func readFile(from io.Reader, check *events.StoredCheck) (*File, error) {
	r := &reader{
		file: &File{}, check: check, sum: sha256.New(), seen: map[string]bool{}, states: map[integration.OrganizationID]*integration.State{},
		ids: map[string]string{},
	}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	lines.Split(split)
	n := 0
	for lines.Scan() {
		var err error
		if n++; n == 1 {
			err = r.first(lines.Bytes())
		} else {
			err = r.next(lines.Bytes())
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: has %d bytes or more, as no line of an export has", n+1, maxLine)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	case r.file.SHA256 == "":
		return nil, fmt.Errorf("after line %d: the last line is missing: the file was cut", n)
	}
	return r.whole()
}

// split is [bufio.ScanLines] that keeps a carriage return: the digest is of the bytes as they are.
func split(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if n := bytes.IndexByte(data, '\n'); n >= 0 {
		return n + 1, data[:n], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// reader has read some lines of a file.
type reader struct {
	file   *File
	check  *events.StoredCheck
	sum    hash.Hash
	counts Counts
	seen   map[string]bool
	states map[integration.OrganizationID]*integration.State
	// ids are external IDs by the key of their record. Two customers with one could each act on the other's account.
	ids map[string]string
}

var errLineEnds = errors.New("ends in a carriage return: something has changed the file's line ends; copy it as it is")

// first reads the header. Of a later version nothing but that can be known.
func (r *reader) first(text []byte) error {
	var h Header
	switch err := json.Unmarshal(text, &h); {
	case err != nil || h.Format != Format:
		return fmt.Errorf("not a file of %s", Format)
	case h.Version != Version:
		return fmt.Errorf("the file has version %d, and this program reads version %d", h.Version, Version)
	case bytes.HasSuffix(text, []byte("\r")):
		return errLineEnds
	}
	if err := strict(text, &r.file.Header); err != nil {
		return fmt.Errorf("not a header of %s: %w", Format, err)
	}
	r.digest(text)
	return nil
}

func (r *reader) digest(line []byte) {
	r.sum.Write(line)
	r.sum.Write([]byte{'\n'})
}

// next reads a record, or the last line.
func (r *reader) next(text []byte) error {
	var l line
	err := strict(text, &l)
	var end Trailer
	switch {
	case r.file.SHA256 != "":
		return errors.New("there is something behind the last line")
	case bytes.HasSuffix(text, []byte("\r")):
		return errLineEnds
	case err != nil && strict(text, &end) == nil && end.SHA256 != "":
		r.file.Trailer = end
		return nil
	case err != nil:
		return fmt.Errorf("want an object of a key and a value: %w", err)
	}
	r.digest(text)
	s, err := r.check.Read(l.Key, l.Value)
	switch {
	case err != nil:
		return err
	case r.seen[l.Key]:
		return fmt.Errorf("%q is there twice", l.Key)
	case r.file.Organization != "" && s.OrganizationID != r.file.Organization:
		return fmt.Errorf("%q is not of organization %q", l.Key, r.file.Organization)
	}
	r.seen[l.Key] = true
	if err := r.put(l.Key, s); err != nil {
		return fmt.Errorf("%q: %w", l.Key, err)
	}
	r.counts.add(s)
	r.file.records = append(r.file.records, s)
	return nil
}

// put adds an aggregate to the state of its organization, if it can be there beside what the lines before have.
func (r *reader) put(key string, s events.Stored) error {
	if s.Receipt != nil {
		return nil
	}
	state := r.states[s.OrganizationID]
	if state == nil {
		state = integration.NewState()
		r.states[s.OrganizationID] = state
	}
	var refused *integration.Refusal
	switch {
	case s.Organization != nil:
		state.SetOrganization(*s.Organization)
	case s.Account != nil:
		if refused = state.FitsAccount(*s.Account); refused == nil {
			state.SetAccount(*s.Account)
		}
	case s.Integration != nil:
		if s.Integration.Epoch > integration.MaxCount-EpochsAhead {
			return fmt.Errorf("/epoch: %d: want at most %d: an import adds %d", s.Integration.Epoch, integration.MaxCount-EpochsAhead, EpochsAhead)
		}
		if err := r.own(key, *s.Integration); err != nil {
			return err
		}
		if refused = state.Fits(*s.Integration); refused == nil {
			state.SetIntegration(*s.Integration)
		}
	}
	if refused != nil {
		return refused
	}
	return nil
}

// own notes the external IDs of an integration: they are made at random, so no two have one, in whatever organizations.
func (r *reader) own(key string, i integration.Integration) error {
	all := []string{i.ExternalID}
	if i.Rotation != nil {
		all = append(all, i.Rotation.Other)
	}
	for _, id := range all {
		if other, taken := r.ids[id]; taken {
			return fmt.Errorf("external ID %s is that of %q too", id, other)
		}
		r.ids[id] = key
	}
	return nil
}

// whole checks what only the end of a file tells.
func (r *reader) whole() (*File, error) {
	if r.file.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) || r.counts != r.file.Counts {
		return nil, errors.New("the file was changed: its last line does not fit the others")
	}
	for o, state := range r.states {
		if _, ok := state.Organization(); !ok {
			return nil, fmt.Errorf("something of organization %q is in the file, and it itself is not", o)
		}
	}
	return r.file, nil
}

// strict reads one JSON value without unknown fields.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

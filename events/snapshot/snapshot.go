// Package snapshot takes the state of an installation into a file, and from a file into an empty installation: to move to
// another Kafka or to another number of partitions, or to come back after Kafka was lost.
//
// It is no backup of Kafka: events, dead letters and the audit stay behind, and so do cursors, which count records of topics
// that will be others. Why an import is as it is: docs/adr/0015-what-an-import-means.md.
//
// The life of a file: [Export] reads each partition as of its last cursor, which every transaction of the decider ends
// with. [Read] checks the whole file. [Import] writes it in one transaction, all or nothing, while nobody decides.
package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// Format and Version open a file. A program refuses another version than its own.
const (
	Format  = "rolebridge.state"
	Version = 1
)

// Header is the first line of a file.
type Header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	Prefix  string    `json:"prefix"`
	// Organization is the only one in the file; empty: all are.
	Organization integration.OrganizationID `json:"organization,omitempty"`
}

// line is one record of the state.
type line struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// Trailer is the last line: without it a file is not whole.
type Trailer struct {
	Counts
	// SHA256 is of all lines before, in hexadecimal.
	SHA256 string `json:"sha256"`
}

// Counts says how much a file holds.
type Counts struct {
	Organizations int `json:"organizations"`
	Integrations  int `json:"integrations"`
	Accounts      int `json:"accounts"`
	Receipts      int `json:"receipts"`
}

func (c *Counts) add(s events.Stored) {
	switch {
	case s.Organization != nil:
		c.Organizations++
	case s.Integration != nil:
		c.Integrations++
	case s.Account != nil:
		c.Accounts++
	case s.Receipt != nil:
		c.Receipts++
	}
}

// ErrNothing means that there is nothing to export.
var ErrNothing = errors.New("there is no state")

// Export writes the state of all organizations, or of one, to a file. An organization is as it was between two commands.
// The client consumes nothing. At most one partition is in memory at a time.
func Export(ctx context.Context, cl *kgo.Client, t events.Topics, o integration.OrganizationID, now time.Time, to io.Writer) (Counts, error) {
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(to, sum))
	lines.SetEscapeHTML(false)
	var counts Counts
	if err := lines.Encode(Header{Format, Version, now.UTC(), t.Prefix, o}); err != nil {
		return counts, err
	}
	for p := range t.Partitions {
		if o != "" && p != t.Home(o) {
			continue
		}
		state, err := read(ctx, cl, t, p)
		if err != nil {
			return counts, err
		}
		for _, key := range slices.Sorted(maps.Keys(state)) {
			s, err := events.ReadStored(&kgo.Record{Key: []byte(key), Value: state[key]})
			if err != nil {
				return counts, err
			}
			if o != "" && s.OrganizationID != o {
				continue
			}
			counts.add(s)
			if err := lines.Encode(line{key, state[key]}); err != nil {
				return counts, err
			}
		}
	}
	if counts == (Counts{}) {
		return counts, ErrNothing
	}
	end := json.NewEncoder(to)
	return counts, end.Encode(Trailer{counts, hex.EncodeToString(sum.Sum(nil))})
}

// read returns the state of a partition by key, as of its last cursor.
func read(ctx context.Context, cl *kgo.Client, t events.Topics, partition int32) (map[string][]byte, error) {
	state, open, cursor := map[string][]byte{}, map[string][]byte{}, false
	settle := func() {
		for key, value := range open {
			if state[key] = value; value == nil {
				delete(state, key)
			}
		}
		clear(open)
	}
	err := events.ReplayLatest(ctx, cl, t.State(), partition, func(r *kgo.Record) error {
		s, err := events.ReadStored(r)
		if err != nil {
			return err
		}
		if s.Cursor != nil {
			cursor = true
			settle()
			return nil
		}
		open[string(r.Key)] = bytes.Clone(r.Value)
		return nil
	})
	if !cursor { // written by something else than a decider or an import
		settle()
	}
	return state, err
}

package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/rolebridge/rolebridge/events"
)

// ReadFile is [Read] with a check that was made before, which takes longer than the reading.
var ReadFile = readFile

// NobodyDecides is for a Kafka that has no coordinator yet.
var NobodyDecides = nobodyDecides

// Whole puts a last line behind others that fits them.
func Whole(lines []byte, n Counts) []byte {
	sum := sha256.Sum256(lines)
	end, err := json.Marshal(Trailer{n, hex.EncodeToString(sum[:])})
	if err != nil {
		panic(err) // numbers and digits always have a JSON form
	}
	return append(bytes.Clone(lines), append(end, '\n')...)
}

// Records are those of a file, in its order.
func (f *File) Records() []events.Stored { return f.records }

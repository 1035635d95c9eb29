package snapshot_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/snapshot"
)

// FuzzAFile: a file that is taken is written and taken again with the same in it; one that is not is refused by a text that
// names a line, or the organization or line that is missing, and that any terminal can show.
func FuzzAFile(f *testing.F) {
	lines, _ := sample().lines(f)
	rows := bytes.SplitAfter(lines, []byte("\n"))
	f.Add(lines, []byte{})
	f.Add([]byte{}, []byte("{}"))
	f.Add(lines, []byte("\r\n"))
	for n, row := range rows {
		f.Add(slices.Concat(rows[0], row), []byte{})
		f.Add(slices.Concat(slices.Concat(rows[:n]...), slices.Concat(rows[min(n+1, len(rows)):]...)), []byte{})
	}
	for _, change := range [][2]string{
		{`"epoch":2`, `"epoch":9007199254740991`},
		{`"epoch":2`, `"epoch":2e0`},
		{`"epoch":2`, `"EPOCH":7`},
		{"orders", `\u001b[2J`},
		{"orders", "\xff"},
		{"cspi-00001", "cspi-00002"},
		{`"key":"integration/org-1/cspi-00001"`, `"key":"integration/org%2D1/cspi-00001"`},
		{`"version":1`, `"version":-1`},
		{`"trust":{`, `"trust":{"report":{"checks":null},`},
	} {
		f.Add([]byte(strings.Replace(string(lines), change[0], change[1], 1)), []byte{})
	}
	check, err := events.NewStoredCheck(topics)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, lines, behind []byte) {
		var n snapshot.Counts
		for row := range bytes.SplitSeq(lines, []byte("\n")) {
			var l struct{ Key string }
			if json.Unmarshal(row, &l) != nil {
				continue
			}
			switch kind, _, _ := strings.Cut(l.Key, "/"); kind {
			case "organization":
				n.Organizations++
			case "integration":
				n.Integrations++
			case "account":
				n.Accounts++
			case "receipt":
				n.Receipts++
			}
		}
		once, err := snapshot.ReadFile(bytes.NewReader(slices.Concat(snapshot.Whole(lines, n), behind)), check)
		if err != nil {
			if text := err.Error(); len(text) > 4096 || strings.ContainsFunc(text, unicode.IsControl) || once != nil {
				t.Fatalf("got %d bytes: %q", len(text), text)
			}
			return
		}
		var again bytes.Buffer
		to := json.NewEncoder(&again)
		if err := to.Encode(once.Header); err != nil {
			t.Fatal(err)
		}
		for _, s := range once.Records() {
			r, err := topics.StoredRecord(s)
			if err != nil {
				t.Fatalf("%+v was taken and cannot be written: %v", s, err)
			}
			if err := to.Encode(map[string]any{"key": string(r.Key), "value": json.RawMessage(r.Value)}); err != nil {
				t.Fatal(err)
			}
		}
		twice, err := snapshot.ReadFile(bytes.NewReader(snapshot.Whole(again.Bytes(), n)), check)
		if err != nil || !reflect.DeepEqual(keys(twice), keys(once)) {
			t.Fatalf("written again it has %v, want %v: %v", keys(twice), keys(once), err)
		}
	})
}

func keys(f *snapshot.File) (all []events.Stored) {
	if f == nil {
		return nil
	}
	for _, s := range f.Records() {
		all = append(all, events.Stored{OrganizationID: s.OrganizationID, IntegrationID: s.IntegrationID, AccountID: s.AccountID, Asker: s.Asker})
	}
	return all
}

package policy

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind byte

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindText
	kindList
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// node is one JSON value that remembers where it stood. Order and duplicates are kept, so that a finding can point at
// the second of two equal keys and a mended policy reads like the one that came in.
type node struct {
	kind    kind
	text    string // the decoded string; the literal of a number or boolean
	members []member
	items   []*node

	off   int // byte offset in the source; -1 when built by us
	up    *node
	name  string // the key in an object
	index int    // the place in a list
}

type member struct {
	name  string
	off   int
	value *node
}

// get returns the first member of that name.
func (n *node) get(name string) *node {
	for i := range n.members {
		if n.members[i].name == name {
			return n.members[i].value
		}
	}
	return nil
}

// child is the member or item of that name.
func (n *node) child(step string) *node {
	if n.kind == kindObject {
		return n.get(step)
	}
	i, err := strconv.Atoi(step)
	if n.kind != kindList || err != nil || i < 0 || i >= len(n.items) || strconv.Itoa(i) != step {
		return nil
	}
	return n.items[i]
}

// pointer is the RFC 6901 pointer from the root to n.
func (n *node) pointer() string {
	if n == nil || n.up == nil {
		return ""
	}
	if n.up.kind == kindList {
		return n.up.pointer() + "/" + strconv.Itoa(n.index)
	}
	return n.up.pointer() + "/" + escapePointer(n.name)
}

func escapePointer(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}

// quote shows a piece of the document in a message: quoted, and short whatever came in.
func quote(s string) string {
	if utf8.RuneCountInString(s) > 100 {
		s = string([]rune(s)[:100]) + "…"
	}
	return strconv.Quote(s)
}

// lineIndex turns byte offsets into lines and columns, both from 1. Columns count Unicode code points, which is what
// editors show and what SARIF calls unicodeCodePoints.
type lineIndex struct {
	src    []byte
	starts []int
}

func newLineIndex(src []byte) lineIndex {
	starts := []int{0}
	for i, c := range src {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return lineIndex{src: src, starts: starts}
}

func (x lineIndex) place(off int) (line, column int) {
	if off < 0 || len(x.starts) == 0 {
		return 0, 0
	}
	off = min(off, len(x.src))
	i := sort.SearchInts(x.starts, off+1) - 1
	return i + 1, utf8.RuneCount(x.src[x.starts[i]:off]) + 1
}

package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of the reader. They hold whatever the text says, so a hostile body costs a bounded amount of time and memory.
const (
	// maxBytes is the largest document that is read at all: the API parameter's own maximum (IAM API, CreateRole,
	// AssumeRolePolicyDocument: 131,072 characters).
	maxBytes = 131_072
	// maxDepth bounds nesting. A correct policy needs six levels.
	maxDepth = 32
	// maxNodes bounds the elements kept in memory; 10,240 characters of policy cannot hold half as many.
	maxNodes = 20_000
)

// syntaxError says what the reader could not read, and where.
type syntaxError struct {
	code    Code
	off     int
	message string
}

// scanner reads RFC 8259 JSON. The standard decoder is not used because it gives no positions, merges duplicate keys
// silently and replaces broken UTF-8 without a word: three things that a policy's reader must report.
type scanner struct {
	src   []byte
	pos   int
	nodes int
	fault *syntaxError
	// duplicates lists keys that repeat within their object, in source order.
	duplicates []duplicate
}

type duplicate struct {
	object *node
	name   string
	off    int
}

// scan returns the tree, or the first fault. Duplicate keys do not stop it.
func scan(src []byte) (*node, []duplicate, *syntaxError) {
	s := &scanner{src: src}
	root := s.value(0)
	if s.fault == nil {
		s.space()
		if s.pos < len(s.src) {
			s.fail(CodeSyntax, s.pos, "text after the end of the document")
		}
	}
	return root, s.duplicates, s.fault
}

func (s *scanner) fail(code Code, off int, format string, args ...any) *node {
	if s.fault == nil {
		s.fault = &syntaxError{code: code, off: off, message: fmt.Sprintf(format, args...)}
	}
	return nil
}

func (s *scanner) space() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int) *node {
	s.space()
	if s.pos >= len(s.src) {
		return s.fail(CodeSyntax, s.pos, "the document ends where a value is expected")
	}
	if depth > maxDepth {
		return s.fail(CodeDepth, s.pos, "nested deeper than %d levels", maxDepth)
	}
	if s.nodes++; s.nodes > maxNodes {
		return s.fail(CodeTooLarge, s.pos, "more than %d elements", maxNodes)
	}
	n := &node{off: s.pos}
	switch c := s.src[s.pos]; {
	case c == '{':
		return s.object(n, depth)
	case c == '[':
		return s.list(n, depth)
	case c == '"':
		n.kind, n.text = kindText, s.text()
		return n
	case c == '-' || c >= '0' && c <= '9':
		return s.number(n)
	}
	for _, word := range []struct {
		text string
		kind kind
	}{{"true", kindBool}, {"false", kindBool}, {"null", kindNull}} {
		if strings.HasPrefix(string(s.src[s.pos:min(len(s.src), s.pos+5)]), word.text) {
			s.pos += len(word.text)
			n.kind, n.text = word.kind, word.text
			return n
		}
	}
	return s.fail(CodeSyntax, s.pos, "%s is not the start of a value", s.here())
}

func (s *scanner) object(n *node, depth int) *node {
	n.kind = kindObject
	s.pos++
	// A map only once an object is large: most have five members.
	var seen map[string]bool
	for comma := false; ; {
		s.space()
		if s.pos < len(s.src) && s.src[s.pos] == '}' {
			if comma {
				return s.fail(CodeSyntax, s.pos, "a comma before the closing brace")
			}
			s.pos++
			return n
		}
		if s.pos >= len(s.src) || s.src[s.pos] != '"' {
			return s.fail(CodeSyntax, s.pos, "%s where a key in quotes is expected", s.here())
		}
		off := s.pos
		name := s.text()
		s.space()
		if s.fault != nil {
			return nil
		}
		if s.pos >= len(s.src) || s.src[s.pos] != ':' {
			return s.fail(CodeSyntax, s.pos, "%s where a colon is expected after key %s", s.here(), quote(name))
		}
		s.pos++
		v := s.value(depth + 1)
		if s.fault != nil {
			return nil
		}
		v.up, v.name = n, name
		if len(n.members) == 8 && seen == nil {
			seen = map[string]bool{}
			for _, m := range n.members {
				seen[m.name] = true
			}
		}
		if seen[name] || seen == nil && n.get(name) != nil {
			s.duplicates = append(s.duplicates, duplicate{object: n, name: name, off: off})
		}
		if seen != nil {
			seen[name] = true
		}
		n.members = append(n.members, member{name: name, off: off, value: v})
		if comma = s.separator('}'); s.fault != nil {
			return nil
		}
	}
}

func (s *scanner) list(n *node, depth int) *node {
	n.kind = kindList
	s.pos++
	for comma := false; ; {
		s.space()
		if s.pos < len(s.src) && s.src[s.pos] == ']' {
			if comma {
				return s.fail(CodeSyntax, s.pos, "a comma before the closing bracket")
			}
			s.pos++
			return n
		}
		v := s.value(depth + 1)
		if s.fault != nil {
			return nil
		}
		v.up, v.index = n, len(n.items)
		n.items = append(n.items, v)
		if comma = s.separator(']'); s.fault != nil {
			return nil
		}
	}
}

// separator eats a comma (true), or stops in front of the closing character (false).
func (s *scanner) separator(closing byte) bool {
	s.space()
	if s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ',':
			s.pos++
			return true
		case closing:
			return false
		}
	}
	s.fail(CodeSyntax, s.pos, "%s where a comma or %q is expected", s.here(), closing)
	return false
}

func (s *scanner) number(n *node) *node {
	start := s.pos
	digits := func() bool {
		from := s.pos
		for s.pos < len(s.src) && s.src[s.pos] >= '0' && s.src[s.pos] <= '9' {
			s.pos++
		}
		return s.pos > from
	}
	at := func(chars string) bool {
		if s.pos < len(s.src) && strings.IndexByte(chars, s.src[s.pos]) >= 0 {
			s.pos++
			return true
		}
		return false
	}
	at("-")
	ok := at("0") || digits()
	if ok && at(".") {
		ok = digits()
	}
	if ok && at("eE") {
		at("+-")
		ok = digits()
	}
	if !ok || s.pos < len(s.src) && s.src[s.pos] >= '0' && s.src[s.pos] <= '9' {
		return s.fail(CodeSyntax, start, "a number that JSON does not know")
	}
	n.kind, n.text = kindNumber, string(s.src[start:s.pos])
	return n
}

// text reads a string in quotes; the position is on the opening one.
func (s *scanner) text() string {
	start := s.pos
	s.pos++
	// Most strings have no escape and are one copy.
	for i := s.pos; i < len(s.src); i++ {
		c := s.src[i]
		if c == '"' {
			raw := s.src[s.pos:i]
			if !utf8.Valid(raw) {
				s.badUTF8(s.pos, raw)
				return ""
			}
			s.pos = i + 1
			return string(raw)
		}
		if c == '\\' || c < ' ' {
			break
		}
	}
	var b strings.Builder
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return b.String()
		case c < ' ':
			s.fail(CodeSyntax, s.pos, "a control character (%#x) in a string", c)
			return ""
		case c == '\\':
			if !s.escape(&b) {
				return ""
			}
		default:
			r, size := utf8.DecodeRune(s.src[s.pos:])
			if r == utf8.RuneError && size == 1 {
				s.badUTF8(s.pos, s.src[s.pos:s.pos+1])
				return ""
			}
			b.Write(s.src[s.pos : s.pos+size])
			s.pos += size
		}
	}
	s.fail(CodeSyntax, start, "a string without its closing quote")
	return ""
}

func (s *scanner) badUTF8(off int, raw []byte) {
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		if r == utf8.RuneError && size == 1 {
			break
		}
		off, raw = off+size, raw[size:]
	}
	s.fail(CodeUTF8, off, "bytes that are not UTF-8")
}

func (s *scanner) escape(b *strings.Builder) bool {
	off := s.pos
	if s.pos+1 >= len(s.src) {
		s.fail(CodeSyntax, off, "a string without its closing quote")
		return false
	}
	c := s.src[s.pos+1]
	s.pos += 2
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[i])
		return true
	}
	if c != 'u' {
		s.fail(CodeSyntax, off, "an escape that JSON does not know")
		return false
	}
	r, ok := s.hex4()
	if ok && r >= 0xD800 && r < 0xDC00 && s.pos+1 < len(s.src) && s.src[s.pos] == '\\' && s.src[s.pos+1] == 'u' {
		s.pos += 2
		var low rune
		if low, ok = s.hex4(); ok && low >= 0xDC00 && low < 0xE000 {
			b.WriteRune((r-0xD800)<<10 + (low - 0xDC00) + 0x10000)
			return true
		}
	}
	switch {
	case !ok:
		s.fail(CodeSyntax, off, "an escape without four hexadecimal digits")
		return false
	case r >= 0xD800 && r < 0xE000:
		s.fail(CodeUTF8, off, "half of a surrogate pair")
		return false
	}
	b.WriteRune(r)
	return true
}

func (s *scanner) hex4() (rune, bool) {
	if s.pos+4 > len(s.src) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(s.src[s.pos:s.pos+4]), 16, 16)
	if err != nil {
		return 0, false
	}
	s.pos += 4
	return rune(uint16(v)), true
}

// here names the character at the position for a message.
func (s *scanner) here() string {
	if s.pos >= len(s.src) {
		return "the end of the document"
	}
	r, _ := utf8.DecodeRune(s.src[s.pos:])
	return strconv.QuoteRune(r)
}

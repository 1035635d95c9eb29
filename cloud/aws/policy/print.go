package policy

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// JSON prints the policy with two spaces of indentation, everything else as it was read: order, keys that stand twice,
// single values. Printing what was printed changes nothing. It is empty when the text was not JSON.
func (p *Policy) JSON() []byte {
	if p.root == nil {
		return nil
	}
	return p.root.json()
}

func (n *node) json() []byte {
	var b bytes.Buffer
	n.write(&b, 0)
	b.WriteByte('\n')
	return b.Bytes()
}

func (n *node) write(b *bytes.Buffer, depth int) {
	switch n.kind {
	case kindText:
		writeString(b, n.text)
	case kindObject:
		if len(n.members) == 0 {
			b.WriteString("{}")
			return
		}
		for i, m := range n.members {
			b.WriteByte("{,"[min(i, 1)])
			newLine(b, depth+1)
			writeString(b, m.name)
			b.WriteString(": ")
			m.value.write(b, depth+1)
		}
		newLine(b, depth)
		b.WriteByte('}')
	case kindList:
		if len(n.items) == 0 {
			b.WriteString("[]")
			return
		}
		for i, item := range n.items {
			b.WriteByte("[,"[min(i, 1)])
			newLine(b, depth+1)
			item.write(b, depth+1)
		}
		newLine(b, depth)
		b.WriteByte(']')
	default:
		b.WriteString(n.text)
	}
}

func newLine(b *bytes.Buffer, depth int) {
	b.WriteByte('\n')
	for range depth {
		b.WriteString("  ")
	}
}

// writeString escapes what JSON requires and nothing else, so that a policy stays readable.
func writeString(b *bytes.Buffer, s string) {
	const hex = "0123456789abcdef"
	b.WriteByte('"')
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ':
			b.WriteString(`\u00`)
			b.WriteByte(hex[r>>4])
			b.WriteByte(hex[r&15])
		default:
			b.WriteRune(r)
		}
		s = s[size:]
	}
	b.WriteByte('"')
}

// The makers below build trees; what they make stands nowhere.

func textNode(s string) *node { return &node{kind: kindText, text: s, off: -1} }

// textsNode is a string for one value and a list for several, as AWS prints policies.
func textsNode(values []string) *node {
	if len(values) == 1 {
		return textNode(values[0])
	}
	return listNode(values...)
}

func listNode(values ...string) *node {
	n := &node{kind: kindList, off: -1}
	for _, v := range values {
		n.append(textNode(v))
	}
	return n
}

func objectNode() *node { return &node{kind: kindObject, off: -1} }

func (n *node) append(item *node) {
	item.up, item.index = n, len(n.items)
	n.items = append(n.items, item)
}

// set adds or replaces a member.
func (n *node) set(name string, value *node) {
	value.up, value.name = n, name
	for i := range n.members {
		if n.members[i].name == name {
			n.members[i].value = value
			return
		}
	}
	n.members = append(n.members, member{name: name, off: -1, value: value})
}

// without is a copy of an object lacking those members.
func (n *node) without(names ...string) *node {
	c := objectNode()
next:
	for _, m := range n.members {
		for _, name := range names {
			if m.name == name {
				continue next
			}
		}
		c.set(m.name, m.value.copy())
	}
	return c
}

func (n *node) copy() *node {
	c := &node{kind: n.kind, text: n.text, off: -1}
	for _, m := range n.members {
		v := m.value.copy()
		v.up, v.name = c, m.name
		c.members = append(c.members, member{name: m.name, off: -1, value: v})
	}
	for _, item := range n.items {
		c.append(item.copy())
	}
	return c
}

// each visits every string value, not the keys.
func (n *node) each(visit func(*node)) {
	if n.kind == kindText {
		visit(n)
	}
	for _, m := range n.members {
		m.value.each(visit)
	}
	for _, item := range n.items {
		item.each(visit)
	}
}

// compact is the tree on one line, for a remedy.
func (n *node) compact() string {
	var b bytes.Buffer
	n.write(&b, 0)
	// Line breaks occur between elements only: inside strings they are escaped.
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], " ")
		if strings.HasSuffix(lines[i], ",") {
			lines[i] += " "
		}
	}
	return strings.Join(lines, "")
}

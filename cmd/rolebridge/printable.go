package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// printable writes what a terminal might obey, or might show as something else, as escapes of Go.
func printable(text string) string {
	var b strings.Builder
	for n := 0; n < len(text); {
		r, size := utf8.DecodeRuneInString(text[n:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[n])
		case shows(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		n += size
	}
	return b.String()
}

// oneLine is printable text on one line.
func oneLine(text string, most int) string {
	text = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(printable(text))
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// shows reports whether a terminal shows r as what it is.
func shows(r rune) bool { return r == '\n' || r == '\t' || unicode.IsPrint(r) }

// escaped writes a JSON document so that a terminal shows all of it: what it might obey can only be in strings, where it
// becomes escapes of JSON.
func escaped(document []byte) []byte {
	if !bytes.ContainsFunc(document, func(r rune) bool { return !shows(r) }) {
		return document
	}
	out := make([]byte, 0, len(document)+16)
	for _, r := range string(document) {
		switch {
		case shows(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// escapedYAML is the same for YAML, which has no pairs of escapes, and in which such strings must be quoted.
func escapedYAML(document []byte) []byte {
	var out []byte
	for _, r := range string(document) {
		if shows(r) {
			out = utf8.AppendRune(out, r)
		} else {
			out = fmt.Appendf(out, `\U%08x`, r)
		}
	}
	return out
}

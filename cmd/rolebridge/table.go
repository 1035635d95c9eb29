package main

import (
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// screen is a terminal: tables fit its columns. What is piped is never wrapped, so that it can be searched and copied.
type screen struct {
	io.Writer
	columns int
}

// columns is how wide a terminal is; 0 for all else.
func columns(to io.Writer) int {
	if s, ok := to.(screen); ok {
		return s.columns
	}
	return 0
}

// row is one line of an object's table.
type row struct{ name, value string }

// object prints one object: its fields in two columns, those without a value left out.
func object(to io.Writer, rows []row) error {
	all := make([][]string, 0, len(rows))
	for _, r := range rows {
		if r.value != "" {
			all = append(all, []string{r.name, printable(r.value)})
		}
	}
	_, all = fit(columns(to), nil, all)
	t := bordered(to)
	if err := t.Bulk(all); err != nil {
		return err
	}
	return t.Render()
}

// list prints many objects under a heading.
func list(to io.Writer, heading []string, rows [][]string) error {
	heading, rows = fit(columns(to), heading, printableRows(rows))
	t := bordered(to)
	t.Header(heading)
	if err := t.Bulk(rows); err != nil {
		return err
	}
	return t.Render()
}

// printableRows are rows of which a terminal shows all and obeys nothing.
func printableRows(rows [][]string) [][]string {
	out := make([][]string, len(rows))
	for n, r := range rows {
		for _, cell := range r {
			out[n] = append(out[n], printable(cell))
		}
	}
	return out
}

// bordered draws with + - and |, as scripts and eyes are used to.
func bordered(to io.Writer) *tablewriter.Table {
	left := tw.CellConfig{
		Alignment:  tw.CellAlignment{Global: tw.AlignLeft},
		Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone},
	}
	return tablewriter.NewTable(to,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{Symbols: tw.NewSymbols(tw.StyleASCII)})),
		tablewriter.WithConfig(tablewriter.Config{Header: left, Row: left}),
	)
}

// narrowest is what a column is not made narrower than, however narrow the screen.
const narrowest = 8

// fit breaks the cells of the widest columns into lines until the table is no wider than a screen of so many columns; 0 is
// without bounds. The first column is what a row is known by, and stays whole.
func fit(screen int, heading []string, rows [][]string) ([]string, [][]string) {
	if screen == 0 || len(rows) == 0 {
		return heading, rows
	}
	wide := widths(heading, rows)
	for total(wide) > screen {
		widest := 1
		for n := range wide[1:] {
			if wide[n+1] > wide[widest] {
				widest = n + 1
			}
		}
		if len(wide) < 2 || wide[widest] <= narrowest {
			break // it cannot be done
		}
		wide[widest]--
	}
	fitting := func(cells []string) []string {
		out := make([]string, len(cells))
		for n, cell := range cells {
			out[n] = broken(cell, wide[n])
		}
		return out
	}
	out := make([][]string, len(rows))
	for n, r := range rows {
		out[n] = fitting(r)
	}
	return fitting(heading), out
}

// without leaves out columns, in their order here, until the table fits a screen of so many columns, and returns which.
func without(screen int, heading []string, rows [][]string, columns ...string) (left, h []string, r [][]string) {
	for _, name := range columns {
		at := slices.Index(heading, name)
		if screen == 0 || at < 0 || total(widths(heading, rows)) <= screen {
			continue
		}
		left, heading = append(left, name), slices.Delete(slices.Clone(heading), at, at+1)
		for n := range rows {
			rows[n] = slices.Delete(rows[n], at, at+1)
		}
	}
	return left, heading, rows
}

// widths are those of a table's columns.
func widths(heading []string, rows [][]string) []int {
	wide := make([]int, len(rows[0]))
	for n := range wide {
		if heading != nil {
			wide[n] = width(heading[n])
		}
		for _, r := range rows {
			wide[n] = max(wide[n], width(r[n]))
		}
	}
	return wide
}

// total is the width of a table: each cell has a space at both sides and a border.
func total(wide []int) int {
	sum := 1
	for _, w := range wide {
		sum += w + 3
	}
	return sum
}

// width is that of the longest line.
func width(text string) (w int) {
	for line := range strings.Lines(text) {
		w = max(w, len([]rune(strings.TrimSuffix(line, "\n"))))
	}
	return w
}

// broken breaks lines that are longer than w, behind a character that parts words if there is one in their second half.
func broken(text string, w int) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		rest := []rune(line)
		for len(rest) > w {
			at := w
			for n := w; n > w/2; n-- {
				if strings.ContainsRune(" /:,-=", rest[n-1]) {
					at = n
					break
				}
			}
			out, rest = append(out, string(rest[:at])), rest[at:]
		}
		out = append(out, string(rest))
	}
	return strings.Join(out, "\n")
}

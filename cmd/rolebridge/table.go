package main

import (
	"io"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// row is one line of an object's table.
type row struct{ name, value string }

// object prints one object: its fields in two columns, those without a value left out.
func object(to io.Writer, rows []row) error {
	t := bordered(to)
	for _, r := range rows {
		if r.value == "" {
			continue
		}
		if err := t.Append(r.name, r.value); err != nil {
			return err
		}
	}
	return t.Render()
}

// list prints many objects under a heading.
func list(to io.Writer, heading []string, rows [][]string) error {
	t := bordered(to)
	t.Header(heading)
	if err := t.Bulk(rows); err != nil {
		return err
	}
	return t.Render()
}

// bordered draws with + - and |, as scripts and eyes are used to; values are never wrapped, so that they can be copied.
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

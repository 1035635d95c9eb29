package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// format is how a verb prints what it got.
type format string

const (
	human   format = "human"
	inJSON  format = "json"
	inYAML  format = "yaml"
	oneOf          = "human, json or yaml"
	noneYet        = "None found."
)

func (f *format) String() string { return string(*f) }

// Type is what --help shows as the flag's value.
func (f *format) Type() string { return "string" }

// Set refuses what is no format.
func (f *format) Set(s string) error {
	switch format(s) {
	case human, inJSON, inYAML:
		*f = format(s)
		return nil
	}
	return fmt.Errorf("want %s", oneOf)
}

func (f *format) flag(c *cobra.Command) {
	*f = human
	c.Flags().VarP(f, "output", "o", "Output format: "+oneOf+".")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{string(human), string(inJSON), string(inYAML)}, cobra.ShellCompDirectiveNoFileComp))
}

// tell prints a result that is a sentence for people: for machines v, else what the sentence says.
func (f *format) tell(to io.Writer, v any, sentence string, args ...any) error {
	if *f != human {
		return f.document(to, v)
	}
	_, err := fmt.Fprintf(to, sentence+"\n", args...)
	return err
}

// document prints v for machines, with the names of its JSON tags in both formats.
func (f *format) document(to io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if *f == inYAML {
		if text, err = toYAML(text); err != nil {
			return err
		}
	} else {
		text = append(escaped(text), '\n')
	}
	_, err = to.Write(text)
	return err
}

// toYAML turns JSON into YAML in the same order: JSON is YAML, so only the style has to change.
func toYAML(text []byte) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(escapedYAML(text), &n); err != nil {
		return nil, err
	}
	plain(&n)
	text, err := yaml.Marshal(&n)
	return escapedYAML(text), err
}

func plain(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
		if printable(n.Value) != n.Value {
			n.Style = yaml.DoubleQuotedStyle // where it can be escaped
		}
	}
	for _, child := range n.Content {
		plain(child)
	}
}

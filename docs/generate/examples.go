package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	commandsPath = "docs/COMMANDS.md"
	examplesPath = "docs/examples"
)

// slot is the place of an example: a comment that names its file, a code block, and a comment that ends it.
var slot = regexp.MustCompile(`(?s)(<!-- example: (\S+) -->\n).*?(<!-- end of example -->\n)`)

// languages of code blocks, by the ends of names.
var languages = map[string]string{".go": "go", ".py": "python", ".java": "java", ".sh": "bash", ".xml": "xml"}

// withExamples puts the example files into the page that shows them.
func withExamples(root string) ([]byte, error) {
	page, err := os.ReadFile(filepath.Join(root, commandsPath))
	if err != nil {
		return nil, err
	}
	return fill(page, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(root, examplesPath, filepath.FromSlash(name)))
	})
}

// fill replaces what stands in every slot by the file that it names.
func fill(page []byte, read func(string) ([]byte, error)) ([]byte, error) {
	var failed error
	filled := slot.ReplaceAllFunc(page, func(found []byte) []byte {
		parts := slot.FindSubmatch(found)
		name := string(parts[2])
		language, known := languages[filepath.Ext(name)]
		text, err := read(name)
		switch {
		case failed != nil:
		case err != nil:
			failed = err
		case !known:
			failed = fmt.Errorf("%s: what language is it?", name)
		case bytes.Contains(text, []byte("```")):
			failed = fmt.Errorf("%s: would end its code block", name)
		}
		return fmt.Appendf(nil, "%s```%s\n%s\n```\n%s", parts[1], language, strings.TrimSpace(string(text)), parts[3])
	})
	return filled, failed
}

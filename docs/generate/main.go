// Command generate writes what docs/ says about the contract out of the contract itself: the bundle of JSON Schemas
// (events/schemas.json), the reference of commands, events and reasons (docs/REFERENCE.md), and the examples that
// docs/COMMANDS.md shows.
//
// It is not a description of its own: every name, number and sentence comes from the schemas, from package integration or
// from the example files, and a test fails when a sentence is missing there.
//
// The life of a document: each function here makes one as text, [documents] lists them with their places, main writes them,
// and a test compares them with what is committed.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run . -root ../..

func main() {
	root := flag.String("root", ".", "folder of the repository")
	flag.Parse()
	if err := generate(*root); err != nil {
		fmt.Fprintf(os.Stderr, "generate: %v\n", err)
		os.Exit(1)
	}
}

func generate(root string) error {
	all, err := documents(root)
	if err != nil {
		return err
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil { //nolint:gosec // part of a checkout
			return err
		}
	}
	return nil
}

// documents makes all of them, by their paths in the repository.
func documents(root string) (map[string][]byte, error) {
	s, err := readSchemas()
	if err != nil {
		return nil, err
	}
	bundled, err := bundle(s)
	if err != nil {
		return nil, err
	}
	refer, err := reference(s)
	if err != nil {
		return nil, err
	}
	shown, err := withExamples(root)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"events/schemas.json": bundled, "docs/REFERENCE.md": refer, commandsPath: shown}, nil
}

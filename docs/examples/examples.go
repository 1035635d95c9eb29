// Package examples holds the complete programs that docs/COMMANDS.md shows: in Go, Python, Java and for kcat, each a folder.
// They produce a command, wait for its answer, and end with the exit code that docs/REFERENCE.md gives the answer.
//
// They are not a client library, and import nothing of ours: they are for those who have nothing of ours.
//
// The life of an example: somebody copies it. Until then the tests of this package run all of them against a real Kafka and a
// decider, and go generate puts the files, as they are, into the page.
package examples

import _ "embed"

// JavaProject is the Maven project of the example in Java.
//
//go:embed java/pom.xml
var JavaProject string

// Package archtest holds the tests that keep the shape of the repository: which package may import which, what every
// package says about itself, what tests must not do, and under which licences our dependencies come.
//
// It has no code that others could use, and it does not repeat what a linter can say. A rule that lives here is one
// about this project.
//
// How a rule is applied: the repository's Go files are parsed once (repository); each rule is a pure function from a
// file to its faults, with a table of planted faults that it must catch; one test applies it to the repository and
// prints what it finds with file, line and remedy.
package archtest

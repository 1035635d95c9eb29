package archtest_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences may be linked into an Apache-2.0 product without a second thought. A text is known by a sentence that only it
// has; the order matters, since the Mozilla licence also names the GNU ones.
var licences = []struct {
	name    string
	text    *regexp.Regexp
	allowed bool
}{
	{"MPL-2.0", regexp.MustCompile(`Mozilla Public License,? [Vv]ersion 2\.0`), true},
	{"Apache-2.0", regexp.MustCompile(`Apache License,? Version 2\.0`), true},
	{"GPL, LGPL or AGPL", regexp.MustCompile(`(?i)GNU (Affero |Lesser |Library )?General Public License`), false},
	{"BUSL or SSPL", regexp.MustCompile(`Business Source License|Server Side Public License`), false},
	{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge, to any person obtaining a copy`), true},
	{"BSD", regexp.MustCompile(`Redistribution and use in source and binary forms`), true},
	{"Unlicense", regexp.MustCompile(`This is free and unencumbered software released into the public domain`), true},
	{"ISC", regexp.MustCompile(`Permission to use, copy, modify,? and(/or)? distribute this software`), true},
}

// licence names the licence of a text, and says whether we may use it; an unknown one we may not.
func licence(text string) (name string, allowed bool) {
	text = strings.Join(strings.Fields(text), " ")
	for _, l := range licences {
		if l.text.MatchString(text) {
			return l.name, l.allowed
		}
	}
	return "unknown", false
}

func TestEveryDependencyHasALicenceThatWeMayUse(t *testing.T) {
	t.Parallel()
	modules := dependencies(t)
	if len(modules) < 10 {
		t.Fatalf("found %d dependencies: the test would judge nothing", len(modules))
	}
	for name, dir := range modules {
		text, err := licenceFile(dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if found, allowed := licence(text); !allowed {
			t.Errorf("%s: its licence is %s, which is not on the list", name, found)
		}
	}
}

// dependencies are the modules of what we build and test, with their folders.
func dependencies(t *testing.T) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-test",
		"-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			modules[name] = dir
		}
	}
	return modules
}

func licenceFile(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		upper := strings.ToUpper(entry.Name())
		if !entry.IsDir() && slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING"}, func(name string) bool {
			return strings.HasPrefix(upper, name)
		}) {
			text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			return string(text), err
		}
	}
	return "", fmt.Errorf("no licence file in %s", dir)
}

func TestALicenceIsKnownByItsText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Apache License\n   Version 2.0, January 2004":                                            "Apache-2.0",
		"Mozilla Public License Version 2.0 … Secondary License means GNU General Public License": "MPL-2.0",
		"GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3":                                            "GPL, LGPL or AGPL",
		"Business Source License 1.1":                                                             "BUSL or SSPL",
		"All rights reserved.":                                                                    "unknown",
	} {
		got, allowed := licence(text)
		if got != want || allowed != slices.Contains([]string{"Apache-2.0", "MPL-2.0"}, want) {
			t.Errorf("%q: got %s, allowed: %t, want %s", text, got, allowed, want)
		}
	}
	own, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := licence(string(own)); got != "Apache-2.0" {
		t.Errorf("our own licence: got %s, want Apache-2.0", got)
	}
}

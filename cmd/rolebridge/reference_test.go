package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/integration"
)

//go:generate go test -run TestTheReferenceIsThatOfTheCommands -update .

func TestTheReferenceIsThatOfTheCommands(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "CLI.md")
	want := reference(newRoot(streams{}))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not current: go generate ./cmd/rolebridge", path)
	}
	for _, code := range integration.Codes() {
		if row := "| " + strconv.Itoa(code.Answer().Exit) + " | "; !strings.Contains(want, row) || !strings.Contains(want, "`"+string(code)+"`") {
			t.Errorf("%s, exit code %d, is not in the table", code, code.Answer().Exit)
		}
	}
	for _, fault := range api.Faults() {
		if !strings.Contains(want, "`"+string(fault.Code)+"`") {
			t.Errorf("%s, which only the API has, is not in the table", fault.Code)
		}
	}
	help := (&cli{}).want(t, 0, "--help").out
	for _, row := range exitCodes() {
		if line := fmt.Sprintf("\n  %-4d %s\n", row.number, row.means); !strings.Contains(help, line) {
			t.Errorf("%q is not in the help", line)
		}
		if strings.Contains(row.means, "see the codes") {
			t.Errorf("exit code %d has no meaning in words", row.number)
		}
	}
	// A default that is made of where somebody lives would differ on the next machine.
	home, err := os.UserHomeDir()
	if err != nil || len(home) < 2 {
		t.Fatalf("whoever runs this has no home: %q, %v", home, err)
	}
	if strings.Contains(want, home) {
		t.Errorf("the reference names the folder %s", home)
	}
}

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/rolebridge/rolebridge/api/apitest"
)

// asProgram has the test's binary be the program itself, for shells that run it.
const asProgram = "ROLEBRIDGE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheRealBashCompletesVerbsFlagsIDsAndContexts(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatalf("install bash, which the Makefile needs, too: %v", err)
	}
	s := apitest.Serve(t)
	c := withBook(t)
	i, _ := create(t, at(s, apitest.Admin), "--customer-role-arn", roleARN)
	at(s, apitest.Admin).want(t, 0, "connector", "bind", i.ID, "lcc-1")
	for _, name := range []string{"prod", "staging"} {
		c.want(t, 0, "context", "create", name, "--url", s.URL, "--key-file", file(t, "key", apitest.Admin+":"+apitest.Secret), "--environment", "env-abcdef")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "rolebridge")); err != nil {
		t.Fatal(err)
	}
	script := file(t, "completion.bash", c.want(t, 0, "completion", "bash").out)
	// What the package bash-completion and a shell that somebody types in would have, in the least form.
	const complete = `
compopt() { :; } # of a shell that nobody types in
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD; }
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
__start_rolebridge
printf '%s\n' "${COMPREPLY[@]}"`
	for line, want := range map[string]string{
		"provider-int":                                  "provider-integration",
		"provider-integration val":                      "validate",
		"pi describe " + i.ID[:7]:                       i.ID,
		"connector unbind " + i.ID + " l":               "lcc-1",
		"pi list --context st":                          "staging",
		"context use pr":                                "prod",
		"pi list --environment env":                     "env-abcdef",
		"pi list -o y":                                  "yaml",
		"events tail --integration " + i.ID[:7]:         i.ID,
		"access role-binding create --role Env":         "EnvironmentAdmin",
		"access user describe u-nob":                    "",
		"pi describe " + i.ID + " ":                     "",
		"provider-integration create x --customer-role": "--customer-role-arn",
	} {
		words := append([]string{"-c", complete, "bash", script, "rolebridge"}, strings.Split(line, " ")...)
		cmd := exec.CommandContext(t.Context(), bash, append([]string{"--noprofile", "--norc"}, words...)...)
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), asProgram + "=1", envContexts + "=" + c.env[envContexts], "HOME=" + bin}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v\n%s", line, err, stderr.String())
		}
		got, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ") // behind the space stands what it is
		if got != want {
			t.Errorf("%s: got %q, want %q", line, out, want)
		}
	}
}

func TestOtherShellsHaveTheirCompletion(t *testing.T) {
	t.Parallel()
	for shell, want := range map[string]string{"zsh": "#compdef rolebridge", "fish": "complete -c rolebridge", "powershell": "Register-ArgumentCompleter"} {
		got := (&cli{}).want(t, 0, "completion", shell)
		if !strings.Contains(got.out, want) {
			t.Errorf("%s: got %.200s", shell, got.out)
		}
		if path, err := exec.LookPath(shell); err == nil && shell != "powershell" { // where there is one, it reads the script
			if out, err := exec.CommandContext(t.Context(), path, "-n", file(t, shell, got.out)).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", shell, err, out)
			}
		}
	}
	// All of them ask the program.
	c := at(apitest.Serve(t), apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	if got := c.want(t, 0, "__complete", "pi", "validate", ""); !strings.HasPrefix(got.out, i.ID+"\ts3-provider-integration\n:4\n") {
		t.Errorf("got %q", got.out)
	}
	if got := (&cli{}).want(t, 0, "__complete", "pi", "validate", ""); got.out != ":4\n" { // without an address: nothing, and no error
		t.Errorf("got %q", got.out)
	}
}

func TestEveryVerbHasAManualPage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "man1")
	(&cli{}).want(t, 0, "man", dir)
	for _, c := range visible(newRoot(streams{})) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if _, arguments, _ := strings.Cut(c.Use, " "); !bytes.Contains(bytes.ReplaceAll(text, []byte(`\-`), []byte("-")), []byte(arguments)) {
			t.Errorf("%s: the arguments %q are not in its page", name, arguments)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !bytes.Contains(bytes.ReplaceAll(text, []byte(`\-`), []byte("-")), []byte("--"+f.Name)) {
				t.Errorf("%s: --%s is not in its page", name, f.Name)
			}
		})
	}
	again := filepath.Join(t.TempDir(), "man1")
	(&cli{}).want(t, 0, "man", again)
	a, _ := os.ReadFile(filepath.Join(dir, "rolebridge.1"))
	b, _ := os.ReadFile(filepath.Join(again, "rolebridge.1"))
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Error("two pages of one version differ")
	}
	(&cli{}).want(t, 2, "man", file(t, "f", ""))
}

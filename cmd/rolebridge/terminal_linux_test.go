package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rolebridge/rolebridge/internal/polltest"
)

// newTerminal is a terminal and who types on it.
func newTerminal(t *testing.T) (screen, keyboard *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return screen, keyboard
}

// echoes reports whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func TestAnInterruptEndsTheQuestionForASecretAndTheTerminalShowsWhatIsTypedAgain(t *testing.T) {
	t.Parallel()
	terminal, keyboard := newTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := streams{in: terminal, err: new(bytes.Buffer)}.secret(ctx, "Secret")
		ended <- err
	}()
	polltest.Until(t, "the terminal hides what is typed", func() bool { return !echoes(t, terminal) })
	cancel()
	var err error
	polltest.Until(t, "the question ends", func() bool {
		select {
		case err = <-ended:
			return true
		default:
			return false
		}
	})
	if !errors.Is(err, context.Canceled) || !echoes(t, terminal) {
		t.Errorf("got %v, and a terminal that echoes: %v; want it to", err, echoes(t, terminal))
	}
	if _, err := keyboard.WriteString("\n"); err != nil { // ends the read that is left behind
		t.Error(err)
	}
}

func TestASecretIsReadFromATerminal(t *testing.T) {
	t.Parallel()
	terminal, keyboard := newTerminal(t)
	if _, err := keyboard.WriteString("hush\n"); err != nil {
		t.Fatal(err)
	}
	got, err := streams{in: terminal, err: new(bytes.Buffer)}.secret(t.Context(), "Secret")
	if err != nil || got.Reveal() != "hush" || !echoes(t, terminal) {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
}

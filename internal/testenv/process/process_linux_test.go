package process_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

// TestMain lets the binary be the one who starts a server and then is killed.
func TestMain(m *testing.M) {
	log, ok := os.LookupEnv("PROCESS_TEST_OWNER")
	if !ok {
		os.Exit(m.Run())
	}
	server, err := process.Start(context.Background(), process.Spec{Path: "/bin/sleep", Args: []string{"300"}, Log: log})
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, server.PID())
	select {}
}

func TestAServerDiesWithWhoStartedIt(t *testing.T) {
	t.Parallel()
	owner := exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), "PROCESS_TEST_OWNER="+filepath.Join(t.TempDir(), "log"))
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the owner says %q, want a process id", line)
	}
	if gone(pid) {
		t.Fatal("the server did not run")
	}

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	within(t, "the server's end", func() bool { return gone(pid) })
}

func TestAKillReachesTheServersChildren(t *testing.T) {
	t.Parallel()
	server, err := process.Start(t.Context(), process.Spec{
		Path: "/bin/sh", Args: []string{"-c", "sleep 300 & echo $!; wait"}, Log: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var child int
	within(t, "the child's id", func() bool {
		child, err = strconv.Atoi(strings.TrimSpace(server.Output()))
		return err == nil
	})
	if err := server.Kill(); err != nil {
		t.Fatalf("kill: %v", err)
	}
	within(t, "the child's end", func() bool { return gone(child) })
	if server.Alive() {
		t.Error("a killed server is alive")
	}
	if err := server.Kill(); err != nil {
		t.Errorf("a second kill: got %v, want nothing to do", err)
	}
}

func TestAServerThatEndsAtOnceSaysWhy(t *testing.T) {
	t.Parallel()
	server, err := process.Start(t.Context(), process.Spec{
		Path: "/bin/sh", Args: []string{"-c", "echo no such setting; exit 1"}, Log: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = server.Ready(t.Context(), func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "no such setting") {
		t.Errorf("got %v, want its last words", err)
	}
	if err := server.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
}

func TestTwoReservedPortsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 20 {
		port, err := process.ReservePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(port.Release)
		if seen[port.Number] {
			t.Errorf("port %d was reserved twice", port.Number)
		}
		seen[port.Number] = true
	}
}

// gone also means a zombie, which waits for whoever inherited it.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := process.Wait(ctx, ok); err != nil {
		t.Fatalf("waited 10 s for %s", what)
	}
}

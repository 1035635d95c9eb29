package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one server that we started. Its methods are safe for concurrent use.
type Process struct {
	name string
	log  string
	from int64 // where this life's lines begin in the log

	mu   sync.Mutex
	cmd  *exec.Cmd
	done bool
}

// Group gives a child a process group of its own, and lets the kernel send it a signal when we die, however we die. The
// signal goes to the child alone: our servers have no children of their own.
//
// "We" is, to the kernel, the thread that started the child. Go ends a thread only with a goroutine that locked it and
// never unlocked it, which tests do not do.
func Group(atOurDeath syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: atOurDeath}
}

// Start runs what spec says.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	out, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	from, err := out.Seek(0, 2)
	if err != nil {
		return nil, err
	}

	// The process outlives the call; its owner ends it by Kill or Stop.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), spec.Path, spec.Args...)
	cmd.Env, cmd.Dir = spec.Env, spec.Dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = Group(syscall.SIGKILL)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	return &Process{name: filepath.Base(spec.Path), log: spec.Log, from: from, cmd: cmd}, nil
}

// PID is the number that the process had, also after its end.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Alive tells whether the process still runs; a paused one does.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.exited()
}

// exited looks without collecting the exit status, so that the number cannot be given to another process before we
// have sent our last signal to it.
func (p *Process) exited() bool {
	if p.done {
		return true
	}
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, p.PID(), &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return true
		default:
			return info.Signo != 0
		}
	}
}

// Kill ends the process and its children as a power cut would, and returns when they are gone.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return nil
	}
	// Also when the leader is gone: its children may not be.
	if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	_ = p.cmd.Wait() // says "signal: killed", as it should
	p.done = true
	return nil
}

// Stop asks the process to end, and kills it when it has not within grace; the latter is an error.
func (p *Process) Stop(grace time.Duration) error {
	p.mu.Lock()
	if p.done {
		p.mu.Unlock()
		return nil
	}
	err := p.signal(syscall.SIGTERM)
	p.mu.Unlock()
	if err != nil {
		return errors.Join(err, p.Kill())
	}

	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	late := Wait(ctx, func() bool { return !p.Alive() })
	if err := p.Kill(); err != nil {
		return err
	}
	if late != nil {
		return fmt.Errorf("%s still ran %s after SIGTERM and was killed", p.name, grace)
	}
	return nil
}

// Pause freezes the process with its connections open: what a stalled disk or a long collection looks like.
func (p *Process) Pause() error { return p.alive(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.alive(syscall.SIGCONT) }

func (p *Process) alive(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited() {
		return fmt.Errorf("%s has ended", p.name)
	}
	return p.signal(sig)
}

func (p *Process) signal(sig syscall.Signal) error {
	if err := syscall.Kill(-p.PID(), sig); err != nil {
		return fmt.Errorf("send %s to %s: %w", sig, p.name, err)
	}
	return nil
}

// Output is what the process has printed in this life.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.log)
	if err != nil || int64(len(text)) < p.from {
		return ""
	}
	return string(text[p.from:])
}

// Ready waits until ok answers true. It gives up when the process ends first or ctx does, and then shows the last of
// what the process has printed.
func (p *Process) Ready(ctx context.Context, ok func() bool) error {
	died := false
	err := Wait(ctx, func() bool {
		if ok() {
			return true
		}
		died = !p.Alive()
		return died
	})
	switch {
	case died:
		return fmt.Errorf("%s ended before it was ready:\n%s", p.name, last(p.Output(), 3000))
	case err != nil:
		return fmt.Errorf("%s is not ready: %w:\n%s", p.name, err, last(p.Output(), 3000))
	}
	return nil
}

func last(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}

//go:build !linux

package process

import (
	"context"
	"syscall"
	"time"
)

// Group gives a child a process group of its own. It outlives us if we are killed.
func Group(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// Process cannot be had on this operating system.
type Process struct{}

// Start answers ErrUnsupported.
func Start(context.Context, Spec) (*Process, error) { return nil, ErrUnsupported }

// PID is 0.
func (*Process) PID() int { return 0 }

// Alive is false.
func (*Process) Alive() bool { return false }

// Kill answers ErrUnsupported.
func (*Process) Kill() error { return ErrUnsupported }

// Stop answers ErrUnsupported.
func (*Process) Stop(time.Duration) error { return ErrUnsupported }

// Pause answers ErrUnsupported.
func (*Process) Pause() error { return ErrUnsupported }

// Resume answers ErrUnsupported.
func (*Process) Resume() error { return ErrUnsupported }

// Output is empty.
func (*Process) Output() string { return "" }

// Ready answers ErrUnsupported.
func (*Process) Ready(context.Context, func() bool) error { return ErrUnsupported }

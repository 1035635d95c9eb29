package local

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rolebridge/rolebridge/internal/testenv/process"
)

const (
	// startBound is far above the 1.5 s to 8 s of a Kafka: ten packages' tests may be compiling meanwhile.
	startBound = 90 * time.Second
	stopBound  = 30 * time.Second
)

// Server is what all servers have in common.
type Server struct {
	spec  process.Spec
	port  *process.Port
	ready func(*process.Process) func() bool
	close func()

	mu      sync.Mutex
	process *process.Process
}

// Address is host:port. It stays the same over restarts.
func (s *Server) Address() string { return s.port.Address() }

// Start runs the server and waits until it answers.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && s.process.Alive() {
		return errors.New("the server already runs")
	}
	p, err := process.Start(ctx, s.spec)
	if err != nil {
		return err
	}
	s.process = p
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	if err := p.Ready(ctx, s.ready(p)); err != nil {
		return errors.Join(err, p.Kill())
	}
	return nil
}

// Kill ends the server as a power cut would.
func (s *Server) Kill() error {
	return s.running(func(p *process.Process) error { return p.Kill() })
}

// Stop lets the server finish.
func (s *Server) Stop() error {
	return s.running(func(p *process.Process) error { return p.Stop(stopBound) })
}

// Pause freezes the server; its connections stay open and unanswered.
func (s *Server) Pause() error {
	return s.running(func(p *process.Process) error { return p.Pause() })
}

// Resume lets a paused server go on.
func (s *Server) Resume() error {
	return s.running(func(p *process.Process) error { return p.Resume() })
}

// Close ends the server for good and gives its ports back.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.process != nil {
		err = s.process.Kill()
	}
	s.close()
	return err
}

// Output is what the server has printed since its last start.
func (s *Server) Output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return ""
	}
	return s.process.Output()
}

func (s *Server) running(do func(*process.Process) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || !s.process.Alive() {
		return errors.New("the server does not run")
	}
	return do(s.process)
}

// environment is what a server gets to see: not the AWS_* and JAVA_* variables of who runs the tests.
func environment(more ...string) []string {
	env := more
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func printed(line string) func(*process.Process) func() bool {
	return func(p *process.Process) func() bool {
		return func() bool { return strings.Contains(p.Output(), line) }
	}
}

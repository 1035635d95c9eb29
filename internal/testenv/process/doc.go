// Package process starts and ends the servers that tests run against.
//
// It is not a supervisor: nothing is restarted, and a process that died stays dead until the test starts another one.
//
// The life of a process: Start gives it a process group of its own, a log file and the wish to die with its parent;
// Kill, Stop, Pause and Resume send signals to exactly that group. Nothing is ever ended by name. No goroutine waits for
// it, so that tests which look for leaked goroutines find none of ours. Local servers need Linux; elsewhere Start
// answers ErrUnsupported, and tests use Docker or addresses from the environment.
package process

import "errors"

// ErrUnsupported says that this operating system cannot tie a server's life to the life of the tests.
var ErrUnsupported = errors.New("local servers need Linux: give addresses in the environment, or run Docker")

// Spec says what to start. Env is the whole environment, not an addition to ours.
type Spec struct {
	Path string
	Args []string
	Env  []string
	Dir  string
	// Log receives both outputs; it is appended to, so that a restart keeps what the last life said.
	Log string
}

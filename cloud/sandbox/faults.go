package sandbox

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// Trouble is what a Fault does to a request.
type Trouble int

const (
	// Slow only waits for the fault's Latency; the request is answered after that.
	Slow Trouble = iota
	// Throttle answers 400 Throttling, and S3's 503 SlowDown.
	Throttle
	// Break answers 500 InternalFailure, and S3's 500 InternalError.
	Break
	// Disconnect closes the connection without an answer, with a reset.
	Disconnect
)

// Fault is trouble to be made on purpose, for tests. It fires before the signature is looked at.
type Fault struct {
	Service string // iam, sts, s3; empty: all
	Action  string // an API's name, such as AssumeRole or PutObject; empty: all
	Trouble Trouble
	Latency time.Duration // waited before anything else, or until the client has gone
	Times   int           // requests that it hits; 0: all until Remove
}

// Injected is a fault at work.
type Injected struct {
	faults *faults
	fault  Fault
	fired  int // guarded by faults.mu
}

// Fired is how many requests the fault has hit. A test that injects a fault asserts this.
func (i *Injected) Fired() int {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	return i.fired
}

// Remove ends the fault. What it has begun goes on.
func (i *Injected) Remove() {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	for n, at := range i.faults.active {
		if at == i {
			i.faults.active = append(i.faults.active[:n:n], i.faults.active[n+1:]...)
			return
		}
	}
}

// Inject makes f happen from now on. Of several that fit a request the oldest fires.
func (s *Sandbox) Inject(f Fault) *Injected {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	i := &Injected{faults: &s.faults, fault: f}
	s.faults.active = append(s.faults.active, i)
	return i
}

// Calls counts the requests that named an action since New: refused, throttled and broken ones too. The name is the
// API's (AssumeRole, HeadBucket); empty counts all.
func (s *Sandbox) Calls(action string) int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return s.faults.calls[action]
}

type faults struct {
	mu     sync.Mutex
	active []*Injected
	calls  map[string]int
}

// next counts a request and takes the fault that it shall suffer.
func (f *faults) next(service, action string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[action]++
	f.calls[""]++
	for _, i := range f.active {
		at := i.fault
		fits := (at.Service == "" || at.Service == service) && (at.Action == "" || at.Action == action)
		if fits && (at.Times == 0 || i.fired < at.Times) {
			i.fired++
			return at, true
		}
	}
	return Fault{}, false
}

// act makes the trouble and tells whether the request may go on.
func (f Fault) act(w http.ResponseWriter, r *http.Request, refuseWith func(error)) bool {
	if f.Latency > 0 {
		wait := time.NewTimer(f.Latency)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
			return false
		}
	}
	switch f.Trouble {
	case Throttle:
		refuseWith(refuse(400, "Throttling", "Rate exceeded"))
	case Break:
		refuseWith(refuse(500, "InternalFailure", "The request processing has failed because of an unknown error, exception or failure."))
	case Disconnect:
		disconnect(w)
	default:
		return true
	}
	return false
}

func disconnect(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the server's own way to close without an answer
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

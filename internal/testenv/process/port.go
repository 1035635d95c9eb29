package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// The range lies below the ports that kernels hand out by themselves (from 32768 on Linux): while a killed server is
// down, no outgoing connection can take its port.
const lowestPort, highestPort = 12000, 32000

// Port is a TCP port of 127.0.0.1 that no other test of this machine takes before Release, also while nobody listens.
type Port struct {
	Number int
	lock   *os.File
}

// ReservePort finds a free port.
func ReservePort(ctx context.Context) (*Port, error) {
	dir := filepath.Join(os.TempDir(), "rolebridge-ports")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	_ = os.Chmod(dir, 0o777) // other users' tests share it; only its owner can do this, and once is enough
	for range 200 {
		number := lowestPort + rand.IntN(highestPort-lowestPort)
		lock, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(number)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			continue // another user's
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil || !listens(ctx, number) {
			_ = lock.Close()
			continue
		}
		return &Port{Number: number, lock: lock}, nil
	}
	return nil, fmt.Errorf("no free port between %d and %d", lowestPort, highestPort)
}

func listens(ctx context.Context, number int) bool {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Address is host:port.
func (p *Port) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Number)) }

// Release gives the port back. The end of our process does so too.
func (p *Port) Release() { _ = p.lock.Close() }

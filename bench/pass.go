package main

import (
	"syscall"
	"time"
)

// pass is one measured run.
type pass struct {
	took         time.Duration
	cpu          time.Duration // of this process, servers excluded: other work on the machine does not count
	transactions int64
}

// passes are the rounds of one thing that is measured.
type passes struct {
	seconds, cpu []float64
	transactions int64 // of the last
}

func (p *passes) add(of pass, err error) error {
	if err != nil {
		return err
	}
	p.seconds = append(p.seconds, of.took.Seconds())
	p.cpu = append(p.cpu, of.cpu.Seconds())
	p.transactions = of.transactions
	return nil
}

// clock starts to measure; the function that it returns ends it.
func clock() (stop func() pass) {
	begin, before := time.Now(), cpuTime()
	return func() pass { return pass{took: time.Since(begin), cpu: cpuTime() - before} }
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

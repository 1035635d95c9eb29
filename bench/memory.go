package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
)

const memoryRounds = 2

// footprint is what a process says of itself once its replica is ready, in bytes.
type footprint struct {
	Before int64 `json:"before"` // most that was resident before the replica was loaded
	Peak   int64 `json:"peak"`   // most that was resident until it was ready
	Live   int64 `json:"live"`   // of the heap after a collection
}

// replicaMemory measures the most memory that a process needs to load the replica of 100,000 integrations, against the
// bytes of their records. Each round is a process of its own, with the garbage collector as it comes.
func replicaMemory(ctx context.Context) (r Result, err error) {
	err = withSite(ctx, func(s *site) error {
		if err := fill(ctx, s, integrations); err != nil {
			return err
		}
		records, bytes, err := s.sizes(ctx, s.topics.State())
		if err != nil {
			return err
		}
		var peak, live []float64
		for range memoryRounds {
			f, err := loadElsewhere(ctx, s)
			if err != nil {
				return err
			}
			peak = append(peak, megabytes(f.Peak-f.Before))
			live = append(live, megabytes(f.Live))
		}
		r = Result{
			Value: median(peak), Unit: "MB/100k integrations", Baseline: megabytes(bytes),
			Details: map[string]any{
				"baseline_is":  "bytes of the records that the replica is made of",
				"live_heap":    rounded(median(live)),
				"integrations": integrations,
				"records":      records,
				"rounds":       roundedAll(peak),
				"measured_as":  "growth of VmHWM of a process of its own, from before the load until the replica is ready",
			},
		}
		return nil
	})
	return r, err
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

// loadElsewhere runs this program again, to do nothing but load the replica.
func loadElsewhere(ctx context.Context, s *site) (f footprint, err error) {
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, self, "-load-replica", s.topics.Prefix) //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), "ROLEBRIDGE_TEST_KAFKA="+strings.Join(s.brokers, ","))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("load the replica in a process of its own: %w", err)
	}
	err = json.Unmarshal(text, &f)
	return f, err
}

// loadAlone is the other process.
func loadAlone(ctx context.Context, prefix string, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	table := events.NewTable(events.Topics{Prefix: prefix, Partitions: events.DefaultPartitions},
		[]kgo.Opt{kgo.SeedBrokers(strings.Split(os.Getenv("ROLEBRIDGE_TEST_KAFKA"), ",")...)}, events.WithLog(slog.New(slog.DiscardHandler)))
	before, err := mostResident()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- table.Run(ctx) }()
	select {
	case <-table.Ready():
	case err := <-ended:
		return fmt.Errorf("the replica ended before it was ready: %w", err)
	}
	peak, err := mostResident()
	if err != nil {
		return err
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if n := table.Count(); n != integrations {
		return fmt.Errorf("the replica has %d integrations, want %d", n, integrations)
	}
	cancel()
	return errors.Join(<-ended, json.NewEncoder(out).Encode(footprint{Before: before, Peak: peak, Live: int64(m.HeapAlloc)})) //nolint:gosec // fits
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// mostResident is the most memory that this process had resident so far. Linux only.
func mostResident() (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	found := highWater.FindSubmatch(text)
	if found == nil {
		return 0, errors.New("/proc/self/status has no VmHWM")
	}
	kb, err := strconv.ParseInt(string(found[1]), 10, 64)
	return kb * 1024, err
}

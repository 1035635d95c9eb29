// Command bench measures rolebridge beside a baseline, in the same run on the same servers, and prints one JSON line for
// each benchmark:
//
//	go run ./bench [-only lifecycle,restore] [-cpuprofile file]
//
// It is not a test: it fails when what was measured is wrong (a record lost, an answer refused), and at its end when a
// figure misses the target that its line names. Absolute numbers do not say much otherwise: load, servers and what is
// measured share one machine. The ratios are what to watch, on a machine that has nothing else to do.
//
// The life of a number: each benchmark runs some rounds, in which ours and the baseline take turns, and reports medians.
// It uses the Kafka that ROLEBRIDGE_TEST_KAFKA names, else one of its own, which ends with it. All of it takes about
// twelve minutes on two cores, two of them for the fleet.
//
// The deciders have three: lifecycle (commands a second), signatures (the same, signed) and restore (of the state).
//
// The api has two: creations (through REST until mapped) and listing (pages out of 100,000 integrations, and reads of one).
//
// The broker has six: reads (warm, at full load and at 500 and 5,000 a second), cached (memory for each key), burst (500
// callers of three processes for one cold key), crowd (10,000 cold keys of two organizations), fleet (1,000 connectors,
// three processes, a restart of each), and memory (the replica). burst and fleet run the real program, built with the tag
// compressed: sessions live for a minute in place of an hour.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Result is one line of output. Ratio is ours to the baseline's, in the same unit.
type Result struct {
	Name     string         `json:"name"`
	Value    float64        `json:"value"`
	Unit     string         `json:"unit"`
	Ratio    float64        `json:"ratio"`
	Baseline float64        `json:"baseline"`
	Details  map[string]any `json:"details"`
	Targets  []Target       `json:"targets,omitempty"`
}

// Target is what a figure of a [Result] must be: at least or at most so much.
type Target struct {
	Figure  string   `json:"figure"`
	Value   float64  `json:"value"`
	AtLeast *float64 `json:"at_least,omitempty"`
	AtMost  *float64 `json:"at_most,omitempty"`
	Met     bool     `json:"met"`
}

func atLeast(figure string, value, limit float64) Target {
	return Target{Figure: figure, Value: rounded(value), AtLeast: &limit, Met: value >= limit}
}

func atMost(figure string, value, limit float64) Target {
	return Target{Figure: figure, Value: rounded(value), AtMost: &limit, Met: value <= limit}
}

// missed names the targets that were missed; nil when none was.
func (r Result) missed() error {
	var all []error
	for _, t := range r.Targets {
		switch {
		case t.Met:
		case t.AtLeast != nil:
			all = append(all, fmt.Errorf("target missed: %s is %g, want at least %g", t.Figure, t.Value, *t.AtLeast))
		default:
			all = append(all, fmt.Errorf("target missed: %s is %g, want at most %g", t.Figure, t.Value, *t.AtMost))
		}
	}
	return errors.Join(all...)
}

// benchmark measures one thing.
type benchmark struct {
	name string
	run  func(ctx context.Context) (Result, error)
}

var benchmarks = []benchmark{
	{"lifecycle", lifecycleCommands},
	{"signatures", signedCommands},
	{"restore", restoreState},
	{"reads", warmReads},
	{"creations", createdMapped},
	{"listing", listing},
	{"memory", replicaMemory},
	{"schedule", proofSchedule},
	{"cached", cachedMemory},
	{"burst", coldBurst},
	{"crowd", coldCrowd},
	{"fleet", fleetReads},
	{"evaluations", policyEvaluations},
	{"hostile", hostileTexts},
	{"validations", validations},
	{"strangers", strangersWithTokens},
	{"strangers-oidc", strangersWithIssuersTokens},
	{"strangers-api", foreignIntegrations},
	{"strangers-api-keys", unknownKeys},
}

// longest bounds the whole run, servers and all.
const longest = 30 * time.Minute

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	child := flags.String("load-replica", "", "for ourselves: load the replica of this prefix, print what it takes, and end")
	only := flags.String("only", "", "names of benchmarks to run, with commas between them; all by default")
	profile := flags.String("cpuprofile", "", "write a CPU profile to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child != "" {
		return loadAlone(ctx, *child, out)
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	lines := json.NewEncoder(out)
	for _, b := range chosen {
		begin := time.Now()
		fmt.Fprintf(os.Stderr, "bench: %s\n", b.name)
		r, failed := b.run(ctx)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", b.name, failed))
		}
		if r.Unit == "" {
			continue // nothing was measured
		}
		r.Name = b.name
		if r.Baseline != 0 {
			r.Ratio = rounded(r.Value / r.Baseline)
		}
		r.Value, r.Baseline = rounded(r.Value), rounded(r.Baseline)
		r.Details["took_seconds"] = rounded(time.Since(begin).Seconds())
		if err := lines.Encode(r); err != nil {
			return err
		}
		if missed := r.missed(); missed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", b.name, missed))
		}
	}
	return err
}

func choose(only string) ([]benchmark, error) {
	if only == "" {
		return benchmarks, nil
	}
	var chosen []benchmark
	for name := range strings.SplitSeq(only, ",") {
		n := slices.IndexFunc(benchmarks, func(b benchmark) bool { return b.name == name })
		if n < 0 {
			return nil, fmt.Errorf("no benchmark %q", name)
		}
		chosen = append(chosen, benchmarks[n])
	}
	return chosen, nil
}

package main

import (
	"context"

	"github.com/rolebridge/rolebridge/events/signature"
)

// signedCommands measures commands per second through the real worker when each is signed and must be, against the same
// commands without signatures.
func signedCommands(ctx context.Context) (Result, error) {
	key := signature.NewKey()
	entry, err := signature.Signer{
		Name: "bench", PublicKey: key.Public().String(), Actors: []string{"*", string(platform)}, Sources: []string{benchSource},
	}.Entry()
	if err != nil {
		return Result{}, err
	}
	signers, err := signature.ParseSigners(entry)
	if err != nil {
		return Result{}, err
	}
	var signed, plain passes
	var signedBytes, plainBytes int
	decided := func(to *passes, bytes *int, sign bool) error {
		return withSite(ctx, func(s *site) error {
			if sign {
				s.codec = s.codec.Signing(key)
				s.proof = signature.Policy{Required: true, Signers: func() *signature.Signers { return signers }}
			}
			load, err := creations(s)
			if err != nil {
				return err
			}
			if err := to.add(decideAll(ctx, s, load)); err != nil {
				return err
			}
			shape, err := measureTraffic(ctx, s, load) // that all were granted, too
			*bytes = shape.command
			return err
		})
	}
	for range commandRounds {
		if err := decided(&plain, &plainBytes, false); err != nil {
			return Result{}, err
		}
		if err := decided(&signed, &signedBytes, true); err != nil {
			return Result{}, err
		}
	}
	return Result{
		Value: commandsPerSecond(signed), Unit: "commands/s", Baseline: commandsPerSecond(plain),
		Details: map[string]any{
			"baseline_is":            "the same commands without signatures, and none looked for",
			"cpu_us_per_command":     rounded(cpuOfCommand(signed)),
			"baseline_cpu_us":        rounded(cpuOfCommand(plain)),
			"cpu_us_per_signature":   rounded(cpuOfCommand(signed) - cpuOfCommand(plain)),
			"commands":               commands,
			"bytes_of_command":       signedBytes,
			"baseline_bytes":         plainBytes,
			"round_seconds":          roundedAll(signed.seconds),
			"baseline_round_seconds": roundedAll(plain.seconds),
		},
	}, nil
}

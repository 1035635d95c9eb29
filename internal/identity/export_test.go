package identity

import (
	"context"
	"runtime"
)

// AskWith replaces the network: ask returns an issuer's key set.
func (v *Verifier) AskWith(ask func(ctx context.Context, issuer string) ([]byte, error)) {
	v.issuers.ask = func(ctx context.Context, issuer string) (*keySet, error) {
		text, err := ask(ctx, issuer)
		if err != nil {
			return nil, err
		}
		return parseKeys(text)
	}
}

// ParseKeys is for the fuzzer.
func ParseKeys(text []byte) error {
	_, err := parseKeys(text)
	return err
}

// Running waits until the verifier runs.
func (v *Verifier) Running() {
	for running := false; !running; runtime.Gosched() {
		v.issuers.mu.Lock()
		running = v.issuers.base != nil
		v.issuers.mu.Unlock()
	}
}

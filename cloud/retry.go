package cloud

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Patience says how long a call is tried on.
type Patience struct {
	// First is the first pause, half as long as Longest at most; pauses grow and are spread.
	First, Longest time.Duration
	// Tries is the most calls, 0 is as many as fit into For; no pause begins that would end later than For.
	Tries uint
	For   time.Duration
	// Again decides which errors are tried on with, and may count them.
	Again func(error) bool
}

// TryOn repeats call while its error may pass. The error is that of the last call, not of the loop around it; only when
// ctx ended before the first call it is that of ctx.
func TryOn[T any](ctx context.Context, p Patience, call func() (T, error)) (T, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = p.First, p.Longest
	var last error
	out, err := backoff.Retry(ctx, func() (T, error) {
		out, err := call()
		last = err
		if err != nil && !p.Again(err) {
			err = backoff.Permanent(err)
		}
		return out, err
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(p.Tries), backoff.WithMaxElapsedTime(p.For))
	if err != nil && last != nil {
		err = last
	}
	return out, err
}

// Passes reports whether an error is a cloud's and may pass by itself.
func Passes(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Temporary()
}

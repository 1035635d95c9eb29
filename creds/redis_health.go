package creds

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Trouble with Redis in words for whoever is on call; the attribute of "redis lost".
const (
	troubleSilent   = "does not answer"
	troubleGarbled  = "does not answer as Redis does"
	troubleLogin    = "refuses our user or password"
	troubleReadOnly = "is read-only"
	troubleFull     = "is full"
	troubleSnapshot = "refuses writes because it cannot save"
	troubleLoading  = "is loading"
	troubleOther    = "refuses a write"
)

// troubleOf names what is wrong; empty when nothing is. The server's own text goes nowhere: it may be anything.
func troubleOf(err error) string {
	var said redis.Error
	var broken net.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &said):
		word, _, _ := strings.Cut(said.Error(), " ")
		switch {
		case slices.Contains([]string{"WRONGPASS", "NOAUTH", "NOPERM"}, word), strings.HasPrefix(said.Error(), "ERR AUTH"):
			return troubleLogin
		case word == "READONLY":
			return troubleReadOnly
		case word == "OOM":
			return troubleFull
		case word == "MISCONF":
			return troubleSnapshot
		case word == "LOADING", word == "MASTERDOWN":
			return troubleLoading
		}
		return troubleOther
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &broken), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return troubleSilent
	}
	return troubleGarbled
}

// Looks at a server: seldom while it is well, and twice before it is called lost.
const (
	lookEvery   = 10 * time.Second
	looksToLose = 2
)

// health says once that the server is lost, once that it is lost for another reason, and once that it is back. It looks by
// itself, so that a wrong password is told when the process starts and not when somebody first needs it, and when an
// operation failed, which rings the bell. One goroutine owns it.
type health struct {
	look    func(context.Context) error
	address string
	log     *slog.Logger
	bell    chan struct{}

	lost string // the trouble that was told last
	seen int    // looks in a row that found trouble
}

// run looks until ctx ends, and never again within pause.
func (h *health) run(ctx context.Context, pause time.Duration) {
	for {
		h.found(ctx, troubleOf(h.look(ctx)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if h.seen > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		case <-h.bell:
		}
	}
}

func (h *health) found(ctx context.Context, trouble string) {
	switch {
	case ctx.Err() != nil:
		return
	case trouble == "":
		if h.lost != "" {
			h.log.InfoContext(ctx, "redis back", "address", h.address)
		}
		h.lost, h.seen = "", 0
		return
	}
	h.seen++
	if h.seen >= looksToLose && trouble != h.lost {
		h.log.WarnContext(ctx, "redis lost", "address", h.address, "why", "it "+trouble)
		h.lost = trouble
	}
}

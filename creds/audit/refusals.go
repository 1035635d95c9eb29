package audit

import (
	"context"
	"time"

	"github.com/rolebridge/rolebridge/events"
)

// folded are notes of one window that are alike.
type folded struct {
	count int64
	since time.Time
}

// alike returns what all notes equal to a have in common, and whether such notes are counted at all.
func alike(a events.Audit) (events.Audit, bool) {
	a.Time = time.Time{}
	switch note := a.Note.(type) {
	case events.CredentialsRefused:
		note.Count, note.Since = 0, time.Time{}
		a.Note = note
	case events.LoginRefused:
		note.Count, note.Since = 0, time.Time{}
		a.Note = note
	default:
		return a, false
	}
	return a, true
}

// counted is the record for so many notes that are alike.
func counted(like events.Audit, of folded, now time.Time) events.Audit {
	like.Time = now
	switch note := like.Note.(type) {
	case events.CredentialsRefused:
		note.Count, note.Since = of.count, of.since
		like.Note = note
	case events.LoginRefused:
		note.Count, note.Since = of.count, of.since
		like.Note = note
	}
	return like
}

// maxRefusals bounds the different refusals of one window; a window with more ends early.
const maxRefusals = 10_000

// fold counts a refusal in the present window.
func (t *Trail) fold(ctx context.Context, like events.Audit, at time.Time) {
	have, ok := t.refusals[like]
	if !ok {
		if len(t.refusals) >= maxRefusals {
			t.endRefusals(ctx)
		}
		have.since = at
	}
	have.count++
	t.refusals[like] = have
}

// endRefusals writes the refusals of the window.
func (t *Trail) endRefusals(ctx context.Context) {
	now := time.Now()
	for like, of := range t.refusals {
		t.write(ctx, counted(like, of, now), of.count)
	}
	clear(t.refusals)
}

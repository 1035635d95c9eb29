// Package doctor looks at all that the processes of an installation need from outside, and says what is wrong and what to
// do about it. It changes nothing, and knows nothing of how what it found is shown.
//
// [Patient.Examine] goes through the parts in the order in which they depend on one another: Kafka first (kafka.go), since
// topics, rights and readers cannot be looked at without it, then what a broker and the workers need (edges.go). Each look is
// bounded, and tells one [Finding] or more: a verdict, what was found, and what to do.
package doctor

import (
	"context"
	"errors"
	"time"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
)

// Verdict is how a part is.
type Verdict string

// The verdicts. Skipped: it cannot be looked at, or is not used.
const (
	OK      Verdict = "OK"
	Warning Verdict = "WARN"
	Failure Verdict = "FAIL"
	Skipped Verdict = "SKIP"
)

// Finding is what was found of one part.
type Finding struct {
	Part    string  `json:"part"`
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Do      string  `json:"do,omitempty"`
}

// lookWithin bounds the look at one part.
const lookWithin = 15 * time.Second

// Patient is what is looked at.
type Patient struct {
	app.Config
	Roles []app.Role // whose needs count
	// API asks the API as a client would; nil: it is not asked.
	API func(context.Context) error
}

// look is the look at one part. An error is a failure, without advice unless there was no answer in time.
type look func(context.Context) ([]Finding, error)

// Examine looks at one part after the other and tells each finding as it comes. The error is of the settings.
func (p *Patient) Examine(ctx context.Context, tell func(Finding)) error {
	kafka, err := p.openKafka()
	if err != nil {
		return err
	}
	defer kafka.client.Close()
	for _, part := range []struct {
		name string
		look look
	}{
		{"kafka", kafka.reach},
		{"topics", kafka.needed(kafka.contract)},
		{"rights", kafka.needed(kafka.rights)},
		{"lag", kafka.needed(kafka.behind)},
		{"transactions", kafka.needed(kafka.hanging)},
		{"signatures", p.signatures},
		{"redis", p.redis},
		{"keyset", p.keyset},
		{"aws", p.aws},
		{"api", p.api},
	} {
		looking, cancel := context.WithTimeout(ctx, lookWithin)
		found, err := part.look(looking)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			do := ""
			if errors.Is(err, context.DeadlineExceeded) {
				do = "Look again. If it stays so, see in the log of what was asked whether it is overloaded, and whether the network lets all of it through."
			}
			found = append(found, failure(errText(err), do))
		}
		for _, f := range found {
			f.Part = part.name
			tell(f)
		}
	}
	return nil
}

func ok(found string) Finding          { return Finding{Verdict: OK, Found: found} }
func skipped(why string) Finding       { return Finding{Verdict: Skipped, Found: why} }
func warning(found, do string) Finding { return Finding{Verdict: Warning, Found: found, Do: do} }
func failure(found, do string) Finding { return Finding{Verdict: Failure, Found: found, Do: do} }
func one(f Finding) ([]Finding, error) { return []Finding{f}, nil }

func errText(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + lookWithin.String()
	}
	return err.Error()
}

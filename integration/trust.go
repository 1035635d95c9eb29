package integration

import "time"

// TrustStatus is what is known about the customer's trust policy.
type TrustStatus string

// The states of trust.
const (
	TrustUnknown  TrustStatus = "unknown"  // never asked: the mapping is not ready, or the integration is a draft
	TrustPending  TrustStatus = "pending"  // refused so far, but changes may still be propagating
	TrustValid    TrustStatus = "valid"    // admits us with the external ID, and only with it
	TrustInsecure TrustStatus = "insecure" // admits us without, or with a wrong, external ID
	TrustDenied   TrustStatus = "denied"   // refuses us
	TrustError    TrustStatus = "error"    // could not be tried; our fault or the cloud's
)

// TrustStatuses lists every [TrustStatus].
func TrustStatuses() []TrustStatus {
	return []TrustStatus{TrustUnknown, TrustPending, TrustValid, TrustInsecure, TrustDenied, TrustError}
}

// Propagation is how long a refusal may be the echo of an older policy: IAM is eventually consistent. A refusal counts
// only when it has lasted longer.
const Propagation = 60 * time.Second

// cleanRounds is how often in a row the negative checks must hold before "insecure" is lifted.
const cleanRounds = 2

// maxHistory bounds the changes that an integration remembers.
const maxHistory = 10

// CheckName names one check of a validation.
type CheckName string

// The checks, in the order in which they are made.
const (
	CheckPlatformIdentity CheckName = "platform-identity"
	CheckPlatformRole     CheckName = "platform-role"
	CheckWithExternalID   CheckName = "assume-with-external-id"
	CheckWithoutID        CheckName = "refuse-without-external-id"
	CheckWrongID          CheckName = "refuse-wrong-external-id"
	CheckTagSession       CheckName = "tag-session"
	CheckAccount          CheckName = "account"
	CheckMaxSession       CheckName = "max-session"
	CheckPermissions      CheckName = "permissions"     // the last one; never weighs in the verdict
	CheckSourceIdentity   CheckName = "source-identity" // made only while a connector's sessions have one
	// During a rotation one of these is made, after the one above that refuses a wrong ID.
	CheckNextID   CheckName = "assume-with-next-external-id"
	CheckFormerID CheckName = "refuse-former-external-id"
)

// Outcome is the result of one check.
type Outcome string

// The outcomes of a check.
const (
	Pass    Outcome = "PASS"
	Fail    Outcome = "FAIL"
	Skipped Outcome = "SKIPPED" // an earlier check decided already
	Errored Outcome = "ERROR"   // could not be made; says nothing about the customer
)

// Check is one line of a [Report].
type Check struct {
	Name    CheckName `json:"name"`
	Outcome Outcome   `json:"outcome"`
	// Reason is the cloud's error code or one of ours; never a request id, never a secret.
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Remedy says what to change, with the exact statement to paste where there is one.
	Remedy string `json:"remedy,omitempty"`
}

// Report is what one validation found.
type Report struct {
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	Checks     []Check   `json:"checks"`
	// Policy is what the linter says of the customer's real trust policy, if the platform may read it. It never weighs in
	// the [Verdict]: what a cloud does counts, not what a text says.
	Policy *Reading `json:"policy,omitempty"`
}

// Reading is a look at the customer's trust policy itself, which the platform may be allowed, but needs not.
type Reading struct {
	Read bool `json:"read"`
	// Reason and Detail say why it was not read.
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Remedy is the customer's own policy with all errors mended; or, when it could not be read, what would permit that.
	Remedy   string        `json:"remedy,omitempty"`
	Findings []LintFinding `json:"findings,omitempty"` // worst first, at most [MaxFindings]
	// LeftOut counts the findings beyond those.
	LeftOut int `json:"left_out,omitempty"`
}

// Bounds of what a report says about a policy, in characters of their texts: whatever a customer writes, a report stays
// below 64 KiB, and the record that holds it far below Kafka's usual 1 MB.
const (
	MaxFindings       = 20
	MaxFindingMessage = 400
	MaxFindingPointer = 256
	MaxFindingRemedy  = 1024
)

// LintFinding is one thing to say about the text of a trust policy.
type LintFinding struct {
	Code     string `json:"code"`
	Severity string `json:"severity"` // error, warning or note
	Message  string `json:"message"`
	Pointer  string `json:"pointer"` // RFC 6901; "" is the whole document
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Remedy   string `json:"remedy,omitempty"`
}

// Outcome returns the outcome of the named check, [Skipped] when the report has none.
func (r Report) Outcome(name CheckName) Outcome {
	for _, c := range r.Checks {
		if c.Name == name {
			return c.Outcome
		}
	}
	return Skipped
}

// Verdict is what a report says about the customer's trust policy, before propagation is considered.
type Verdict string

// The verdicts.
const (
	VerdictClean        Verdict = "clean"
	VerdictInsecure     Verdict = "insecure"
	VerdictRefused      Verdict = "refused"
	VerdictMoved        Verdict = "moved" // refuses the current external ID, admits the other one of a rotation
	VerdictInconclusive Verdict = "inconclusive"
)

// Verdict weighs the checks. An allow on a negative check is believed at once, whatever else failed; a check that could
// not be made never speaks for or against the customer.
func (r Report) Verdict() Verdict {
	if r.Outcome(CheckWithoutID) == Fail || r.Outcome(CheckWrongID) == Fail {
		return VerdictInsecure
	}
	if r.Outcome(CheckPlatformIdentity) != Pass || r.Outcome(CheckPlatformRole) != Pass {
		return VerdictInconclusive
	}
	if r.Outcome(CheckWithExternalID) == Fail {
		switch other := r.other(); {
		case other == Pass && r.discerning():
			return VerdictMoved
		case other == Pass, other == Errored:
			return VerdictInconclusive
		}
		return VerdictRefused
	}
	if r.Outcome(CheckAccount) == Fail {
		return VerdictRefused
	}
	for _, must := range []CheckName{CheckWithExternalID, CheckWithoutID, CheckWrongID, CheckAccount} {
		if r.Outcome(must) != Pass {
			return VerdictInconclusive
		}
	}
	return VerdictClean
}

// Trust is what an integration knows about its customer's trust policy.
type Trust struct {
	Status TrustStatus `json:"status"`
	// Attempt numbers the requests to the trust worker; an answer to any but the latest is stale.
	Attempt int64 `json:"attempt"`
	// Asked is true while the latest request is unanswered.
	Asked bool `json:"asked,omitempty"`
	// Again is true when somebody asked during that time: what is on its way may have looked before the customer's edit.
	Again bool `json:"again,omitempty"`
	// Tries counts rounds in a row that did not end in valid trust, for the backoff.
	Tries        int       `json:"tries,omitempty"`
	RefusedSince time.Time `json:"refused_since,omitzero"`
	// Doubts counts the clean rounds in a row that are still wanted after the role was found to be insecure.
	Doubts    int       `json:"doubts,omitempty"`
	LastValid time.Time `json:"last_valid,omitzero"`
	// QuestionedAt is when a refusal of the broker last led to a proof.
	QuestionedAt time.Time `json:"questioned_at,omitzero"`
	// Tags is what the tag-session check said when it last said anything: what could not be looked at stays as it was.
	// Sessions are cached under it, so a guess would make warm ones unreachable just when the cloud is away.
	Tags    bool     `json:"tags,omitempty"`
	Report  *Report  `json:"report,omitempty"`
	History []Change `json:"history,omitempty"`
}

// TagSession reports whether the customer's trust policy admits session tags, as far as is known.
func (t Trust) TagSession() bool { return t.Tags }

// Change is one change of a [TrustStatus].
type Change struct {
	At   time.Time   `json:"at"`
	From TrustStatus `json:"from"`
	To   TrustStatus `json:"to"`
}

// after returns the trust that follows from t when report r is in.
func (t Trust) after(r Report, now time.Time) Trust {
	t.Asked, t.Report = false, &r
	switch r.Outcome(CheckTagSession) {
	case Pass:
		t.Tags = true
	case Fail:
		t.Tags = false
	}
	verdict := r.Verdict()
	switch verdict {
	case VerdictInsecure:
		t.Status, t.Doubts, t.RefusedSince = TrustInsecure, cleanRounds, time.Time{}
	case VerdictClean:
		t.RefusedSince = time.Time{}
		t.Status, t.Doubts = TrustValid, max(0, t.Doubts-1)
		if t.Doubts > 0 {
			t.Status = TrustInsecure
		}
	case VerdictRefused, VerdictMoved:
		t.RefusedSince = orNow(t.RefusedSince, now)
		if t.Doubts > 0 {
			t.Doubts = cleanRounds
		}
		switch {
		case verdict == VerdictRefused && lasted(t.RefusedSince, now):
			t.Status = TrustDenied
		case t.Status == TrustUnknown || t.Status == TrustError:
			t.Status = TrustPending
		}
	case VerdictInconclusive: // a round that could not look interrupts no run
		if t.Status == TrustUnknown || t.Status == TrustPending {
			t.Status = TrustError
		}
	}

	if t.Status == TrustValid && verdict == VerdictClean {
		t.Tries, t.LastValid = 0, now
	} else {
		t.Tries++
	}
	return t
}

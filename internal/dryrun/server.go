package dryrun

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Path is where a [Server] answers.
const Path = "/v1/dry-runs"

// Bounds of what goes over the wire, in bytes: a claim has less than 16 KiB, most of them the names of
// [integration.MaxProbed] resources, and a report less than 64 KiB.
const (
	longestClaim  = 64 << 10
	longestReport = 1 << 20
)

// question is a claim on the wire.
type question struct {
	Claim
	// WithinMS is how long the asker waits, in milliseconds.
	WithinMS int64 `json:"within_ms"`
}

// Server answers claims from within the installation. Whoever has the token may have any role tried that admits the
// platform, and learns what a report says: nothing else.
type Server struct {
	prover Prover
	token  secret.Text
	log    *slog.Logger
}

// NewServer returns a server; p is [Bounded] with whoever else has proofs made in the process.
func NewServer(p Prover, token secret.Text, log *slog.Logger) (*Server, error) {
	if token.Empty() {
		return nil, errors.New("dryrun: empty token")
	}
	return &Server{prover: p, token: token, log: log}, nil
}

// ServeHTTP implements [http.Handler]. A refusal is the JSON of an [integration.Refusal] with the status of its code.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	report, err := s.answer(w, r)
	if err == nil {
		writeJSON(w, http.StatusOK, report)
		return
	}
	refusal, ok := errors.AsType[*integration.Refusal](err)
	if !ok {
		s.log.ErrorContext(r.Context(), "dry run failed", "error", err)
		refusal = integration.Refuse(integration.CodeInternal, "the dry run failed")
	}
	writeJSON(w, refusal.Code.Answer().HTTP, refusal)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) (integration.Report, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !secret.New(token).Equal(s.token) {
		return integration.Report{}, integration.Refuse(integration.CodeUnauthenticated, "the token is not the one of dry_run.token_file")
	}
	if r.Method != http.MethodPost || r.URL.Path != Path {
		return integration.Report{}, integration.Refuse(integration.CodeNotFound, "want POST %s", Path)
	}
	var q question
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, longestClaim))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		return integration.Report{}, integration.Refuse(integration.CodeInvalid, "the claim cannot be read")
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(min(max(q.WithinMS, 0), Longest.Milliseconds()))*time.Millisecond)
	defer cancel()
	return s.prover.Prove(ctx, q.Claim)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // neither a report nor a refusal can fail
		status, text = http.StatusInternalServerError, []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
